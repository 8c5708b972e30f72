"""What can be asked of a loss surface beyond weight noise: curvature, sharpness and slices, checked and computed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lowland.core.errors import ConfigError
from lowland.measures.curvature.curvature import curvature
from lowland.measures.curvature.lanczos import Eigenpairs, top_eigenpairs
from lowland.measures.curvature.operator import Hessian
from lowland.measures.surface import slices
from lowland.measures.surface.sharpness import require_radius, sharpness
from lowland.measures.surface.slices import Plane, Slice, filter_normalised, surface_slice


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """What is asked for, as the arguments of `flatness` say; refused where it is out of range."""

    curvature: bool = False
    eigenvalues: int = 3
    vectors: int = 8
    sharpness: tuple[float, ...] = ()
    adaptive: bool = False
    slices: tuple[Plane, ...] = ()
    span: float | None = None
    points: int = 15
    images: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("eigenvalues", self.eigenvalues), ("vectors", self.vectors)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.images is not None and self.images < 1:
            raise ConfigError(f"curvature_images must be at least 1, or None for all images, got {self.images}")
        for rho in self.sharpness:
            require_radius(rho)
        for plane in self.slices:
            slices.require(plane, self.span, self.points)

    def arguments(self) -> dict[str, Any]:
        """As arguments of `flatness`."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return found | {"curvature_images": found.pop("images")}

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.curvature or self.sharpness or self.slices)


def look_around(hessian: Hessian, views: Views) -> dict[str, Any]:
    """Compute what is asked for; eigenvectors are found once.

    Args:
        hessian: The loss, of a candidate or of any model.
        views: What is asked for.

    Returns:
        `curvature`, `sharpness` and `slices` as `Flatness` holds them.

    Raises:
        ConfigError: the loss cannot be differentiated as often as it takes, or there are not two eigenvectors.
        NotFiniteError: a curvature, a gradient or a loss is not finite.
    """
    seen, pairs = None, None
    if views.curvature:
        asked = max(views.eigenvalues, 2) if "hessian" in views.slices else views.eigenvalues
        seen, pairs = curvature(hessian, eigenvalues=asked, vectors=views.vectors)
    elif "hessian" in views.slices:
        pairs = top_eigenpairs(hessian.product, hessian.vector("lanczos"), 2)
    return {
        "curvature": seen,
        "sharpness": tuple(sharpness(hessian, rho, adaptive=views.adaptive) for rho in views.sharpness),
        "slices": tuple(_slice(hessian, plane, pairs, views) for plane in views.slices),
    }


def _slice(hessian: Hessian, plane: Plane, pairs: Eigenpairs | None, views: Views) -> Slice:
    if plane == "random" or pairs is None:
        directions = filter_normalised(hessian, "slice", 0), filter_normalised(hessian, "slice", 1)
        return surface_slice(hessian, plane, directions, span=views.span, points=views.points)
    if len(pairs.values_J) < 2:
        raise ConfigError("the Hessian of this model has no two eigenvectors to slice along; choose the slice random")
    first, second = (float(value) for value in pairs.values_J[:2])
    directions = pairs.vectors_JP[0], pairs.vectors_JP[1]
    return surface_slice(hessian, plane, directions, span=views.span, points=views.points, eigenvalues=(first, second))
