"""A run under a limit on its address space ends in a sentence, and goes on when the limit is lifted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lowland.store.artifacts import Searched
from lowland.store.run import Run
from lowland.workflow import pipeline
from whole_runs import copied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system tells no address space"),
]

CODE = """
import os, resource, sys
from pathlib import Path
import lowland.workflow.reporting
from lowland.app import cli
from lowland.workflow import pipeline, session
begun, stage = pipeline.run_stage, sys.argv[1]

def limited(session, which, monitor):
    if which.name == stage:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken, resource.RLIM_INFINITY))
    begun(session, which, monitor)

pipeline.run_stage = limited
sys.argv = ["lowland", *sys.argv[2:]]
cli.main()
"""
"""The command line, in which no more memory is to be had from the beginning of one stage on."""


@pytest.mark.parametrize("stage", ["search", "train", "evaluate", "report"])
def test_a_stage(stage: str, pristine: Path, tmp_path: Path) -> None:
    run = copied(pristine, tmp_path / "run")
    with Run.open(run) as opened:
        opened.reset_stage(stage)
    command = [sys.executable, "-c", CODE, stage, "resume", str(run)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    said = " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.returncode == 2, (ended.returncode, said)
    assert "memory ran short" in said or "memory is short" in said
    pipeline.resume(run)  # keeps what is archived, failures too, which the counts would tell
    assert results(run) == results(pristine)


def results(run: Path) -> tuple[object, ...]:
    with Run.open(run, read_only=True) as opened:
        searched = Searched.read(opened)
        weights = ("supernet/trained.safetensors", "network/network.safetensors")
        return (*(opened.manifest["files"][name] for name in weights), searched.ranking, searched.summary)
