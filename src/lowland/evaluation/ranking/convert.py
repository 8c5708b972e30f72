"""Truth from the official release files of NAS-Bench-201 and NATS-Bench: reading their layout, writing our CSV.

Understood are `NAS-Bench-201-v1_0-e61699.pth`, `NAS-Bench-201-v1_1-096897.pth`, `NATS-tss-v1_0-3ffb9.pickle.pbz2` and
the folder `NATS-tss-v1_0-3ffb9-simple`. All hold, for every architecture and training length (12 or 200 epochs), one
result per data set and seed. The CSV has one row per architecture, with these columns (empty where nothing is known):

- `index`, `arch`: number and text form in the release; `isomorph`: the smallest index that computes the same function
- `test_acc`, `test_acc_seed0`, …: test accuracy after 200 epochs, mean over seeds and each, percent
- `valid_acc`, `valid_acc_12epochs`: validation accuracy after 200 and after 12 epochs, mean over seeds, percent
- `params`, `mmacs`: parameters, and millions of multiply-accumulates (the release's "FLOPs")
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lowland.core.errors import ConfigError, DataError, GenotypeError
from lowland.core.files import write_bytes
from lowland.evaluation.ranking.truth import META, is_official
from lowland.evaluation.ranking.unpickle import BZIP2, read_bz2, read_torch
from lowland.spaces import Space, get

Dataset = Literal["cifar10", "cifar100", "ImageNet16-120"]

LENGTHS = {200: ("200", "full"), 12: ("12", "less")}
"""Epochs of training → their names in NATS-Bench and in NAS-Bench-201."""

# On CIFAR-10 the tested networks learned from all training images, so validation has networks of its own.
TESTED = {"cifar10": ("cifar10", "ori-test"), **{name: (name, "x-test") for name in ("cifar100", "ImageNet16-120")}}
VALIDATED = {
    "cifar10": ("cifar10-valid", "x-valid"),
    **{name: (name, "x-valid") for name in ("cifar100", "ImageNet16-120")},
}
"""Data set → (which networks, which images) of the release, as the benchmark's authors define test and validation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        architectures: Rows.
        classes: How many of them compute different functions.
        most_seeds: Largest number of seeds behind a test accuracy.
        left_out: Architectures that the release names but has no test accuracy for.
    """

    architectures: int
    classes: int
    most_seeds: int
    left_out: int


def convert(source: Path, out: Path, dataset: Dataset = "cifar10") -> Converted:
    """Write the truth that an official release file holds for one data set as CSV, gzipped where `out` ends in .gz.

    Args:
        source: The release: a file, or the folder of the "simple" form.
        out: The CSV file to write, atomically.
        dataset: Whose accuracies.

    Returns:
        How many architectures, isomorphism classes and training seeds were written, and how many architectures left
        out.

    Raises:
        ConfigError: there is no such data set, or `out` is not called .csv or .csv.gz.
        DataError: the release cannot be read, is of another layout, or holds no test accuracy for the data set.
        RunError: `out` cannot be written.
    """
    if dataset not in get_args(Dataset):
        raise ConfigError(f"--dataset {dataset!r} must be one of {', '.join(get_args(Dataset))}")
    if not out.name.endswith((".csv", ".csv.gz")):
        raise ConfigError(f"--out {out} must end in .csv or .csv.gz")
    space = get("nasbench201")
    classes: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    seeds: list[list[float]] = []
    left_out = 0
    for index, arch, results in _architectures(source):
        key = _key(space, arch, f"architecture {index} of {source}")
        isomorph = classes.setdefault(key, index)
        try:
            tested, costs = _accuracies(results, 200, *TESTED[dataset]), _costs(results, TESTED[dataset][0])
            validated = [_accuracies(results, epochs, *VALIDATED[dataset]) for epochs in (200, 12)]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"architecture {index} of {source} is not laid out as in NAS-Bench-201 and NATS-Bench ({error!r}); "
                "give an official release file"
            ) from error
        if not tested:
            left_out += 1
            continue
        seeds.append(tested)
        means = {"test_acc": _mean(tested), "valid_acc": _mean(validated[0]), "valid_acc_12epochs": _mean(validated[1])}
        rows.append({"index": index, "arch": arch, "isomorph": isomorph, **means, **costs})
    if not rows:
        raise DataError(f"{source} holds no test accuracy on {dataset} after 200 epochs; choose another --dataset")
    most = max(map(len, seeds))
    header = ["index", "arch", "isomorph", "test_acc", *(f"test_acc_seed{seed}" for seed in range(most))]
    header += ["valid_acc", "valid_acc_12epochs", "params", "mmacs"]
    for row, each in zip(rows, seeds, strict=True):
        row |= {f"test_acc_seed{number}": value for number, value in enumerate(each)}
    write_bytes(out, _csv(header, rows, zipped=out.suffix == ".gz"))
    return Converted(
        architectures=len(rows),
        classes=len({row["isomorph"] for row in rows}),
        most_seeds=most,
        left_out=left_out,
    )


def _architectures(source: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Index, text form and results by training length of every architecture, in the release's order."""
    if not source.exists():
        raise DataError(f"release file {source} does not exist; check the path")
    if not is_official(source):
        raise DataError(
            f"{source} is no release of NAS-Bench-201 or NATS-Bench; expected NAS-Bench-201-v1_1-096897.pth, "
            f"NATS-tss-v1_0-3ffb9.pickle.pbz2, or the folder NATS-tss-v1_0-3ffb9-simple with {META}"
        )
    if source.is_dir():
        archs = _named(read_bz2(source / META), source / META)
        for index, arch in enumerate(archs):
            files = [source / f"{name}.pickle.pbz2" for name in (f"{index:06d}", str(index))]
            if there := [file for file in files if file.is_file()]:
                yield index, arch, read_bz2(there[0])
            else:
                yield index, arch, {}
        return
    with source.open("rb") as stream:
        zipped = stream.read(3) == BZIP2
    content = read_bz2(source) if zipped else read_torch(source)
    archs = _named(content, source)
    infos = content.get("arch2infos")
    if not isinstance(infos, dict):
        raise DataError(f"{source} has no results by architecture under 'arch2infos'; give an official release file")
    for index, arch in enumerate(archs):
        yield index, arch, infos.pop(index, {})  # popped, so that memory is given back on the way


def _named(content: Any, source: Path) -> list[str]:
    """The list `meta_archs` of all architectures."""
    archs = content.get("meta_archs") if isinstance(content, dict) else None
    if not isinstance(archs, list) or not all(isinstance(arch, str) for arch in archs):
        raise DataError(f"{source} has no list of architectures under 'meta_archs'; give an official release file")
    return archs


def _key(space: Space, arch: str, where: str) -> str:
    try:
        return space.key(space.parse(arch))
    except GenotypeError as error:
        raise DataError(f"{where} is not of space {space.name}: {error}") from error


def _runs(results: dict[str, Any], epochs: int, networks: str) -> list[dict[str, Any]]:
    """The results of one training length and data set, by ascending seed."""
    if not isinstance(results, dict):
        raise TypeError(f"{type(results).__name__} instead of results by training length")
    for name in LENGTHS[epochs]:
        if name in results:
            found = results[name]
            seeds = sorted(found["dataset_seed"].get(networks, []))
            return [found["all_results"][networks, seed] for seed in seeds]
    return []


def _accuracies(results: dict[str, Any], epochs: int, networks: str, images: str) -> list[float]:
    """Accuracy in percent at the end of training, by ascending seed; seeds not judged on these images are left out."""
    found = []
    for run in _runs(results, epochs, networks):
        value = run["eval_acc1es"].get(f"{images}@{run['epochs'] - 1}")
        if value is not None:
            found.append(round(_finite(value), 5))
    return found


def _costs(results: dict[str, Any], networks: str) -> dict[str, Any]:
    runs = _runs(results, 200, networks)
    if not runs:
        return {}
    return {"params": round(1e6 * _finite(runs[0]["params"])), "mmacs": round(_finite(runs[0]["flop"]), 5)}


def _finite(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _mean(values: list[float]) -> float | None:
    return round(math.fsum(values) / len(values), 5) if values else None


def _csv(header: list[str], rows: list[dict[str, Any]], *, zipped: bool) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    return gzip.compress(content, mtime=0) if zipped else content
