"""What a delivered network may be shown: pictures, arrays, tensors and files, one or many, read as in training.

Shapes: N images, H height, W width, C channels, S side of the square that the network sees.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lowland.core.errors import DataError
from lowland.data import Fit, channels_first, pixels, read_picture, refuse_small

Picture: TypeAlias = Image.Image | NDArray[Any] | Tensor | str | os.PathLike[str]
"""One image: PIL, uint8 array H×W or H×W×C, uint8 tensor C×H×W or H×W, or the path of an image file."""

Pictures: TypeAlias = Picture | Iterable[Picture]
"""One image, several, or an array N×H×W, N×H×W×C or N×C×H×W, or a tensor N×C×H×W, of several."""

_EXPECTED = (
    "give a PIL image, a uint8 array H×W or H×W×C, a uint8 tensor C×H×W, the path of an image file, or several of these"
)
_CHANNELS = (1, 2, 3, 4)
"""Channels of an array H×W×C: grey and colour, either with transparency."""


class Preparation:
    """How pictures become what a network sees: uint8 (C, S, S), as the training images did.

    Args:
        channels: C, 1 or 3.
        size: S.
        fit: How oblong ones become square.
    """

    def __init__(self, channels: int, size: int, fit: Fit) -> None:
        self.channels, self.size, self.fit = channels, size, fit

    def batches(self, images: Pictures, batch_size: int) -> Iterator[Tensor]:
        """Decode images batch by batch; no more than one batch is held.

        Yields:
            The images in order as uint8 (B, C, S, S), B ≤ `batch_size`.

        Raises:
            DataError: an image cannot be read or could mean two things; the sentence says which one.
        """
        each = enumerate(several(images, self.channels))
        while prepared := [self._pixels(index, image) for index, image in islice(each, batch_size)]:
            yield torch.from_numpy(np.stack(prepared))

    def _pixels(self, index: int, image: Any) -> NDArray[np.uint8]:
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            name = f"image {index}, {path},"
            if not path.is_file():
                kind = "is a folder: give the files in it" if path.is_dir() else "does not exist: check the path"
                raise DataError(f"{name} {kind} (the current folder is {Path.cwd()})")
            return read_picture(path, self.channels, self.size, self.fit, name)
        try:
            picture = _picture(image)
            refuse_small(*picture.size)
            return pixels(picture, self.channels, self.size, self.fit)
        except DataError as error:
            raise DataError(f"image {index} {error}") from error
        except TypeError as error:
            raise DataError(f"image {index} cannot be used: {error}") from error
        except (ValueError, OSError, SyntaxError) as error:  # what Pillow raises for files it opened but cannot decode
            advice = "convert it to 8-bit levels first" if "levels" in str(error) else "open an intact copy again"
            raise DataError(f"image {index} cannot be used: {error}; {advice}") from error


def several(images: Any, channels: int) -> Iterable[Any]:
    """The single images of what `predict` was given, in order; arrays and tensors of many are taken apart.

    An array of three axes is one picture H×W×C where its last axis is at most 4 long, else N×H×W.

    Args:
        images: What was given.
        channels: Channels of the network.

    Returns:
        What `Picture` may be, or anything else that is then refused with its number.

    Raises:
        DataError: it is nothing that holds images, or could be read in two ways.
    """
    if isinstance(images, Image.Image | str | os.PathLike):
        return [images]
    if isinstance(images, np.ndarray):
        return _arrays(images, channels)
    if isinstance(images, Tensor):
        return images.unbind() if images.ndim == 4 else [images]
    if isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | dict):
        return images
    raise DataError(f"{type(images).__name__} is nothing that holds images; {_EXPECTED}")


def _arrays(array: NDArray[Any], channels: int) -> Iterable[Any]:
    if array.ndim == 3 and array.shape[2] not in _CHANNELS:
        if channels == 3 and array.shape[0] == 3:
            raise DataError(
                f"an array of shape {array.shape} could be one picture C×H×W in colour or 3 in grey; give H×W×3 "
                "(array.transpose(1, 2, 0)) or a list of pictures"
            )
        return list(array)
    if array.ndim == 4 and array.shape[3] not in _CHANNELS:
        try:
            return list(channels_first(array).transpose(0, 2, 3, 1))
        except ValueError:  # each picture is then refused in its own words
            return list(array)
    return list(array) if array.ndim == 4 else [array]


def _picture(image: Any) -> Image.Image:
    """One image as a PIL picture; TypeError, with what is expected, for what is none."""
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, Tensor):
        return _of_tensor(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"it is of type {type(image).__name__}; {_EXPECTED}")
    try:
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise TypeError("other levels or axes")
        return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"arrays must be uint8 of shape H×W, H×W×1 or H×W×3, not {image.dtype} of shape {image.shape}"
        ) from error


def _of_tensor(image: Tensor) -> Image.Image:
    grey = image.ndim == 2
    if image.dtype != torch.uint8 or not (grey or (image.ndim == 3 and image.shape[0] in (1, 3))):
        kind = f"{str(image.dtype).removeprefix('torch.')} of shape {tuple(image.shape)}"
        advice = (
            "; float images that are normalised already go to the network itself" if image.is_floating_point() else ""
        )
        raise TypeError(f"tensors must be uint8 of shape C×H×W with C = 1 or 3, or H×W, not {kind}{advice}")
    array = image.detach().cpu().numpy()
    return Image.fromarray(array if grey else array[0] if len(array) == 1 else array.transpose(1, 2, 0).copy())
