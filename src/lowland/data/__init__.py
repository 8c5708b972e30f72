"""Data: what the networks learn from, decoded once and kept as uint8 on the device."""

from lowland.data.batches import augment, batches, order
from lowland.data.corruptions import CORRUPTIONS, Corruption, corrupt
from lowland.data.folder import pixels
from lowland.data.sources import DataEntry, catalogue, load
from lowland.data.splits import DataSet, MemorySplit, Split, StreamedSplit, Subset, concatenate, normalise

__all__ = [
    "CORRUPTIONS",
    "Corruption",
    "DataEntry",
    "DataSet",
    "MemorySplit",
    "Split",
    "StreamedSplit",
    "Subset",
    "augment",
    "batches",
    "catalogue",
    "concatenate",
    "corrupt",
    "load",
    "normalise",
    "order",
    "pixels",
]
