"""Pictures in files, of any sizes and colour modes: the one decoder for training images and for those of `predict`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lowland.core.errors import DataError
from lowland.data.file_hashes import hashes, relative
from lowland.data.fitting import Fit, fit, refuse_small
from lowland.data.images import Digest, Images, Look, UInt8, collect_faults, parallel, to_array
from lowland.data.selection import Indices

LARGEST_DEFAULT_SIZE = 224
SIGNED_FILES = 256
"""Files whose bytes enter the fingerprint; of the others only name and length do. It names a data set in what was
kept of it; whether any file has changed is told by `sign_all`."""
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
GREY_MODES = ("1", "L", *_SIXTEEN_BITS)


class FileImages(Images):
    """Images in files.

    Grey are the modes 1, L and 16 bits; anything else becomes RGB, transparency on white. 16 bits are scaled to 8,
    the EXIF orientation is applied, of several pages or frames the first is taken (and their number told: `look`).

    Args:
        paths: One file per image.
        labels_N: int64 (N,).
        root: Folder relative to which files are named in the fingerprint, so that moving the data changes nothing.
    """

    def __init__(self, paths: Sequence[Path], labels_N: Indices, root: Path) -> None:
        self._paths = paths
        self.labels_N = labels_N
        self._root = root

    def look(self, indices: Indices) -> Look:
        """Channels, sizes and formats of the named images; see `Images.look`."""
        grey, several = np.zeros((2, len(indices)), dtype=bool)
        sides = np.zeros((2, len(indices)), dtype=np.int64)
        kinds = [""] * len(indices)

        def look_at(place: int) -> DataError | None:
            path = self._paths[indices[place]]
            try:
                with Image.open(path) as picture:
                    grey[place] = picture.mode in GREY_MODES or (picture.mode == "I" and picture.format == "PPM")
                    sides[:, place] = picture.size
                    kinds[place] = "JPEG" if picture.format == "MPO" else picture.format or ""
                    # A telephone's MPO is a JPEG with a preview behind it; that is no second picture.
                    several[place] = picture.format != "MPO" and getattr(picture, "is_animated", False)
                    refuse_small(*picture.size)
            except DataError as error:
                return DataError(f"image {_shown(path)} {error}")
            except Exception as error:  # Pillow's decoders raise errors of almost any type for damaged files
                return DataError(_undecodable(f"image {_shown(path)}", error))
            return None

        collect_faults(parallel(look_at, range(len(indices))))
        return Look(
            channels=1 if grey.all() else 3,
            widths_N=sides[0],
            heights_N=sides[1],
            kinds=tuple(kind for kind, _ in Counter(kinds).most_common()),
            largest=LARGEST_DEFAULT_SIZE,
            several=int(several.sum()),
            largest_jpeg=max((int(sides[:, i].min()) for i, kind in enumerate(kinds) if kind == "JPEG"), default=0),
        )

    def read(self, index: int, channels: int, size: int, how: Fit) -> UInt8:
        """One image as (C, S, S); see `Images.read`."""
        return read_picture(self._paths[index], channels, size, how)

    def sign(self, digest: Digest, indices: Indices) -> None:
        """Feed names and lengths of all the named files, and the bytes of some spread evenly, to `digest`."""
        paths = [self._paths[index] for index in indices]
        for name, path in zip(relative(paths, self._root), paths, strict=True):
            digest.update(os.fsencode(name) + b"\0%d\0" % path.stat().st_size)
        for index in indices[:: -(-len(indices) // SIGNED_FILES)]:
            digest.update(self._paths[index].read_bytes())

    def sign_all(self, digest: Digest, indices: Indices) -> None:
        """Feed names and SHA-256 of all the named files to `digest`."""
        paths = [self._paths[index] for index in indices]
        for name, found in zip(relative(paths, self._root), hashes(paths, self._root), strict=True):
            digest.update(os.fsencode(name) + b"\0" + found.encode())


def read_picture(path: Path, channels: int, size: int, how: Fit, name: str | None = None) -> UInt8:
    """Decode a file as networks see it (`pixels`).

    Returns:
        The picture, uint8 (C, S, S).

    Raises:
        DataError: If it cannot be decoded or is too small; the sentence begins with `name`, by default the file's.
    """
    return decoded(path, lambda picture: pixels(picture, channels, size, how), name)


def decoded(path: Path, prepare: Callable[[Image.Image], UInt8], name: str | None = None) -> UInt8:
    """Open a file and `prepare` its picture.

    Returns:
        What `prepare` returns.

    Raises:
        DataError: If it cannot be decoded or is too small; the sentence begins with `name`, by default the file's.
    """
    try:
        with Image.open(path) as picture:
            refuse_small(*picture.size)
            return prepare(picture)
    except DataError as error:
        raise DataError(f"{name or f'image {_shown(path)}'} {error}") from error
    except Exception as error:  # Pillow's decoders raise errors of almost any type for damaged files
        raise DataError(_undecodable(name or f"image {_shown(path)}", error)) from error


def pixels(picture: Image.Image, channels: int, size: int, how: Fit = "crop") -> UInt8:
    """Turn any picture into what networks see: upright, grey or RGB with 8 bits, made square (`fit`).

    Returns:
        The pixels, uint8 (C, S, S).

    Raises:
        ValueError: If it holds levels of unknown range: floating-point ones, or 32 bits not from a format where they
            stand for 16.
    """
    eight = eight_bits(picture, "L" if channels == 1 else "RGB")
    return to_array(fit(eight, size, how))


def eight_bits(picture: Image.Image, mode: str) -> Image.Image:
    """`picture`, upright, in 8-bit `mode` (L or RGB)."""
    if picture.mode == "I" and picture.format not in ("PPM", "PNG"):  # these two scale to 16 bits themselves
        raise ValueError("it holds 32-bit levels of unknown range")
    if picture.mode == "F":
        raise ValueError("it holds floating-point levels of unknown range")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _SIXTEEN_BITS or picture.mode == "I":
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("its 32-bit levels exceed 0 to 65,535")
        # 257 = 65535 / 255, rounded to the nearest level
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert(mode)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture if picture.mode == mode else picture.convert(mode)


def _undecodable(name: str, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"{name} has more than {most:,} pixels, the most that is safe to decode; make it smaller or remove it"
    if isinstance(error, ValueError) and "MAX_TEXT" in str(error):
        return f"{name} holds text beside the picture that unpacks to more than is safe to read; save it anew without"
    if isinstance(error, UnidentifiedImageError):
        reason = "its content is of no known image format"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = " ".join(str(error).split()).rstrip(".")
    advice = (
        "convert it to 8-bit levels"
        if "levels" in reason and isinstance(error, ValueError)
        else "remove it or replace it by an intact copy"
    )
    return f"{name} cannot be decoded ({reason}); {advice}"


def _shown(path: Path) -> str:
    """A path that can be printed, also where its name is not text in UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
