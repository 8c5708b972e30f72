"""Where pictures and masks of the three data sets lie, exactly as their owners publish them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lowland.core.errors import DataError
from lowland.data.segmentation.classes import CAMVID_LABELS, LABEL_IDS, TRAIN_IDS, VOC_LABELS, Labels

Name = Literal["cityscapes", "camvid", "voc"]

PARTS = ("train", "val")

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and its mask."""

    picture: Path
    mask: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a folder holds.

    Attributes:
        train: To learn from.
        val: To judge by.
        labels: What the masks' numbers mean.
        test: To judge by once, at the end; empty where the data set has none, or none with labels.
        masks: Which kind of masks was read, in words; empty where there is one kind only.
    """

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    labels: Labels
    test: tuple[Pair, ...] = ()
    masks: str = ""


def find(name: Name, root: Path) -> Found:
    """All pictures of a data set with their masks.

    Args:
        name: Which data set.
        root: Of Cityscapes the folder that holds `leftImg8bit` and `gtFine`; of CamVid the one with `train`,
            `trainannot`, `val` and `valannot`, and perhaps `test` and `testannot`; of VOC the one with
            `VOCdevkit/VOC2012`. The test masks of Cityscapes and VOC are not public, and their test parts not read.

    Returns:
        Pairs of pictures and masks, each part in the order of names.

    Raises:
        DataError: something of this is missing, or a picture has no mask; the sentence says what was looked for and
            what was found.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give the folder of {TITLES[name]} with --data-root")
    return _FINDERS[name](root)


TITLES: Mapping[Name, str] = {"cityscapes": "Cityscapes", "camvid": "CamVid", "voc": "VOC 2012"}


def _cityscapes(root: Path) -> Found:
    pictures = "_leftImg8bit.png"
    found = {}
    for part in PARTS:
        folder = _folder(root, f"leftImg8bit/{part}", "cityscapes")
        _folder(root, f"gtFine/{part}", "cityscapes")
        found[part] = sorted(folder.glob(f"*/*{pictures}"))
        if not found[part]:
            raise DataError(f"{folder} holds no picture: looked for <city>/*{pictures}, found {content(folder)}")

    def mask(picture: Path, part: str, kind: str) -> Path:
        stem = picture.name.removesuffix(pictures)
        return root / "gtFine" / part / picture.parent.name / f"{stem}_gtFine_{kind}.png"

    # Both say the same; the kind that lies with the data comes first, and one kind serves for all pictures.
    kinds = {
        kind: {part: tuple(Pair(p, mask(p, part, kind)) for p in found[part]) for part in PARTS}
        for kind in _CITYSCAPES_MASKS
    }
    whole = [kind for kind, pairs in kinds.items() if not any(without_mask(pairs[part]) for part in PARTS)]
    kind = (whole or list(kinds))[0]
    pairs = kinds[kind]
    for part in PARTS:
        require_masks(pairs[part], "_gtFine_labelIds.png or _gtFine_labelTrainIds.png of the same name in gtFine")
    return Found(train=pairs["train"], val=pairs["val"], labels=_CITYSCAPES_MASKS[kind], masks=kind)


_CITYSCAPES_MASKS: Mapping[str, Labels] = {"labelIds": LABEL_IDS, "labelTrainIds": TRAIN_IDS}


def _camvid(root: Path) -> Found:
    found = {}
    held_out = any((root / name).is_dir() for name in ("test", "testannot"))
    for part in (*PARTS, "test") if held_out else PARTS:
        pictures, masks = (_folder(root, name, "camvid") for name in (part, f"{part}annot"))
        listed = sorted(file for file in pictures.iterdir() if file.suffix.lower() in SUFFIXES)
        if not listed:
            raise DataError(f"{pictures} holds no picture: looked for .png or .jpg files, found {content(pictures)}")
        _require_different((file.stem for file in listed), pictures)
        found[part] = tuple(Pair(file, masks / f"{file.stem}.png") for file in listed)
        require_masks(found[part], f"a .png file of the same name in {masks.name}")
        more = sorted({file.name for file in masks.glob("*.png")} - {pair.mask.name for pair in found[part]})
        if more:
            others = f" (and {len(more) - 1} more like it)" if len(more) > 1 else ""
            raise DataError(
                f"mask {masks / more[0]} has no picture in {pictures.name}{others}; add the picture, or remove the mask"
            )
    return Found(train=found["train"], val=found["val"], test=found.get("test", ()), labels=CAMVID_LABELS)


def _voc(root: Path) -> Found:
    inside = "VOCdevkit/VOC2012"
    folders = {
        name: _folder(root, f"{inside}/{name}", "voc")
        for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
    }
    found = {}
    for part in PARTS:
        file = folders["ImageSets/Segmentation"] / f"{part}.txt"
        try:
            names = file.read_text(encoding="utf-8").split()
        except FileNotFoundError as error:
            raise DataError(
                f"{root} is not laid out as VOC 2012: looked for {inside}/ImageSets/Segmentation/{part}.txt, found "
                f"{content(file.parent)} there"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read ({error}); put back a good copy") from error
        if not names:
            raise DataError(f"{file} names no picture; put back a good copy")
        _require_different(names, file)
        odd = [name for name in names if Path(name).name != name]
        if odd:
            raise DataError(f"{file} names {odd[0]!r}, which is no name of a picture; put back a good copy")
        found[part] = tuple(
            Pair(folders["JPEGImages"] / f"{name}.jpg", folders["SegmentationClass"] / f"{name}.png")
            for name in sorted(names)
        )
        gone = [pair.picture for pair in found[part] if not pair.picture.is_file()]
        if gone:
            others = f" (and {len(gone) - 1} more like it)" if len(gone) > 1 else ""
            raise DataError(f"picture {gone[0]} is named in {file.name} and missing{others}; put it there")
        require_masks(found[part], "a .png file of the same name in SegmentationClass")
    return Found(train=found["train"], val=found["val"], labels=VOC_LABELS)


_FINDERS: Mapping[Name, Callable[[Path], Found]] = {"cityscapes": _cityscapes, "camvid": _camvid, "voc": _voc}


def without_mask(pairs: Iterable[Pair]) -> list[Pair]:
    """Those whose mask is not there."""
    return [pair for pair in pairs if not pair.mask.is_file()]


def require_masks(pairs: Iterable[Pair], looked_for: str) -> None:
    """Raise DataError, naming the first and counting the others, where pictures have no mask."""
    bare = without_mask(pairs)
    if bare:
        others = f" (and {len(bare) - 1} more like it)" if len(bare) > 1 else ""
        raise DataError(
            f"picture {bare[0].picture} has no mask{others}: looked for {looked_for}; add masks, or take pictures away"
        )


def _folder(root: Path, name: str, of: Name) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise DataError(f"{root} is not laid out as {TITLES[of]}: looked for {name}/, found {content(root)}")
    return folder


def _require_different(names: Iterable[str], where: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{where} holds {name} twice; keep one of the two")
        seen.add(name)


def content(folder: Path) -> str:
    """The first few names in a folder, in words."""
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
