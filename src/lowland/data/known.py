"""Data sets known by name: what each shows, where it comes from, how torchvision's are read. Facts, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_ORIGIN = "Fashion-MNIST, 5,000 + 1,000 of its images; Zalando SE 2017, MIT licence"
DIGITS_ORIGIN = "Optical Recognition of Handwritten Digits (test part), UCI by way of scikit-learn; CC BY 4.0"

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


@dataclass(frozen=True, kw_only=True)
class DataEntry:
    """One data set that can be loaded by name.

    Attributes:
        name: What to write in `data.name`.
        summary: What it shows, in a few words.
        source: Where it comes from and under which licence.
    """

    name: str
    summary: str
    source: str


_BUILT_IN = (
    DataEntry(
        name="fashion-mnist-6k",
        summary="6,000 pieces of clothing, 28×28 grey, 10 classes; comes with lowland",
        source=FASHION_ORIGIN,
    ),
    DataEntry(
        name="digits",
        summary="1,797 handwritten digits, 8×8 grey, 10 classes; comes with scikit-learn",
        source=DIGITS_ORIGIN,
    ),
)


def catalogue() -> list[DataEntry]:
    """The data sets known by name; image folders and .npz files are given by path instead."""
    return [*_BUILT_IN, *(DataEntry(name=name, summary=e.summary, source=e.origin) for name, e in SETS.items())]
