"""Two processes under torchrun train as one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lowland.core.monitor import Monitor
from lowland.training.loop import fit
from lowland.training.parallel import World, any_rank, average_buffers, average_gradients, barrier, join, leave

from .test_loop import linear_job
from .toy import InMemory, supernet_config, supernet_job

TESTS = Path(__file__).parents[1]
SECONDS = 600
"""No process of a test lives longer."""

SCRIPT = """
import os
import sys
from pathlib import Path
from safetensors.torch import save_file
from lowland.core.config import Config
from lowland.core.errors import InterruptedRun
from lowland.store.run import Run
from lowland.training.loop import DivergedError, fit
from lowland.training.parallel import barrier, join, leave
from training.test_loop import linear_job
from training.toy import StopAt, supernet_config, supernet_job

world, folder = join(), Path(sys.argv[1])

def keep(name, job, losses=None):
    tensors = {key: value.contiguous() for key, value in job.model.state_dict().items()}
    save_file(tensors, folder / f"{name}-{world.rank}.safetensors", {"loss": repr(losses)})

linear = linear_job(epochs=3, clip=0.5, ema=0.5)
keep("linear", linear, fit(linear, world=world).loss)
sharp = linear_job(epochs=3, optimizer="sgd+asam", sam_rho=0.8, clip=0.5)
keep("sharpness-aware", sharp, fit(sharp, world=world).loss)
fair = supernet_job(supernet_config(path="fair", optimizer="sgd+sam"))
fit(fair, world=world)
keep("fair", fair)

def opened(mode):
    path = folder / f"run-{mode}"
    if world.main:
        run = Run.open(path) if path.exists() else Run.create(path, Config())
        run.start_stage("supernet")
    barrier(world)
    return run if world.main else Run.open(path, read_only=True)

for mode in ("none", "zeros"):
    config = supernet_config(zero_grad=mode, epochs=4, path="per-cell")
    paths, job = [], supernet_job(config)
    job.model.register_forward_pre_hook(lambda module, inputs: paths.append(repr(inputs[1])))
    fit(job, world=world)
    keep(f"supernet-{mode}", job)
    (folder / f"paths-{mode}-{world.rank}").write_text("\\n".join(paths))

    # Only the last rank is asked to stop; all of them do, at the same step, and rank 0 saves.
    with opened(mode) as run:
        try:
            fit(supernet_job(config), checkpoints=run, monitor=StopAt(5 if world.rank else 10**9), world=world)
        except InterruptedRun:
            pass
    barrier(world)
    with opened(mode) as run:
        step = run.load_checkpoint("supernet")[1]["step"]
        (folder / f"stopped-{mode}-{world.rank}").write_text(str(step))
        resumed = supernet_job(config)
        fit(resumed, checkpoints=run, world=world)
    keep(f"resumed-{mode}", resumed)

def loss(model, x_NCHW, labels_N, step):
    return model(x_NCHW.double()).square().mean() * (float("nan") if step == 1 and not world.main else 1.0)

try:
    fit(linear_job(loss), world=world)
except DivergedError as error:
    (folder / f"diverged-{world.rank}").write_text(str(error))
leave()
if os.path.isdir("/proc/self/task"):
    (folder / f"threads-{world.rank}").write_text(str(len(os.listdir("/proc/self/task"))))
"""


def torchrun(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Two processes of one thread each."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        *map(str, arguments),
    ]
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks wrote while training by SCRIPT."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "train.py").write_text(SCRIPT)
    done = torchrun(folder / "train.py", folder, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["linear", "sharpness-aware", "fair", "supernet-none", "supernet-zeros", "resumed-none", "resumed-zeros"],
)
def test_ranks_end_in_the_same_weights_and_statistics(trained: Path, name: str) -> None:
    first, second = (load_file(trained / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert name in ("linear", "sharpness-aware") or any("running_mean" in key for key in first)


@pytest.mark.slow
def test_two_processes_train_as_one_where_images_do_not_mix(trained: Path) -> None:
    """Without batch norm the global batch is all that counts."""
    from safetensors import safe_open

    job = linear_job(epochs=3, clip=0.5, ema=0.5)
    losses = fit(job).loss
    for key, value in load_file(trained / "linear-0.safetensors").items():
        assert torch.allclose(value, job.model.state_dict()[key], rtol=0, atol=1e-6)
    for rank in (0, 1):
        with safe_open(trained / f"linear-{rank}.safetensors", "pt") as file:
            assert [float(x) for x in file.metadata()["loss"].strip("[]").split(",")] == pytest.approx(losses, rel=1e-6)


@pytest.mark.slow
def test_two_processes_climb_as_one(trained: Path) -> None:
    """The ascent of SAM is by the mean of both ranks' gradients: each alone would climb elsewhere."""
    job = linear_job(epochs=3, optimizer="sgd+asam", sam_rho=0.8, clip=0.5)
    fit(job)
    plain = linear_job(epochs=3, clip=0.5)
    fit(plain)
    for key, value in load_file(trained / "sharpness-aware-0.safetensors").items():
        assert torch.allclose(value, job.model.state_dict()[key], rtol=0, atol=1e-6)
        assert not torch.allclose(value, plain.model.state_dict()[key], rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "zeros"])
def test_ranks_sample_the_same_paths(trained: Path, mode: str) -> None:
    first, second = ((trained / f"paths-{mode}-{rank}").read_text().splitlines() for rank in (0, 1))
    assert first == second
    assert len(first) == 12
    alone: list[str] = []
    job = supernet_job(supernet_config(zero_grad=mode, epochs=4, path="per-cell"))
    job.model.register_forward_pre_hook(lambda module, inputs: alone.append(repr(inputs[1])))
    fit(job)
    assert first == alone


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "zeros"])
def test_ranks_stop_together_and_go_on_to_the_same_end(trained: Path, mode: str) -> None:
    assert [(trained / f"stopped-{mode}-{rank}").read_text() for rank in (0, 1)] == ["10", "10"]
    whole = load_file(trained / f"supernet-{mode}-0.safetensors")
    resumed = load_file(trained / f"resumed-{mode}-0.safetensors")
    for name, value in whole.items():
        if "running" in name:  # averaged over ranks once more at the stop: equal up to rounding
            assert torch.allclose(value, resumed[name], rtol=1e-5, atol=1e-7), name
        else:
            assert torch.equal(value, resumed[name]), name


@pytest.mark.slow
def test_a_loss_that_diverges_on_one_rank_ends_all(trained: Path) -> None:
    for rank in (0, 1):
        assert "the training loss became nan at step 1;" in (trained / f"diverged-{rank}").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux tells them")
def test_no_thread_of_the_group_outlives_it(trained: Path) -> None:
    """One that frees a tensor while Python ends would abort the process."""
    assert [(trained / f"threads-{rank}").read_text() for rank in (0, 1)] == ["1", "1"]


TINY_RUN = [
    *("--data", "digits", "--epochs", "2", "--retrain-epochs", "2"),
    *("--set", "data.limit=120", "--set", "supernet.channels=4", "--set", "network.channels=4"),
    *("--set", "supernet.batch_size=32", "--set", "retrain.batch_size=32", "--set", "compute.device=cpu"),
    *("--set", "search.options.evolution={population: 4, generations: 1, parents: 2, mutations: 1, crossovers: 1}"),
    *("--set", "measure.calibration_images=32"),
    *("--set", "evaluate.options.corruptions.names=none"),
    *("--set", "evaluate.options.landscape={random_genotypes: 1, draws: 1}"),
]


@pytest.mark.slow
def test_a_whole_run_under_torchrun(tmp_path: Path) -> None:
    done = torchrun("-m", "lowland", "run", *TINY_RUN, "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "report.html").is_file()
    assert list((tmp_path / "run" / "network").glob("*.safetensors"))
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_torchrun_without_a_run_directory_is_refused(tmp_path: Path) -> None:
    done = torchrun("--log-dir", tmp_path / "log", "-m", "lowland", "run", *TINY_RUN, cwd=tmp_path)
    assert done.returncode != 0
    assert "error: under torchrun every process must be told the run directory: add --out" in done.stderr
    assert "exitcode  : 2" in done.stderr
    # With --log-dir torchrun has a file for the reason, and shows it behind its own traceback.
    last = done.stderr[done.stderr.rindex("Root Cause") :]
    assert "under torchrun every process must be told the run directory: add --out" in last
    assert "To enable traceback see" not in last
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_world_of_one_needs_no_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join()
    assert world == World(0, 1)
    assert world.main
    assert not World(1, 2).main
    model = nn.BatchNorm1d(2)
    model.weight.grad = torch.tensor([1.0, 2.0])
    average_gradients(model.parameters(), world)
    average_buffers(model, world)
    barrier(world)
    leave()
    assert model.weight.grad.tolist() == [1.0, 2.0]
    assert any_rank((True, False), world) == [True, False]


def test_a_stop_alone_is_noticed_at_once() -> None:
    class Now(Monitor):
        stopping = True

    kept = InMemory()
    with pytest.raises(Exception, match="stopped at a safe point"):
        fit(supernet_job(supernet_config()), checkpoints=kept, monitor=Now())
    assert kept.steps == [1]


GONE = """
import sys
import torch
from lowland.core.errors import RunError
from lowland.training.parallel import average, barrier, join

world = join()
barrier(world)
if world.rank == 1:
    import os
    os._exit(3)
try:
    for _ in range(1000):
        average([torch.ones(4)], world)
except RunError as error:
    print(error)
    sys.exit(2)
"""


def test_a_process_that_is_gone_is_one_sentence_for_the_others(tmp_path: Path) -> None:
    script = tmp_path / "gone.py"
    script.write_text(GONE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    where = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**where, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said, _ = ranks[0].communicate(timeout=SECONDS)
    assert ranks[0].returncode == 2
    assert said.startswith("another process of torchrun has ended, and its own message says why;")
    ranks[1].communicate(timeout=SECONDS)
