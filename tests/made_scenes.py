"""Made-up data sets in the official layouts of Cityscapes, CamVid and VOC 2012: bright rectangles on a dark ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowland.evaluation.dense.source import Source, of_genotype
from lowland.spaces import Shape, get

WIDTH, HEIGHT = 64, 48

COLOURS = ((20, 20, 20), (220, 40, 40), (40, 40, 220))
"""Of the ground and of two kinds of rectangles."""


def scene(seed: int, numbers: tuple[int, int, int], left_out: int = 255) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture (H, W, 3) and its mask (H, W): the ground, two rectangles, and a row that does not count."""
    rng = np.random.default_rng(seed)
    picture = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[:] = COLOURS[0]
    mask = np.full((HEIGHT, WIDTH), numbers[0], dtype=np.uint8)
    for kind, side in ((1, 0), (2, WIDTH // 2)):
        x, y, w, h = side + rng.integers(0, 10), rng.integers(0, 20), rng.integers(12, 20), rng.integers(12, 26)
        picture[y : y + h, x : x + w] = COLOURS[kind]
        mask[y : y + h, x : x + w] = numbers[kind]
    mask[-2:] = left_out
    return picture, mask


def save(picture: NDArray[np.uint8], mask: NDArray[np.uint8], at: Path, labels: Path, *, palette: bool = False) -> None:
    """Write both files."""
    for path in (at, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(at)
    image = Image.fromarray(mask)
    if palette:
        image = image.convert("P")
        image.putdata(mask.flatten().tolist())
        image.putpalette([value for number in range(256) for value in ((37 * number) % 256, number, 255 - number)])
    image.save(labels)


def camvid(root: Path, train: int = 6, val: int = 3, test: int = 0) -> Path:
    """`{train,val,test}/` and `{train,val,test}annot/`; 11 does not count."""
    for part, count, first in (("train", train, 0), ("val", val, 100), ("test", test, 200)):
        for number in range(first, first + count):
            name = f"0001TP_{number:06}.png"
            save(*scene(number, (3, 8, 0), 11), root / part / name, root / f"{part}annot" / name)
    return root


def cityscapes(root: Path, kind: str = "labelIds", train: int = 4, val: int = 2) -> Path:
    """`leftImg8bit/…` and `gtFine/…`; road, car and sky, and what lies outside of the region of interest."""
    numbers, left_out = ((7, 26, 23), 3) if kind == "labelIds" else ((0, 13, 10), 255)
    for part, city, count, first in (("train", "aachen", train, 0), ("val", "lindau", val, 100)):
        for number in range(first, first + count):
            name = f"{city}_{number:06}_000019"
            at = root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png"
            save(*scene(number, numbers, left_out), at, root / "gtFine" / part / city / f"{name}_gtFine_{kind}.png")
    return root


def voc(root: Path, train: int = 4, val: int = 2) -> Path:
    """`VOCdevkit/VOC2012/…`: JPEGs, masks with a palette, lists of names; more pictures than are listed."""
    folder = root / "VOCdevkit" / "VOC2012"
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for part, count, first in (("train", train, 0), ("val", val, 100), ("test", 1, 200)):
        names = [f"2007_{number:06}" for number in range(first, first + count)]
        for number, name in enumerate(names, start=first):
            picture, mask = scene(number, (0, 7, 15))
            save(
                picture,
                mask,
                folder / "JPEGImages" / f"{name}.jpg",
                folder / "SegmentationClass" / f"{name}.png",
                palette=True,
            )
        (lists / f"{part}.txt").write_text("\n".join(names) + "\n")
    return root


def darts_source() -> Source:
    """A small network of DARTS with maps of strides 2, 4, 8, 16 and 32, without trained weights."""
    genotype = get("darts").parse(",".join(["4,3,3,3,0,3,3,0,0,3,3,0,0,0"] * 2))
    return of_genotype(genotype, Shape(image_size=96, channels=4, cells=3, stem="imagenet"), "small darts")
