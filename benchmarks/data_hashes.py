"""What it costs to hash every file of 60,000: on first sight, and later, when sizes and times are as they were.

python benchmarks/data_hashes.py [--files 60000] [--bytes 4096] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from common import RESULTS, save
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.data.file_hashes import hashes


def made(folder: Path, files: int, size: int) -> list[Path]:
    """Files of random bytes in ten folders, as an image folder has them."""
    generator = np.random.default_rng(0)
    paths = []
    for index in range(files):
        path = folder / f"class{index % 10}" / f"{index:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.bytes(size))
        paths.append(path)
    return paths


def seconds(paths: list[Path], root: Path) -> float:
    begun = time.perf_counter()
    hashes(paths, root)
    return round(time.perf_counter() - begun, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--bytes", type=int, default=4096, help="size of each file")
    parser.add_argument("--folder", type=Path, help="where to make them; by default among temporary files")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    first, later, changed = [], [], []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made_in:
        root = Path(made_in) / "data"
        paths = made(root, arguments.files, arguments.bytes)
        time.sleep(3)  # files changed a moment ago are not kept
        for repeat in range(arguments.repeats):
            os.environ["XDG_CACHE_HOME"] = f"{made_in}/cache{repeat}"
            first.append(seconds(paths, root))
            later.append(seconds(paths, root))
            for path in paths[repeat::100]:
                path.write_bytes(b"changed")
            changed.append(seconds(paths, root))
            time.sleep(3)
    results = {
        "files": arguments.files,
        "bytes_each": arguments.bytes,
        "in_page_cache": True,
        "first_sight_seconds": first,
        "later_seconds": later,
        "after_one_percent_changed_seconds": changed,
    }
    print(results)
    save(RESULTS / "data_hashes.json", results, resolve(ComputeConfig(device="cpu")))


if __name__ == "__main__":
    main()
