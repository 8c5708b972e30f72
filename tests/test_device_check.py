"""The check of a device, in small on the CPU."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lowland.core.device import Compute

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of the distribution")
def test_a_cpu_repeats_its_bits_and_agrees_with_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("device_check", "device_costs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import device_check
    import device_costs

    found = device_check.main(["--device", "cpu", "--small", "--out", str(tmp_path / "found.json")])
    assert found["repeats"]
    assert all(each == {"repeats": True, "resumes": True} for each in found["repeats"].values())
    assert found["against_cpu_fp32"]["fp32"]["largest_difference"] == 0
    assert (tmp_path / "found.json").exists()
    assert 0 < found["training"]["busy_share"] <= 1
    assert 0 < found["busy_share_of_scoring"] <= 1
    cost = found["default_run"]
    assert cost["seconds"] == pytest.approx(sum(cost["stages"].values()))
    assert list(cost["stages"]) == ["supernet", "search", "train", "evaluate"]
    told = list(device_costs.lines(cost))
    assert len(told) == 10
    assert all(cost["counts"].values()), "a default run has some of each"
    assert {device_costs.OF[what] for what in cost["counts"]} <= cost["pieces"].keys()


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of the distribution")
def test_what_kernels_cover_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import device_costs

    assert device_costs.covered([]) == 0
    assert device_costs.covered([(5, 7), (0, 2), (1, 3), (1, 2), (7, 8)]) == 6


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of the distribution")
def test_of_a_gpu_kernels_and_copies_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none here: the profiler tells of two kernels, of an annotation on the GPU, and of the CPU."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import device_costs

    kinds = torch.autograd.DeviceType
    events = [
        SimpleNamespace(device_type=kind, time_range=SimpleNamespace(start=start, end=end), is_user_annotation=said)
        for kind, start, end, said in (
            (kinds.CUDA, 0.0, 2e4, False),
            (kinds.CUDA, 1e4, 3e4, False),
            (kinds.CUDA, 0.0, 9e4, True),
            (kinds.CPU, 0.0, 9e4, False),
        )
    ]
    told = nullcontext(SimpleNamespace(events=lambda: events))
    monkeypatch.setattr(torch.profiler, "profile", lambda activities: told)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    made: list[int] = []

    def work() -> Callable[[], None]:
        made.append(1)
        return lambda: time.sleep(0.1)

    share = device_costs.busy_share(Compute(device=torch.device("cuda", 0)), work)
    assert len(made) == 2
    assert 0 < share <= 0.3, "of a tenth of a second, or more where the machine is busy, 30 ms"
