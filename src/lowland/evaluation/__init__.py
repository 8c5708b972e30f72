"""Evaluation: how trained networks are judged."""

from lowland.evaluation.classification import classification, predict
from lowland.evaluation.landscape import loss_curve
from lowland.evaluation.shift import corruption_accuracy

__all__ = ["classification", "corruption_accuracy", "loss_curve", "predict"]
