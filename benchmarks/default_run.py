"""How long is `lowland run` with its defaults or a preset, how much memory does it take, and what comes out?

On an idle machine:

    python benchmarks/default_run.py
    python benchmarks/default_run.py --preset flatnas
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import RESULTS, save
from lowland.core.config import Config
from lowland.core.device import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset")
    preset = parser.parse_args().preset
    options = ["--preset", preset] if preset else []
    name = f"default_run_{preset}" if preset else "default_run"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lowland", "run", *options, "--out", str(run)], check=True)
        seconds = time.perf_counter() - began
        manifest = json.loads((run / "manifest.json").read_text())
        judged = {
            name: json.loads((run / "evaluation" / f"{suite}.json").read_text())["results"]["networks"]["1"]
            for name, suite in (("test", "classification"), ("shift", "corruptions"))
        }
        best = json.loads((run / "search.json").read_text())["ranking"][0]
    results = {
        "benchmark": name,
        "seconds": round(seconds, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
        "stage_seconds": {name: stage["seconds"] for name, stage in manifest["stages"].items()},
        "planned_seconds": manifest["plan"],
        "network": {key: best[key] for key in ("genotype", "parameters", "macs", "value", "standard_error")},
        "test": judged["test"],
        "corrupted_top1": {key: judged["shift"][key] for key in ("mean", "standard_error", "n")},
    }
    save(RESULTS / f"{name}.json", results, resolve(Config().compute))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
