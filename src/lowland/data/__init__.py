"""Data: what the networks learn from, decoded once and kept as uint8 on the device."""

from lowland.data.batches import augment, balanced_order, batches, order
from lowland.data.corruptions.entry import GROUPS, Corruption
from lowland.data.corruptions.folder import CorruptedFolder
from lowland.data.corruptions.images import CorruptedImages, Generated, cache_folder
from lowland.data.corruptions.table import CORRUPTIONS, SEVERITIES, STANDARD, check_names, corrupt
from lowland.data.folder import pixels
from lowland.data.sources import DataEntry, catalogue, load
from lowland.data.splits import DataSet, MemorySplit, Split, StreamedSplit, Subset, concatenate, normalise

__all__ = [
    "CORRUPTIONS",
    "GROUPS",
    "SEVERITIES",
    "STANDARD",
    "CorruptedFolder",
    "CorruptedImages",
    "Corruption",
    "DataEntry",
    "DataSet",
    "Generated",
    "MemorySplit",
    "Split",
    "StreamedSplit",
    "Subset",
    "augment",
    "balanced_order",
    "batches",
    "cache_folder",
    "catalogue",
    "check_names",
    "concatenate",
    "corrupt",
    "load",
    "normalise",
    "order",
    "pixels",
]
