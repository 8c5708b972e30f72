"""Augmentation beyond flips and crops: changes of single images, and mixtures of two, all drawn from a seed."""

from lowland.data.augmentation.mixing import mixed
from lowland.data.augmentation.policies import POLICIES, augmix, random_operations, trivial
from lowland.data.augmentation.regions import erased, resized_crops

__all__ = ["POLICIES", "augmix", "erased", "mixed", "random_operations", "resized_crops", "trivial"]
