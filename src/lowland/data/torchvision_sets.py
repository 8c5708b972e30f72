"""torchvision's data sets by name: which class reads them, how their parts are called, where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowland.core.errors import DataError
from lowland.data.arrays import FASHION_CLASSES, channels_first
from lowland.data.images import ArrayImages, Images, Source
from lowland.data.pictures import FileImages
from lowland.data.selection import Indices

_TRAIN, _TEST = ({"train": True},), ({"train": False},)


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet:
    """How to read one of torchvision's data sets.

    Attributes:
        reader: Class of `torchvision.datasets`.
        summary: What it shows, in a few words.
        origin: Where it comes from and under which licence.
        train: Arguments of the reader for each part that makes up the training images.
        test: The same for the test images; empty where the data set has none.
        images: Attribute of the reader that holds the array, the paths, or (path, label) pairs.
        labels: Attribute that holds the labels, or None for pairs.
        classes: Class names where the reader has none.
        flip: Whether a mirrored image still shows its class.
    """

    reader: str
    summary: str
    origin: str
    train: tuple[Mapping[str, Any], ...] = ({"split": "train"},)
    test: tuple[Mapping[str, Any], ...] = ({"split": "test"},)
    images: str = "data"
    labels: str | None = "labels"
    classes: tuple[str, ...] = ()
    flip: bool = True


_DIGITS = tuple("0123456789")

SETS: dict[str, TorchvisionSet] = {
    "cifar10": TorchvisionSet(
        reader="CIFAR10",
        summary="60,000 colour images of animals and vehicles, 32×32, 10 classes",
        origin="CIFAR-10, Krizhevsky 2009; no licence stated",
        train=_TRAIN,
        test=_TEST,
        labels="targets",
    ),
    "cifar100": TorchvisionSet(
        reader="CIFAR100",
        summary="60,000 colour images of things, 32×32, 100 classes",
        origin="CIFAR-100, Krizhevsky 2009; no licence stated",
        train=_TRAIN,
        test=_TEST,
        labels="targets",
    ),
    "mnist": TorchvisionSet(
        reader="MNIST",
        summary="70,000 handwritten digits, 28×28 grey, 10 classes",
        origin="MNIST, LeCun, Cortes and Burges 1998; CC BY-SA 3.0",
        train=_TRAIN,
        test=_TEST,
        labels="targets",
        classes=_DIGITS,
        flip=False,
    ),
    "fashion-mnist": TorchvisionSet(
        reader="FashionMNIST",
        summary="70,000 pieces of clothing, 28×28 grey, 10 classes",
        origin="Fashion-MNIST, Zalando SE 2017; MIT licence",
        train=_TRAIN,
        test=_TEST,
        labels="targets",
        classes=FASHION_CLASSES,
    ),
    "kmnist": TorchvisionSet(
        reader="KMNIST",
        summary="70,000 handwritten Japanese characters, 28×28 grey, 10 classes",
        origin="Kuzushiji-MNIST, ROIS-DS Center for Open Data in the Humanities 2018; CC BY-SA 4.0",
        train=_TRAIN,
        test=_TEST,
        labels="targets",
        flip=False,
    ),
    "svhn": TorchvisionSet(
        reader="SVHN",
        summary="99,289 house-number digits, 32×32 colour, 10 classes",
        origin="Street View House Numbers, Netzer et al. 2011; for non-commercial use",
        classes=_DIGITS,
        flip=False,
    ),
    "stl10": TorchvisionSet(
        reader="STL10",
        summary="13,000 colour images of animals and vehicles, 96×96, 10 classes",
        origin="STL-10, Coates, Lee and Ng 2011; no licence stated",
    ),
    "eurosat": TorchvisionSet(
        reader="EuroSAT",
        summary="27,000 satellite images of land use, 64×64 colour, 10 classes, without a test part",
        origin="EuroSAT, Helber et al. 2019; MIT licence",
        train=({},),
        test=(),
        images="samples",
        labels=None,
    ),
    "flowers102": TorchvisionSet(
        reader="Flowers102",
        summary="8,189 photographs of flowers, 102 classes",
        origin="Oxford 102 Flowers, Nilsback and Zisserman 2008; no licence stated",
        train=({"split": "train"}, {"split": "val"}),
        images="_image_files",
        labels="_labels",
    ),
    "oxford-iiit-pet": TorchvisionSet(
        reader="OxfordIIITPet",
        summary="7,349 photographs of cats and dogs, 37 breeds",
        origin="Oxford-IIIT Pet, Parkhi et al. 2012; CC BY-SA 4.0",
        train=({"split": "trainval"},),
        images="_images",
        labels="_labels",
    ),
    "dtd": TorchvisionSet(
        reader="DTD",
        summary="5,640 photographs of textures, 47 classes",
        origin="Describable Textures, Cimpoi et al. 2014; for research",
        train=({"split": "train"}, {"split": "val"}),
        images="_image_files",
        labels="_labels",
    ),
    "food101": TorchvisionSet(
        reader="Food101",
        summary="101,000 photographs of dishes, 101 classes",
        origin="Food-101, Bossard, Guillaumin and Van Gool 2014; licence of each photograph",
        images="_image_files",
        labels="_labels",
    ),
    "gtsrb": TorchvisionSet(
        reader="GTSRB",
        summary="39,270 photographs of traffic signs, 43 classes",
        origin="German Traffic Sign Recognition Benchmark, Stallkamp et al. 2012; CC0",
        images="_samples",
        labels=None,
        flip=False,
    ),
    "imagenette": TorchvisionSet(
        reader="Imagenette",
        summary="13,394 photographs of 10 easy ImageNet classes, shorter side 320",
        origin="Imagenette, fast.ai 2019, Apache 2.0; the photographs are ImageNet's",
        train=({"split": "train", "size": "320px"},),
        test=({"split": "val", "size": "320px"},),
        images="_samples",
        labels=None,
    ),
}


def open_torchvision(name: str, root: Path | None, *, download: bool) -> Source:
    """Open the data set `name` of `SETS`, read by torchvision from `root`.

    CIFAR-10 and CIFAR-100 are pickle files, which torchvision itself reads; it does so only after their MD5 sums have
    proved to be the published ones. lowland reads no pickle.

    Returns:
        Its training and test images.

    Raises:
        DataError: If `root` is not given, or the data set is not in it and must not or cannot be downloaded.
    """
    entry = SETS[name]
    if root is None:
        raise DataError(
            f"data set {name!r} does not come with lowland; pass --data-root with the folder that holds torchvision's "
            f"copy, and --download as well to fetch it into that folder"
        )
    root = root.expanduser()
    train, class_names = _parts(name, entry, entry.train, root, download)
    test = _parts(name, entry, entry.test, root, download)[0] if entry.test else None
    classes = entry.classes or class_names or tuple(str(label) for label in range(int(train.labels_N.max()) + 1))
    return Source(
        name=name, train=train, test=test, classes=classes, flip=entry.flip, origin=entry.origin, published=True
    )


def _parts(
    name: str, entry: TorchvisionSet, parts: tuple[Mapping[str, Any], ...], root: Path, download: bool
) -> tuple[Images, tuple[str, ...]]:
    """The images of all `parts` together, and the class names the reader knows."""
    from torchvision import datasets

    try:
        readers = [getattr(datasets, entry.reader)(root=str(root), download=download, **part) for part in parts]
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split()).partition(". You can use")[0].rstrip(".")
        advice = (
            "check the connection and the folder's permissions, or fetch it by hand"
            if download
            else "correct --data-root, or pass --download to fetch it"
        )
        failure = "could not be fetched into" if download else "is missing from, or damaged in,"
        raise DataError(f"data set {name!r} {failure} {root} ({reason}); {advice}") from error
    held = [getattr(reader, entry.images) for reader in readers]
    if entry.labels is None:
        labels = _int64([label for pairs in held for _, label in pairs])
        held = [[path for path, _ in pairs] for pairs in held]
    else:
        labels = np.concatenate([_int64(getattr(reader, entry.labels)) for reader in readers])
    classes = tuple(item if isinstance(item, str) else item[0] for item in getattr(readers[0], "classes", ()))
    if entry.images == "data":
        array = np.concatenate([channels_first(np.asarray(part)) for part in held])
        return ArrayImages(array, labels), classes
    return FileImages([Path(path) for part in held for path in part], labels, root), classes


def _int64(labels: Any) -> Indices:
    return np.asarray(labels).astype(np.int64)
