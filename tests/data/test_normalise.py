"""Images that are not normalised, as the weights of the GeNAS code expect them."""

from __future__ import annotations

import torch

from lowland.core.config import DataConfig
from lowland.data import load


def test_levels_from_zero_to_one() -> None:
    plain = load(DataConfig(name="digits", normalise="none"), seed=0)
    assert (plain.mean, plain.std) == ((0.0,), (1.0,))
    x = plain.train.images(torch.arange(20))
    assert torch.allclose(plain.normalise(x), x.float() / 255)
    usual = load(DataConfig(name="digits"), seed=0)
    assert usual.mean[0] > 0
    assert usual.fingerprint == plain.fingerprint
