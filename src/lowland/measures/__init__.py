"""Measures: how a candidate is judged. Importing this package registers every measure.

- accuracy, loss: one-shot quality on the search split with inherited weights.
- flatness: slope and depth of the loss under weight noise (GeNAS).
- angle: how far training turned the weights (RLNAS).
- parameters, macs, naswot, synflow, grad_norm, snip, jacob_cov, zico, ntk: of the untrained network (`untrained`).
- combined: sums of these, such as `angle+flatness`.
- landscape: flatness of any trained PyTorch model.

They are served by candidate (one path, calibrated once), calibration (batch-norm statistics), per_image (losses, clean
and under noise) and perturbation (seeded weight noise).
"""

from lowland.measures import accuracy as _accuracy
from lowland.measures import angle as _angle
from lowland.measures import flatness as _flatness
from lowland.measures import gradients as _gradients
from lowland.measures import jacobian as _jacobian
from lowland.measures import loss as _loss
from lowland.measures import naswot as _naswot
from lowland.measures import ntk as _ntk
from lowland.measures import size as _size
from lowland.measures import synflow as _synflow
from lowland.measures import zico as _zico
from lowland.measures.candidate import Candidate, candidate
from lowland.measures.combined import Combined
from lowland.measures.measure import Batches, Context, Measure, Score, get, register, registered

del _accuracy, _angle, _flatness, _gradients, _jacobian, _loss, _naswot, _ntk, _size, _synflow, _zico

__all__ = [
    "Batches",
    "Candidate",
    "Combined",
    "Context",
    "Measure",
    "Score",
    "candidate",
    "get",
    "register",
    "registered",
]
