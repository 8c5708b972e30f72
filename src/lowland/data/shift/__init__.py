"""Published test sets under distribution shift: their class lists, layouts, pictures and traps.

ObjectNet is left out: two name maps with many-to-one labels, a border to be cut off and images that overlap ImageNet's.
"""

from lowland.data.shift.arrays import cifar_10_1
from lowland.data.shift.classes import CIFAR10, Group, cifar100, cifar_labels, group, imagenet_labels, wnids
from lowland.data.shift.corrupted import CorruptedPictures
from lowland.data.shift.folders import ClassFolders, any_pictures, class_folders
from lowland.data.shift.pictures import like_training, prepared
from lowland.data.shift.places import place

__all__ = [
    "CIFAR10",
    "ClassFolders",
    "CorruptedPictures",
    "Group",
    "any_pictures",
    "cifar100",
    "cifar_10_1",
    "cifar_labels",
    "class_folders",
    "group",
    "imagenet_labels",
    "like_training",
    "place",
    "prepared",
    "wnids",
]
