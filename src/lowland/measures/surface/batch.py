"""Batches of any make: how many images are in one, and the same batch on another device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def size_of(batch: Any) -> int | None:
    """Number of images in a batch.

    A tensor has as many as its first dimension, a mapping or tuple as many as its first entry, and a list of mappings
    (one for each image) as many as it has entries. A list of anything else is read as a tuple, since that is what
    torch's loaders make of one: so `[images, labels]` has as many as `images`, and `(list of images, list of targets)`
    as many as the first list.

    Returns:
        The number; None where nothing tells.
    """
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else None
    if isinstance(batch, Mapping):
        return _length(next(iter(batch.values()), None))
    if isinstance(batch, (tuple, list)) and batch:
        return len(batch) if isinstance(batch, list) and isinstance(batch[0], Mapping) else _length(batch[0])
    return None


def _length(entry: Any) -> int | None:
    if isinstance(entry, Tensor):
        return len(entry) if entry.ndim else None
    return len(entry) if isinstance(entry, (tuple, list)) else None


def moved(batch: Any, device: torch.device, single: bool = False) -> Any:
    """A batch with every tensor in it on `device`, containers made anew; with `single` half precision becomes fp32."""
    if isinstance(batch, Tensor):
        half = single and batch.dtype in (torch.float16, torch.bfloat16)
        return batch.to(device, torch.float32) if half else batch.to(device)
    if isinstance(batch, dict):
        return {key: moved(value, device, single) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device, single) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(moved(value, device, single) for value in batch)
    if callable(getattr(batch, "to", None)):
        return batch.to(device)
    return batch
