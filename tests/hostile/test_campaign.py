"""A short form of each part of the campaign (benchmarks/campaign): nothing lost, wrong, hanging or touched outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).resolve().parents[2] / "benchmarks" / "campaign" / "campaign.py"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the campaign forks and kills")
@pytest.mark.parametrize("part", ["kills", "damage"])
def test_some_seconds_of_it_find_no_fault(part: str, tmp_path: Path) -> None:
    out = tmp_path / "campaign.json"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    arguments = [part, "--minutes", "0.1", "--seed", "1", "--out", out]
    subprocess.run([sys.executable, CAMPAIGN, *map(str, arguments)], check=True, env=environment)
    found = json.loads(out.read_text())[part]
    assert found["done"] >= 1
    assert found["faults"] == []
