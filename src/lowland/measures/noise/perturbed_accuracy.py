"""The accuracy under weight noise in proportion to each weight, with batch norm by the statistics of each batch.

Array names: K noise draws, N images.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from lowland.core.settings import Rate, Section
from lowland.measures.calibration import by_batch, path_batch_norms
from lowland.measures.measure import register
from lowland.measures.noise.draws import mean_over_draws, outcomes_under_noise
from lowland.measures.per_image import Array
from lowland.measures.shared import NOISE, SCORED
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@register
class PerturbedAccuracy(SubnetMeasure):
    """E_z[acc(w ⊙ (1 + σ z))], top-1 accuracy in [0, 1], z ~ N(0, 1) per scalar, on every parameter on the path.

    The expected 0-1 loss under Gaussian weight noise is what PAC-Bayes bounds are about; noise in proportion to each
    weight makes it the same for networks that differ only by factors moved between layers. σ, its setting `sigma`, is
    large enough that the weights of one training run matter less than the architecture; the mean is over
    `measure.draws` draws, each also mirrored where `measure.antithetic`, and over the first `measure.noise_images` of
    the scored images.

    So much noise shifts the statistics of activations, and with those of the clean weights hardly any accuracy is left.
    So every batch norm takes mean and variance of the batch it sees (of about `measure.batch_size` images, as in
    training), which also saves calibrating. The standard error is that of `mean_over_draws`.
    """

    name = "perturbed_accuracy"
    summary = "accuracy under large relative weight noise, batch norm by each batch's own statistics"
    source = (
        "magnitude-aware perturbation: Jiang et al., ICLR 2020 (arXiv 1912.02178); noise of FlatNAS (arXiv 2402.19102)"
    )
    calibrates = False

    needs = (*SCORED, *NOISE, "draws", "noise_images")

    class Config(Section):
        """Settings of the perturbed accuracy."""

        sigma: Rate = Field(0.4, description="relative noise")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """The candidate's accuracy under noise; raises NotFiniteError where a loss is not finite."""
        sigma, scored = self.options.sigma, subnet.noise_scored(self.shared)
        with by_batch(path_batch_norms(subnet.supernet, subnet.genotype)):
            found = outcomes_under_noise(subnet, self.shared, sigma, self.shared.draws, relative=True, scored=scored)
        correct_KN: Array = np.array([np.mean([outcome.correct_N for outcome in signed], axis=0) for signed in found])
        facts = {"sigma": sigma, "accuracies": correct_KN.mean(axis=1).tolist()}
        estimate = mean_over_draws(correct_KN, facts)
        return replace(estimate, influence_N=subnet.noise_influence(estimate.influence_N, self.shared))
