"""Evaluation: how trained networks are judged."""

from lowland.evaluation.classification import classification, predict
from lowland.evaluation.landscape import loss_curve
from lowland.evaluation.shift.corruptions import alexnet_normalised, corruption_accuracy

__all__ = ["alexnet_normalised", "classification", "corruption_accuracy", "loss_curve", "predict"]
