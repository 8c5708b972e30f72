"""How fast candidates are scored: flatness of NAS-Bench-201 genotypes, against the published procedure, in one run.

- `published`: as the public code of GeNAS scores (preset `compat`): per candidate a deep copy of the supernet, 14
  exponential-average steps of batch-norm calibration, noise of its own on all weights, added up in increments, and for
  every σ a new DataLoader with two workers; batches of 64, fp32, NCHW, all cores for one candidate.
- `lowland`: the scorer of `lowland search` with its defaults (`search.workers`, `compute.precision`).

Both see the same genotypes, scored images, calibration images (14 · 64), σ and draws. Rounds alternate and every ratio
is taken within a round, so that drift of the machine hits both alike. Worker processes are started beforehand, as
they are for all but the first seconds of a search.

With `--ranks N` the same scorer judges N genotypes in fp32 and in bf16: Kendall's τ-b between the two, beside τ-b
between fp32 scores under two draws of the noise, and the differences in units of the scores' standard errors.

    python benchmarks/scoring_speed.py
    python benchmarks/scoring_speed.py --supernet RUN --ranks 100 --rounds 0
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, Subset

from common import RESULTS, cifar10_npz, interval, read, save
from lowland.core.config import Config
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.core.threads import available_cores
from lowland.data import DataSet, Split, order
from lowland.measures.noise.flatness import Flatness, flatness_value
from lowland.search import Scored
from lowland.spaces import Supernet
from lowland.store.run import Run
from lowland.training import supernet as supernet_training
from lowland.workflow import presets
from lowland.workflow.room import processes
from lowland.workflow.scoring import scorers
from lowland.workflow.session import Session

BATCH, STEPS, MOMENTUM = 64, 14, 0.1
"""Of the published procedure: batch size, calibration steps, and their momentum."""


class Images(Dataset[tuple[Tensor, int]]):
    """Images one at a time, normalised in the loader's worker, as the public loop reads them."""

    def __init__(self, split: Split, data: DataSet) -> None:
        self.images = split.images(torch.arange(len(split)))
        self.labels = split.labels_N.tolist()
        self.normalise = data.normalise

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.normalise(self.images[index : index + 1])[0], self.labels[index]


def published(
    supernet: Supernet, genotype: Genotype, train: Images, scored: Dataset[tuple[Tensor, int]], own: Flatness.Config
) -> float:
    """Flatness of one candidate by the published procedure, one draw of the noise."""
    network = copy.deepcopy(supernet)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.reset_running_stats()
        module.momentum = MOMENTUM
    losses = []
    with torch.no_grad():
        network.train()
        for x_NCHW, _ in islice(DataLoader(train, BATCH, shuffle=True, num_workers=2), STEPS):
            network(x_NCHW, genotype)
        network.eval()
        below = 0.0
        for sigma in own.sigmas:
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=sigma - below)
            below = sigma
            total = 0.0
            for x_NCHW, labels_N in DataLoader(scored, BATCH, num_workers=2):
                total += float(cross_entropy(network(x_NCHW, genotype), labels_N, reduction="sum"))
            losses.append(total / len(scored))  # type: ignore[arg-type]
    return flatness_value(losses, own.sigmas, own.alpha)


def settings(arguments: argparse.Namespace, folder: Path) -> Config:
    """The supernet of the published study on CIFAR-10."""
    search = 0.2
    data = cifar10_npz(folder, max(round(arguments.images / search), 2 * BATCH * STEPS), 100)
    return presets.assemble(
        {
            "space": "nasbench201",
            "data": {"name": str(data), "search_fraction": search},
            "supernet": {"channels": arguments.channels, "cells": arguments.cells},
        }
    )


@contextmanager
def opened(arguments: argparse.Namespace, folder: Path) -> Iterator[Session]:
    """A session of the given run, or of one with an untrained supernet: speed does not depend on the weights."""
    if arguments.supernet is not None:
        with Run.open(arguments.supernet, read_only=True) as run:
            yield Session(run, Monitor())
        return
    with Run.create(folder / "run", settings(arguments, folder)) as run:
        session = Session(run, Monitor())
        run.start_stage("supernet")
        state = session.compute.prepare(supernet_training.initial(run.config, session.data)).state_dict()
        for name in ("initial", "trained"):
            run.save_tensors(f"supernet/{name}.safetensors", state)
        run.finish_stage("supernet", [], {"images_per_second": 0.0})
        yield session


def with_settings(session: Session, images: int, **compute: Any) -> Session:
    """The same run with the measure and the precision to be compared; nothing of it is written."""
    config = session.config
    run = Run.open(session.run.path, read_only=True)
    measure = {
        "name": "flatness",
        "images": images,
        "noise_images": None,
        "calibration_images": BATCH * STEPS,
        "draws": 1,
    }
    run.config = config.model_copy(
        update={
            "measure": config.measure.model_copy(update=measure),
            "compute": config.compute.model_copy(update=compute),
        }
    )
    return Session(run, Monitor(), given=session.data)


def drawn(session: Session, number: int, *keys: object) -> list[Genotype]:
    """Different genotypes with at least one live route."""
    found: dict[str, Genotype] = {}
    for attempt in range(100 * number):
        genotype = session.space.sample(numpy_rng(0, "scoring speed", *keys, attempt))
        if session.space.angle_terms(session.supernet, genotype) and len(found) < number:
            found.setdefault(session.space.key(genotype), genotype)
    return list(found.values())


def speed(session: Session, arguments: argparse.Namespace) -> dict[str, Any]:
    """Candidates per second of both procedures, round by round."""
    config, data, compute = session.config.measure, session.data, session.compute
    own = Flatness(config).options
    plain = copy.deepcopy(session.supernet).to(memory_format=torch.contiguous_format)
    chosen = order(len(data.search), seed=session.config.seed, keys=("scored images",))[: arguments.images]
    train, scored = Images(data.train, data), Subset(Images(data.search, data), chosen.sort().values.tolist())
    rounds: list[dict[str, float]] = []
    with scorers(session) as scorer:
        ours = scorer(config)
        list(ours.scores(drawn(session, arguments.warm_up, "warm-up")))
        for number in range(arguments.rounds):
            genotypes = drawn(session, arguments.genotypes, number)
            began = time.perf_counter()
            outcomes = list(ours.scores(genotypes))
            lowland = len(genotypes) / (time.perf_counter() - began)
            assert all(isinstance(outcome, Scored) for outcome in outcomes), outcomes
            torch.set_num_threads(compute.threads)
            began = time.perf_counter()
            for genotype in genotypes:
                published(plain, genotype, train, scored, own)
            rate = len(genotypes) / (time.perf_counter() - began)
            torch.set_num_threads(1)
            rounds.append({"lowland": lowland, "published": rate, "ratio": lowland / rate})
            print(f"round {number}: {lowland:.3f} against {rate:.3f} candidates/s, ratio {lowland / rate:.2f}")
    return {
        "rounds": rounds,
        "ratio": interval([found["ratio"] for found in rounds]),
        "workers": processes(session.config, session.compute),
        "images": arguments.images,
        "calibration_images": BATCH * STEPS,
        "sigmas": list(own.sigmas),
        "draws": 1,
        "genotypes": arguments.genotypes,
        "supernet": session.config.supernet.model_dump(mode="json", include={"channels", "cells"}),
    }


def ranks(session: Session, arguments: argparse.Namespace) -> dict[str, Any]:
    """How bf16 orders genotypes compared with fp32, beside what another draw of the noise does to the order."""
    genotypes = drawn(session, arguments.ranks, "ranks")
    scores: dict[str, np.ndarray] = {}
    errors = np.empty(0)
    for name, precision, draws in (("fp32", "fp32", 1), ("bf16", "bf16", 1), ("fp32, two draws", "fp32", 2)):
        own = with_settings(session, arguments.images, precision=precision)
        with scorers(own) as scorer:
            measure = own.config.measure.model_copy(update={"draws": draws})
            outcomes = list(scorer(measure).scores(genotypes))
        assert all(isinstance(outcome, Scored) for outcome in outcomes), outcomes
        scores[name] = np.array([outcome.value for outcome in outcomes])
        if name == "fp32":
            errors = np.array([outcome.standard_error for outcome in outcomes])
    low, full = scores["bf16"], scores["fp32"]
    rng = np.random.default_rng(0)
    samples = (rng.integers(len(full), size=len(full)) for _ in range(1000))
    taus = [float(kendalltau(low[chosen], full[chosen]).statistic) for chosen in samples]
    return {
        "genotypes": len(genotypes),
        "images": arguments.images,
        "tau_bf16_fp32": float(kendalltau(low, full).statistic),
        "tau_bf16_fp32_interval": np.quantile(taus, [0.025, 0.975]).tolist(),
        "tau_one_draw_two_draws": float(kendalltau(full, scores["fp32, two draws"]).statistic),
        "median_difference_in_standard_errors": float(np.median(np.abs(low - full) / errors)),
        "largest_difference_in_standard_errors": float(np.max(np.abs(low - full) / errors)),
        "same_best": bool(low.argmax() == full.argmax()),
        "supernet": str(arguments.supernet or "untrained"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", type=Path, help="run directory with a trained supernet")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--genotypes", type=int, default=12, help="per round")
    parser.add_argument("--warm-up", type=int, default=8, help="candidates scored before the first round")
    parser.add_argument("--rounds", type=int, default=3, help="0: no timing")
    parser.add_argument("--ranks", type=int, default=0, help="genotypes scored in fp32 and bf16")
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--work", type=Path, help="folder for the data set made of CIFAR-10; default: a temporary one")
    parser.add_argument("--out", type=Path, default=RESULTS / "scoring_speed.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        with opened(arguments, folder) as session:
            own = with_settings(session, arguments.images)
            results = read(arguments.out) | {"cores": available_cores()}
            if arguments.rounds:
                results["speed"] = speed(own, arguments)
                save(arguments.out, results, own.compute)
            if arguments.ranks:
                results["ranks"] = ranks(session, arguments)
                save(arguments.out, results, own.compute)


if __name__ == "__main__":
    main()
