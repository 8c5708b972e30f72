"""Measures: how a candidate is judged. Importing this package registers every measure.

- accuracy, loss: one-shot quality on the search split with inherited weights.
- flatness: slope and depth of the loss under weight noise, or along the Hessian's top eigenvectors (GeNAS).
- robustness, flatnas: change of the accuracy under relative weight noise, and its sum with the error (FlatNAS).
- perturbed_loss, adaptive_sharpness, filter_noise: the loss under absolute, relative and filter-normalised noise.
- perturbed_accuracy: the accuracy under large relative noise.
- hessian_trace: curvature of the loss.
- training_speed: the loss over a few steps of training at a high learning rate.
- angle: how far training turned the weights (RLNAS).
- parameters, macs, naswot, synflow, grad_norm, snip, jacob_cov, zico, ntk, linear_regions, expressivity, progressivity,
  trainability, vkdnw, vkdnw_entropy, meco: of the untrained network (`untrained`).
- latency: time for one image on the machine of the search.
- combined: sums of these, such as `angle+flatness`.
- landscape: flatness of any trained PyTorch model.

They are served by candidate (one path, calibrated once), calibration (batch-norm statistics), per_image (losses, clean
and under noise), perturbation (seeded weight noise), draws (several of them), hessian (products and eigenvectors) and
direction (noise along these).
"""

from lowland.measures import accuracy as _accuracy
from lowland.measures import angle as _angle
from lowland.measures import loss as _loss
from lowland.measures import training_speed as _training_speed
from lowland.measures.combined import Combined
from lowland.measures.curvature import hessian_trace as _hessian_trace
from lowland.measures.measure import Batches, Context, Measure, Score, get, register, registered
from lowland.measures.noise import adaptive_sharpness as _adaptive_sharpness
from lowland.measures.noise import filter_noise as _filter_noise
from lowland.measures.noise import flatnas as _flatnas
from lowland.measures.noise import flatness as _flatness
from lowland.measures.noise import perturbed_accuracy as _perturbed_accuracy
from lowland.measures.noise import perturbed_loss as _perturbed_loss
from lowland.measures.noise import robustness as _robustness
from lowland.measures.subnet import Subnet, calibrated_subnet
from lowland.measures.untrained import aznas as _aznas
from lowland.measures.untrained import gradients as _gradients
from lowland.measures.untrained import jacobian as _jacobian
from lowland.measures.untrained import latency as _latency
from lowland.measures.untrained import linear_regions as _linear_regions
from lowland.measures.untrained import meco as _meco
from lowland.measures.untrained import naswot as _naswot
from lowland.measures.untrained import ntk as _ntk
from lowland.measures.untrained import size as _size
from lowland.measures.untrained import synflow as _synflow
from lowland.measures.untrained import vkdnw as _vkdnw
from lowland.measures.untrained import zico as _zico

del (
    _accuracy,
    _adaptive_sharpness,
    _angle,
    _aznas,
    _filter_noise,
    _flatnas,
    _flatness,
    _gradients,
    _hessian_trace,
    _jacobian,
    _latency,
    _linear_regions,
    _loss,
    _meco,
    _naswot,
    _ntk,
    _perturbed_accuracy,
    _perturbed_loss,
    _robustness,
    _size,
    _synflow,
    _training_speed,
    _vkdnw,
    _zico,
)

__all__ = [
    "Batches",
    "Combined",
    "Context",
    "Measure",
    "Score",
    "Subnet",
    "calibrated_subnet",
    "get",
    "register",
    "registered",
]
