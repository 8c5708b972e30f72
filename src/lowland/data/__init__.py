"""Data: what the networks learn from, decoded once and kept as uint8 on the device."""

from lowland.data.arrays import channels_first
from lowland.data.batches import augment, balanced_order, batches, order
from lowland.data.corruptions.entry import GROUPS, Corruption
from lowland.data.corruptions.folder import CorruptedFolder
from lowland.data.corruptions.images import CorruptedImages, Generated, cache_folder
from lowland.data.corruptions.table import CORRUPTIONS, SEVERITIES, STANDARD, check_names, corrupt
from lowland.data.describe import describe
from lowland.data.fitting import Fit, refuse_small
from lowland.data.memory import Arrays, in_memory, save_arrays
from lowland.data.pictures import pixels, read_picture
from lowland.data.sources import DataEntry, catalogue, load
from lowland.data.splits import DataSet, MemorySplit, Split, StreamedSplit, Subset, concatenate, normalise

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
    "augment",
    "balanced_order",
    "batches",
    "cache_folder",
    "catalogue",
    "channels_first",
    "check_names",
    "concatenate",
    "corrupt",
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
