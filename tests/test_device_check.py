"""The check of a device, in small on the CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of the distribution")
def test_a_cpu_repeats_its_bits_and_agrees_with_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "device_check", raising=False)
    import device_check

    found = device_check.main(["--device", "cpu", "--small", "--out", str(tmp_path / "found.json")])
    assert found["repeats"]
    assert all(each == {"repeats": True, "resumes": True} for each in found["repeats"].values())
    assert found["against_cpu_fp32"]["fp32"]["largest_difference"] == 0
    assert (tmp_path / "found.json").exists()
