"""Callbacks: what a program of one's own is told while a run goes on, and ready ones for TensorBoard, MLflow and W&B.

`lowland.run(..., callbacks=[...])` takes objects of `lowland.Callback` and names of ready ones; so does `resume`. On
the command line the ready ones are asked for with `--logger tensorboard,mlflow`.
"""

from lowland.app.callbacks.callback import Callback
from lowland.app.callbacks.calling import Calling
from lowland.app.callbacks.ready import READY, chosen

__all__ = ["READY", "Callback", "Calling", "chosen"]
