"""Sources: from a data set's name, a folder or a file to training, search and test images ready for networks."""

from __future__ import annotations

import difflib
import hashlib
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowland.core import seeds
from lowland.core.config import DataConfig
from lowland.core.errors import DataError, LowlandWarning
from lowland.data.arrays import open_digits, open_fashion_mnist_6k
from lowland.data.description import Contents, Part, doubts, findings
from lowland.data.fitting import Fit, choose, natural_side
from lowland.data.folder import open_folder
from lowland.data.images import Images, Look, Source
from lowland.data.known import SETS, catalogue
from lowland.data.listing import unpack_first
from lowland.data.memory import Arrays
from lowland.data.npz import open_arrays, open_npz
from lowland.data.selection import Indices, groups, held_out, interleaved, limited
from lowland.data.splits import DataSet, MemorySplit, Split, StreamedSplit
from lowland.data.torchvision_sets import open_torchvision

HALVED = 4
"""JPEGs at least this many times as large as needed were once decoded at a fraction of their size, as no caller of
`predict` could. Such sets are signed anew, so that no run goes on with other pixels than it began with."""

STATISTICS_IMAGES = 2048
"""Images whose mean and standard deviation stand for a streamed set's: a standard error of about 0.004 of the mean."""


_BUILT_IN: dict[str, Callable[[], Source]] = {"fashion-mnist-6k": open_fashion_mnist_6k, "digits": open_digits}


def load(config: DataConfig, *, seed: int, device: torch.device | str = "cpu", arrays: Arrays | None = None) -> DataSet:
    """The data set of `config`: found, split, and decoded unless it is larger than `config.memory_gb` GB (10⁹ bytes).

    Which images train, score candidates and test is a function of `seed`, the labels and the fractions alone, and is
    settled before any image is decoded. Test images never enter the other splits.

    Args:
        config: The data settings of a run.
        seed: The run's seed.
        device: Where images and labels are kept, or, for streamed sets, delivered.
        arrays: What the .npz file at `config.name` is going to hold (`memory.in_memory`), read in its place.

    Returns:
        Training, search and test split with the classes, the size of images and their statistics.

    Raises:
        DataError: If the data set is missing, damaged or too small; the message names the file, class or array.

    Warns:
        LowlandWarning: For what was left out or is unwise (`DataSet.warnings`).
    """
    source = _open(config) if arrays is None else open_arrays(Path(config.name), arrays, "data")
    chosen = _choose(source, config, seed)
    homes: dict[Part, Images] = {
        "train": source.train,
        "search": source.search or source.train,
        "test": source.test or source.train,
    }
    looks = _looks(homes, chosen)
    look = looks[0]
    channels = max(each.channels for each in looks)
    how = choose(config.fit, look.widths_N, look.heights_N)
    natural_size = natural_side(how, look.widths_N, look.heights_N, look.largest)
    size = config.image_size or natural_size
    total_bytes = sum(map(len, chosen.values())) * channels * size * size
    streamed = total_bytes > config.memory_gb * 1e9

    jpeg = max(each.largest_jpeg for each in looks)
    # The marks of what came later are left out where nothing differs, so that runs of before go on.
    marks = (() if how == "crop" else (how,)) + ("decoded in full",) * (jpeg >= HALVED * size)
    digest = hashlib.sha256(repr((source.classes, channels, size, *marks)).encode())
    whole = digest.copy()
    splits: dict[Part, Split] = {}
    contents = Contents()
    for part, images in homes.items():
        indices = chosen[part]
        labels = images.labels_N[indices]
        digest.update(labels.astype("<i8").tobytes())
        images.sign(digest, indices)
        whole.update(labels.astype("<i8").tobytes())
        images.sign_all(whole, indices)
        labels_N = torch.from_numpy(labels).to(device)
        read = partial(_read, images, indices, channels, size, how)
        if streamed:
            splits[part] = StreamedSplit(read, labels_N)
        else:
            images_NCHW = read(None)
            contents.look(part, images_NCHW, labels)
            splits[part] = MemorySplit(images_NCHW.to(device), labels_N)
    unresized = None
    if natural_size != size:
        read = partial(_read, homes["test"], chosen["test"], channels, natural_size, how)
        unresized = StreamedSplit(read, splits["test"].labels_N)
    mean, std = (0.0,) * channels, (1.0,) * channels
    if config.normalise == "statistics":
        mean, std = _statistics(splits["train"], seed)
    unwise = doubts(
        source, looks, how, {part: images.labels_N[chosen[part]] for part, images in homes.items()}, contents
    )
    for sentence in unwise:
        warnings.warn(sentence, LowlandWarning, stacklevel=2)
    return DataSet(
        name=source.name,
        train=splits["train"],
        search=splits["search"],
        test=splits["test"],
        classes=source.classes,
        mean=mean,
        std=std,
        in_channels=channels,
        image_size=size,
        flip=source.flip if config.flip is None else config.flip,
        crop_padding=size // 8 if config.crop_padding is None else config.crop_padding,
        source=source.origin,
        fingerprint=digest.hexdigest(),
        content=whole.hexdigest(),
        unresized_test=unresized,
        fit=how,
        found=findings(source, looks, how, size, config.test_fraction, contents),
        warnings=unwise,
    )


def _open(config: DataConfig) -> Source:
    """The data set by name if there is one of that name, else the folder or file at that path."""
    name = config.name
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if name in SETS:
        return open_torchvision(name, config.root, download=config.download)
    path = Path(name).expanduser()
    if path.is_dir():
        return open_folder(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        return open_npz(path)
    if path.exists():
        raise DataError(
            unpack_first(path) or f"{path} is neither a folder of images nor an .npz file; convert it first"
        )
    if path.suffix.lower() == ".npz" or os.sep in name or "/" in name:
        raise DataError(
            f"data {path} does not exist; check the path (the current folder is {Path.cwd()}), or, if it was moved "
            f"since, move or link it back there"
        )
    known = [entry.name for entry in catalogue()]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"no data set, folder or file is called {name!r}; {guess}give the path of an image folder or .npz file, or one "
        f"of {', '.join(known)}"
    )


def _choose(source: Source, config: DataConfig, seed: int) -> dict[Part, Indices]:
    """The indices of each split: of `source.train` for train, and of what the source sets apart, or else the same."""
    num_classes = len(source.classes)
    by_class = groups(source.train.labels_N, num_classes, seeds.numpy_rng(seed, "data", "train"))
    search: list[Indices] | None = None
    if source.test is None:
        _check_counts(source, by_class, 3, "images are needed: one to train on, one to score candidates, one to test")
        by_class, test = held_out(by_class, config.test_fraction)
    else:
        test = groups(source.test.labels_N, num_classes, seeds.numpy_rng(seed, "data", "test"))
        if source.search is None:
            _check_counts(source, by_class, 2, "training images are needed: one to train on, one to score candidates")
        else:
            search = groups(source.search.labels_N, num_classes, seeds.numpy_rng(seed, "data", "search"))
            _check_counts(source, by_class, 1, "training image is needed")
            _check_counts(source, search, 1, "search image is needed")
        _check_counts(source, test, 1, "test image is needed")
    if config.limit is not None:
        if config.limit < 2 * num_classes:
            raise DataError(
                f"data.limit={config.limit} is too small for the {num_classes} classes of {source.name}: each needs "
                f"one image to train on and one to score candidates; raise it to {2 * num_classes} or more"
            )
        by_class = limited(by_class, config.limit)
    train, search = (by_class, search) if search is not None else held_out(by_class, config.search_fraction)
    return {"train": interleaved(train), "search": interleaved(search), "test": interleaved(test)}


def _check_counts(source: Source, by_class: list[Indices], least: int, need: str) -> None:
    for name, group in zip(source.classes, by_class, strict=True):
        if len(group) < least:
            raise DataError(
                f"class {name!r} of {source.name} has {len(group)}, but at least {least} {need}; add images or remove "
                f"the class"
            )


def _looks(homes: dict[Part, Images], chosen: dict[Part, Indices]) -> list[Look]:
    """At the training images together with what is cut from them, and at each part that is set apart."""
    together = [part for part in homes if homes[part] is homes["train"]]
    looks = [homes["train"].look(np.concatenate([chosen[part] for part in together]))]
    return looks + [homes[part].look(chosen[part]) for part in homes if part not in together]


def _read(images: Images, chosen: Indices, channels: int, size: int, how: Fit, places: Tensor | None) -> Tensor:
    """The chosen images at `places`, or all, as uint8 (B, C, H, W)."""
    return torch.from_numpy(images.load(chosen if places is None else chosen[places.numpy()], channels, size, how))


def _statistics(train: Split, seed: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and standard deviation of each channel, exact over the images looked at.

    All training images are looked at if they are in memory, else a random sample of 2,048. The deviation is at least
    one level, so that normalising constant images divides by something.

    Returns:
        Means and standard deviations (C,), in units of 255 levels.
    """
    places = np.arange(len(train))
    if train.streamed and len(train) > STATISTICS_IMAGES:
        places = np.sort(seeds.numpy_rng(seed, "data", "statistics").permutation(len(train))[:STATISTICS_IMAGES])
    counts: Tensor | int = 0
    for start in range(0, len(places), 256):
        x_NCHW = train.images(torch.from_numpy(places[start : start + 256]))
        counts = counts + torch.stack([torch.bincount(x.flatten(), minlength=256).cpu() for x in x_NCHW.unbind(1)])
    assert isinstance(counts, Tensor)
    share = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ levels
    std = (share * (levels - mean[:, None]) ** 2).sum(1).sqrt().clamp(min=1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())
