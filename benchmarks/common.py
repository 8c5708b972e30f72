"""What every benchmark shares: data from the development folder, results as JSON with environment, intervals."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.stats import t as student

from lowland.core.device import Compute, environment
from lowland.core.files import write_json
from lowland.core.settings import merge

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SHARED = HERE.parent.parent / "shared" / "data"


def development_loader() -> ModuleType:
    """The module that reads the development folder's archives."""
    spec = importlib.util.spec_from_file_location("shared_load", SHARED / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cifar10_npz(folder: Path, train: int, test: int | None = None) -> Path:
    """The first `train` training and `test` test images of CIFAR-10 as an .npz file that lowland reads."""
    path = folder / f"cifar10-{train}-{test or 'all'}.npz"
    if not path.exists():
        module = development_loader()
        arrays: dict[str, Any] = {}
        for split, count in (("train", train), ("test", test)):
            images, labels = module.sheets(SHARED / "images" / "cifar10.zip", split)
            arrays |= {f"x_{split}": images[:count], f"y_{split}": labels[:count].astype(np.int64)}
        save_arrays(path, arrays)
    return path


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an .npz file in one step, so that benchmarks side by side never read a half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{os.getpid()}-{path.name}")
    np.savez(half, **arrays)
    half.replace(path)


def interval(values: list[float], level: float = 0.95) -> dict[str, float]:
    """Mean, standard error and Student-t confidence interval of independent values."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return {"mean": mean, "n": len(array)}
    error = float(array.std(ddof=1) / math.sqrt(len(array)))
    half = float(student.ppf(0.5 + level / 2, len(array) - 1)) * error
    return {"mean": mean, "standard_error": error, "low": mean - half, "high": mean + half, "n": len(array)}


def read(path: Path) -> dict[str, Any]:
    """Earlier results, so that a stopped benchmark goes on; empty where there are none."""
    return json.loads(path.read_text()) if path.exists() else {}


def save(path: Path, results: dict[str, Any], compute: Compute) -> None:
    """Write results with the environment they were measured in; of a path on this machine only the file's name."""
    write_json(path, without_folders(results | {"environment": environment(compute)}))


def measured(path: Path, key: str, heading: dict[str, Any], measure: Callable[[], Any], compute: Compute) -> None:
    """Measure one run of a study, unless it is known, and keep it at once beside what others wrote meanwhile.

    Args:
        path: The results.
        key: The run among their `runs`.
        heading: What results begin with where there are none.
        measure: Gives the run's figures.
        compute: Where.
    """
    results = read(path) or heading | {"runs": {}}
    if key in results["runs"]:
        return
    found = measure()
    save(path, merge(read(path) or results, {"runs": {key: found}}), compute)
    print(key, found, flush=True)


def without_folders(value: Any) -> Any:
    """`value` with its last part alone for every absolute path in it: where files lay is nobody else's concern."""
    if isinstance(value, dict):
        return {without_folders(key): without_folders(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(each) for each in value]
    if isinstance(value, str | Path):
        return Path(value).name if Path(value).is_absolute() else str(value)
    return value


def imagenette(folder: Path, train: int, test: int) -> Path:
    """Random images of Imagenette at 64 pixels, of the development folder, as an .npz file that lowland reads."""
    size = 64
    path = folder / f"imagenette{size}-{train}-{test}.npz"
    if not path.exists():
        module = development_loader()
        arrays: dict[str, Any] = {}
        for split, count in (("train", train), ("val", test)):
            images, labels = module.sheets(SHARED / "images" / f"imagenette{size}.zip", split, size)
            chosen = np.random.default_rng(0).permutation(len(labels))[:count]  # they lie in the order of classes
            own = "train" if split == "train" else "test"
            arrays |= {f"x_{own}": images[chosen], f"y_{own}": labels[chosen].astype(np.int64)}
        save_arrays(path, arrays)
    return path
