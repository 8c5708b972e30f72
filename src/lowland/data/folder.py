"""Image folders: CLASS/* pictures, with or without train/ and test/ above, of any sizes and colour modes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lowland.core.errors import DataError
from lowland.data.images import Digest, Images, Source, UInt8, collect_faults, fit, parallel, to_array
from lowland.data.selection import Indices

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
LARGEST_DEFAULT_SIZE = 224
TEST_NAMES = ("test", "val", "valid")
SIGNED_FILES = 256
"""Files whose bytes enter the fingerprint; of the others only name and length do, so that large sets start at once."""

_SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_GREY = ("1", "L", *_SIXTEEN_BITS)


class FileImages(Images):
    """Images in files.

    Grey are the modes 1, L and 16 bits; anything else becomes RGB, transparency on white. 16 bits are scaled to 8,
    the EXIF orientation is applied, of an animation the first frame is taken.

    Args:
        paths: One file per image.
        labels_N: int64 (N,).
        root: Folder relative to which files are named in the fingerprint, so that moving the data changes nothing.
    """

    def __init__(self, paths: Sequence[Path], labels_N: Indices, root: Path) -> None:
        self._paths = paths
        self.labels_N = labels_N
        self._root = root

    def look(self, indices: Indices) -> tuple[int, int]:
        """Channels of the named images and the median of their shorter sides, at most 224; no pixel is decoded."""
        grey = np.zeros(len(indices), dtype=bool)
        sides = np.zeros(len(indices), dtype=np.int64)

        def look_at(place: int) -> DataError | None:
            path = self._paths[indices[place]]
            try:
                with Image.open(path) as picture:
                    grey[place] = picture.mode in _GREY or (picture.mode == "I" and picture.format == "PPM")
                    sides[place] = min(picture.size)
            except Exception as error:  # Pillow's decoders raise errors of almost any type for damaged files
                return DataError(_undecodable(path, error))
            return None

        collect_faults(parallel(look_at, range(len(indices))))
        return 1 if grey.all() else 3, min(int(np.median(sides)), LARGEST_DEFAULT_SIZE)

    def read(self, index: int, channels: int, size: int) -> UInt8:
        """Decode one image; see `Images.read`.

        A JPEG more than twice as large as needed is decoded at a half, quarter or eighth of its size.

        Returns:
            uint8 (C, S, S).

        Raises:
            DataError: If the image cannot be decoded.
        """
        path = self._paths[index]
        try:
            with Image.open(path) as picture:
                picture.draft(picture.mode, (2 * size, 2 * size))
                return pixels(picture, channels, size)
        except Exception as error:  # see `look`
            raise DataError(_undecodable(path, error)) from error

    def sign(self, digest: Digest, indices: Indices) -> None:
        """Feed names and lengths of all the named files, and the bytes of some spread evenly, to `digest`."""
        for index in indices:
            path = self._paths[index]
            name = os.fsencode(os.path.relpath(path, self._root).replace(os.sep, "/"))
            digest.update(name + b"\0%d\0" % path.stat().st_size)
        for index in indices[:: -(-len(indices) // SIGNED_FILES)]:
            digest.update(self._paths[index].read_bytes())


def pixels(picture: Image.Image, channels: int, size: int) -> UInt8:
    """Any picture as networks see it: upright, grey or RGB with 8 bits, its centre square resized, uint8 (C, S, S)."""
    upright = ImageOps.exif_transpose(picture)
    return to_array(fit(_eight_bits(upright, "L" if channels == 1 else "RGB"), size))


def open_folder(root: Path) -> Source:
    """Open the image folder `root`: train/CLASS/* with test/, val/ or valid/CLASS/*, or CLASS/* alone.

    Hidden files are ignored. A train/ without a test folder is split like an unsplit folder.

    Returns:
        Training images and, where there is a folder of them, test images.

    Raises:
        DataError: If there are no classes or images, a file is not an image, or the folders' classes differ.
    """
    entries = _visible(root)
    folders = {entry.name: entry for entry in entries if entry.is_dir()}
    if "train" in folders and any(entry.is_dir() for entry in _visible(folders["train"])):
        test = [folders[name] for name in TEST_NAMES if name in folders]
        classes, train_images = _scan(folders["train"], root)
        origin = f"images of {root}"
        if not test:
            return _source(root, train_images, None, classes, f"{origin} (train/)")
        test_classes, test_images = _scan(test[0], root)
        for name in sorted(set(classes) ^ set(test_classes)):
            there, absent = ("train", test[0].name) if name in classes else (test[0].name, "train")
            raise DataError(
                f"class {name!r} is in {root / there} but not in {root / absent}; every class needs images in both: "
                f"add some or remove the class"
            )
        unused = "".join(f"; {folder.name}/ not used" for folder in test[1:])
        return _source(root, train_images, test_images, classes, f"{origin} (train/, {test[0].name}/{unused})")
    classes, images = _scan(root, root)
    return _source(root, images, None, classes, f"images of {root}")


def _source(root: Path, train: Images, test: Images | None, classes: tuple[str, ...], origin: str) -> Source:
    return Source(name=root.resolve().name, train=train, test=test, classes=classes, flip=True, origin=origin)


def _scan(folder: Path, root: Path) -> tuple[tuple[str, ...], FileImages]:
    """Class names and images of CLASS/* in `folder`, both sorted by name."""
    entries = _visible(folder)
    loose = [entry for entry in entries if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]
    class_folders = [entry for entry in entries if entry.is_dir()]
    if not class_folders or loose:
        found = f"the image {loose[0].name} lies directly in it" if loose else "it holds no folders"
        raise DataError(
            f"image folder {folder} must hold one folder of images per class, but {found}; sort the images into "
            f"{folder / 'CLASS'} folders"
        )
    if len(class_folders) < 2:
        raise DataError(
            f"image folder {folder} holds the single class {class_folders[0].name!r}; at least 2 classes are needed: "
            f"add a folder of images for each other class"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(class_folders):
        files = _visible(class_folder)
        for file in files:
            if file.is_dir() or file.suffix.lower() not in SUFFIXES:
                kind = "a folder" if file.is_dir() else "not an image file"
                raise DataError(
                    f"{file} is {kind}, but a class folder may hold only images "
                    f"({', '.join(s[1:] for s in SUFFIXES)}); move or remove it"
                )
        if not files:
            raise DataError(f"class folder {class_folder} holds no images; add some or remove the folder")
        paths += files
        labels += [label] * len(files)
    return tuple(entry.name for entry in class_folders), FileImages(paths, np.array(labels, dtype=np.int64), root)


def _visible(folder: Path) -> list[Path]:
    """The entries of `folder`, sorted by name, without those that the systems hide from people."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({error.strerror}); check its permissions") from error
    return [entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in _SYSTEM_FILES]


def _eight_bits(picture: Image.Image, mode: str) -> Image.Image:
    """`picture` in 8-bit `mode` (L or RGB)."""
    if picture.mode in _SIXTEEN_BITS or picture.mode == "I":
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("its 32-bit levels exceed 0 to 65,535")
        # 257 = 65535 / 255, rounded to the nearest level
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert(mode)
    if picture.mode == "F":
        raise ValueError("it holds floating-point levels of unknown range")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture if picture.mode == mode else picture.convert(mode)


def _undecodable(path: Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        reason = "its content is of no known image format"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = " ".join(str(error).split()).rstrip(".")
    return f"image {path} cannot be decoded ({reason}); remove it or replace it by an intact copy"
