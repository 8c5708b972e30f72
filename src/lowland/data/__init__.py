"""Data: what the networks learn from, decoded once and kept as uint8 on the device.

Everything here is imported on first use: the catalogue answers without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Arrays": "memory",
    "CORRUPTIONS": "corruptions.table",
    "CorruptedFolder": "corruptions.folder",
    "CorruptedImages": "corruptions.images",
    "Corruption": "corruptions.entry",
    "DataEntry": "known",
    "DataSet": "splits",
    "Fit": "fitting",
    "GROUPS": "corruptions.entry",
    "Generated": "corruptions.images",
    "MemorySplit": "splits",
    "SEVERITIES": "corruptions.table",
    "STANDARD": "corruptions.table",
    "Split": "splits",
    "StreamedSplit": "splits",
    "Subset": "splits",
    "affine": "splits",
    "augment": "batching",
    "balanced_order": "batching",
    "batches": "batching",
    "cache_folder": "corruptions.images",
    "catalogue": "known",
    "channels_first": "arrays",
    "check_names": "corruptions.table",
    "concatenate": "splits",
    "corrupt": "corruptions.table",
    "data_uris": "thumbnails",
    "describe": "description",
    "in_memory": "memory",
    "load": "sources",
    "normalise": "splits",
    "order": "batching",
    "pixels": "pictures",
    "read_picture": "pictures",
    "refuse_small": "fitting",
    "save_arrays": "memory",
}

if TYPE_CHECKING:
    from lowland.data.arrays import channels_first
    from lowland.data.batching import augment, balanced_order, batches, order
    from lowland.data.corruptions.entry import GROUPS, Corruption
    from lowland.data.corruptions.folder import CorruptedFolder
    from lowland.data.corruptions.images import CorruptedImages, Generated, cache_folder
    from lowland.data.corruptions.table import CORRUPTIONS, SEVERITIES, STANDARD, check_names, corrupt
    from lowland.data.description import describe
    from lowland.data.fitting import Fit, refuse_small
    from lowland.data.known import DataEntry, catalogue
    from lowland.data.memory import Arrays, in_memory, save_arrays
    from lowland.data.pictures import pixels, read_picture
    from lowland.data.sources import load
    from lowland.data.splits import DataSet, MemorySplit, Split, StreamedSplit, Subset, affine, concatenate, normalise
    from lowland.data.thumbnails import data_uris

__all__ = [
    "CORRUPTIONS",
    "GROUPS",
    "SEVERITIES",
    "STANDARD",
    "Arrays",
    "CorruptedFolder",
    "CorruptedImages",
    "Corruption",
    "DataEntry",
    "DataSet",
    "Fit",
    "Generated",
    "MemorySplit",
    "Split",
    "StreamedSplit",
    "Subset",
    "affine",
    "augment",
    "balanced_order",
    "batches",
    "cache_folder",
    "catalogue",
    "channels_first",
    "check_names",
    "concatenate",
    "corrupt",
    "data_uris",
    "describe",
    "in_memory",
    "load",
    "normalise",
    "order",
    "pixels",
    "read_picture",
    "refuse_small",
    "save_arrays",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowland.data' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
