"""SDARTS: weights are trained under perturbed mixtures, which smooths the validation loss in α."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from lowland.core.settings import Probability
from lowland.search.gradient import perturbation
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import GradientConfig, Moment
from lowland.spaces.relaxed import Mixture
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


class SmoothConfig(GradientConfig):
    """The radius ε of the perturbation, which grows linearly over the epochs."""

    first_radius: Probability = Field(0.03, description="ε in the first epoch")
    last_radius: Probability = Field(0.3, description="ε behind the last epoch")


class Smooth(GradientSearcher):
    """Only the step of the weights sees the perturbation; α is learnt at the clean mixture."""

    none: ClassVar[bool] = False

    Config = SmoothConfig
    options: SmoothConfig

    def for_weights(self, architecture: Architecture, moment: Moment) -> Mixture:
        """softmax(α) + δ, clipped and renormalised; with ε = 0 exactly softmax(α)."""
        clean = self.mixture(architecture).detached()
        epsilon = perturbation.radius(moment.epoch / moment.epochs, self.options.first_radius, self.options.last_radius)
        if epsilon == 0.0:
            return clean
        perturbed_KEO = self.perturbed(clean.operations_KEO, architecture.live_KEO, epsilon, moment)
        return Mixture(perturbation.projected(perturbed_KEO))

    @abstractmethod
    def perturbed(self, weights_KEO: Tensor, live_KEO: Tensor, epsilon: float, moment: Moment) -> Tensor:
        """Weights (K, E, O) within the box of radius ε."""


@register
class RandomSmoothing(Smooth):
    """SDARTS-RS: δ ~ U[−ε, ε]."""

    name = "sdarts-rs"
    summary = "DARTS whose weights are trained under randomly perturbed mixtures"
    source = "Chen and Hsieh, SDARTS, ICML 2020 (arXiv 2002.05283)"

    def perturbed(self, weights_KEO: Tensor, live_KEO: Tensor, epsilon: float, moment: Moment) -> Tensor:
        """Random weights within the box."""
        return perturbation.uniform(weights_KEO, live_KEO, epsilon, moment.generator())


@register
class AdversarialSmoothing(Smooth):
    """SDARTS-ADV: the δ of seven steps of projected ascent on the training batch."""

    name = "sdarts-adv"
    summary = "DARTS whose weights are trained under the perturbed mixtures that hurt most"
    source = "Chen and Hsieh, SDARTS, ICML 2020 (arXiv 2002.05283)"

    def perturbed(self, weights_KEO: Tensor, live_KEO: Tensor, epsilon: float, moment: Moment) -> Tensor:
        """The worst weights found within the box."""
        return perturbation.adversarial(weights_KEO, live_KEO, epsilon, moment.generator(), moment.training_loss)
