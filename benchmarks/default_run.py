"""How long is `lowland run` with its defaults, how much memory does it take, and what comes out?

On an idle machine:

    python benchmarks/default_run.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import RESULTS, save
from lowland.config import Config
from lowland.device import resolve


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lowland.cli", "run", "--out", str(run)], check=True)
        seconds = time.perf_counter() - began
        manifest = json.loads((run / "manifest.json").read_text())
        judged = json.loads((run / "evaluation.json").read_text())["networks"]["1"]
        best = json.loads((run / "search.json").read_text())["ranking"][0]
    results = {
        "benchmark": "default_run",
        "seconds": round(seconds, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
        "stage_seconds": {name: stage["seconds"] for name, stage in manifest["stages"].items()},
        "network": {key: best[key] for key in ("genotype", "parameters", "macs", "value", "standard_error")},
        "test": judged["test"],
        "corrupted_top1": {key: judged["shift"][key] for key in ("mean", "standard_error", "n")},
    }
    save(RESULTS / "default_run.json", results, resolve(Config().compute))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
