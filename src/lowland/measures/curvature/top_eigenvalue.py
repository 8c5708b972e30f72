"""The largest eigenvalue of the loss Hessian: the curvature of the loss in its steepest direction.

Array names: J eigenvectors, G groups of images.
"""

from __future__ import annotations

from pydantic import Field

from lowland.core.settings import Positive, Section
from lowland.measures.curvature.hessian import LossHessian
from lowland.measures.curvature.hessian_trace import GROUPS, estimate_trace, group_influence
from lowland.measures.curvature.lanczos import top_eigenpairs
from lowland.measures.measure import register
from lowland.measures.shared import CALIBRATED
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@register
class TopEigenvalue(SubnetMeasure):
    """−λ₁ with λ₁ the largest eigenvalue of the Hessian of the mean cross-entropy of the first `hessian_images` images.

    By Lanczos' method over the parameters at `measure.position`, batch norm in evaluation mode on calibrated
    statistics; as many eigenvalues as its setting `eigenvalues` says are among the details. The standard error is over
    images, of v₁ᵀ H_g v₁ in groups of them, to first order; the residual, which bounds the distance of λ₁ to an
    eigenvalue, is among the details. Where nothing is perturbed, λ₁ is 0.
    """

    name = "top_eigenvalue"
    summary = "largest eigenvalue of the Hessian of the loss (nats per squared weight, negative)"
    source = "sharpness by λ_max: Keskar et al., ICLR 2017, Section 2.2; PyHessian (Yao et al., 2020), Section 3"

    needs = (*CALIBRATED, "position", "hessian_images")

    class Config(Section):
        """Settings of the eigenvalues."""

        eigenvalues: Positive = Field(1, description="how many of the largest are kept among the details")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """−λ₁ of the candidate; raises NotFiniteError where a curvature is not finite."""
        hessian = LossHessian(subnet, subnet.perturbable(self.shared.position), self.shared.hessian_images)
        hessian.seed = 0  # where Lanczos' method starts decides rounding only, so the run's seed has no say in it
        pairs = top_eigenpairs(hessian.product, hessian.vector("lanczos"), self.options.eigenvalues)
        # Of no parameters there is no eigenvector, and the forms of an empty one are 0.
        first_P = pairs.vectors_JP[0] if len(pairs.values_J) else hessian.vector("lanczos")
        forms_GJ, sizes_G = hessian.quadratic_forms(first_P[None], GROUPS)
        found = estimate_trace(forms_GJ, sizes_G)
        return Estimate(
            value=-float(pairs.values_J[0]) if len(pairs.values_J) else 0.0,
            influence_N=group_influence(found, sizes_G, subnet),
            noise_variance=0.0,
            details={
                "eigenvalues": pairs.values_J.tolist(),
                "eigenvalue_residuals": pairs.residuals_J.tolist(),
                "standard_error_images": found.images_se,
                "hessian_products": pairs.products,
                "images": hessian.images,
                "parameters": hessian.size,
            },
        )
