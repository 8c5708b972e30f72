"""References: networks that nobody had to search for, to compare a found one with, by name.

A name is one that a space declares (`Space.references`), `published:NAME` (`spaces.published`), `timm:NAME` (any
convolutional network of timm, from scratch), or a genotype: of the found network's space, or `SPACE:GENOTYPE`. Those of
a space may end in `@NORM` (`resnet-cell@ibn`): with that norm (`Shape.norm`) in place of batch norm. Those of timm may
end in `@pretrained` or `@FILE`: they begin with weights that timm publishes, or with those in a file of that layout.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from torch import nn

from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import published, width
from lowland.spaces.reference import Reference
from lowland.spaces.space import get, registered
from lowland.spaces.values import AS_PUBLISHED, Cost, NetworkOptions, Norm, Shape

DEPTHS: Mapping[str, int] = {"nasbench201": 1, "darts": 3, "darts-open": 3}
"""`Shape.cells` of references from another space than the found network's, as in the preset `quick`."""

LARGE_IMAGES = 96
"""Pixels from which the name `mobilenetv3` means the space made for large images."""

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "nasbench201": ("resnet-cell", "mobilenetv3"),
    "darts": ("darts-v2", "resnet-cell"),
    "darts-open": ("fairdarts-b", "resnet-cell"),
    "mobilenetv3": ("mobilenetv3", "resnet-cell"),
    "mobilenetv3-small": ("mobilenetv3", "resnet-cell"),
}
"""References of a run that names none: one of the same space, and one of another family."""


@dataclass(frozen=True, slots=True)
class SpaceReference(Reference):
    """A genotype of a search space. In the found network's own space it has the same depth and stem.

    `norm`: what it has in place of the shape's.
    """

    name: str
    described: Genotype
    source: str
    norm: Norm | None = None

    @property
    def genotype(self) -> Genotype:
        """What is built."""
        return self.described

    @property
    def family(self) -> str:  # type: ignore[override]
        """The space."""
        return self.described.space

    @property
    def text(self) -> str:
        """The published text form of the genotype, with the norm where it is not that of the shape."""
        return get(self.described.space).format(self.described) + (f"@{self.norm}" if self.norm else "")

    @property
    def lacks(self) -> tuple[str, ...]:  # type: ignore[override]
        """`auxiliary_weight` in spaces without an auxiliary head."""
        try:
            get(self.family).cost(
                self.described, Shape(cells=get(self.family).default_supernet["cells"]), auxiliary=True
            )
        except ConfigError:
            return ("auxiliary_weight",)
        return ()

    def own_shape(self, found: Shape, space: str) -> Shape:
        """The found network's shape; in another space that space's published width and the depth of `DEPTHS`."""
        if space == self.family:
            shape = found
        else:
            usual = get(self.family).default_supernet
            cells = DEPTHS.get(self.family, usual["cells"])
            shape = replace(found, channels=usual["channels"], cells=cells, stem="auto", **AS_PUBLISHED)
        if self.norm is not None:
            shape = replace(shape, norm=self.norm)
        try:
            get(self.family).check(shape)
        except ConfigError as error:
            raise ConfigError(f"reference {self.name} cannot be built: {error}") from error
        return shape

    def fitted(self, shape: Shape, *, parameters: int | None, macs: int | None) -> Shape:
        """The widest within the budget; see `width.fitted`."""
        return width.fitted(get(self.family), self.described, shape, parameters=parameters, macs=macs)

    def cost(self, shape: Shape) -> Cost:
        """By the space's own count."""
        return get(self.family).cost(self.described, shape)

    def network(self, shape: Shape, options: NetworkOptions = NetworkOptions()) -> nn.Module:
        """The standalone network."""
        return get(self.family).network(self.described, shape, options)


def find(text: str, space: str, image_size: int) -> Reference:
    """The reference that `text` names.

    Args:
        text: A name, `published:NAME`, `timm:NAME` (perhaps `@pretrained` or `@FILE`, whose weights are read, and
            fetched where timm's cache has them not), a genotype of `space`, or `SPACE:GENOTYPE`.
        space: The found network's space. A name that several spaces declare means the one here, if there is one here.
        image_size: Side of the images, pixels; decides between small and large MobileNetV3 where neither is searched.

    Returns:
        The reference, not yet sized.

    Raises:
        ConfigError: There is none of that name, with the nearest; or timm is not installed, or has none of that name;
            or no weights are published for it.
        DataError: The weights it is to begin with cannot be had, or are not its own.
        GenotypeError: It looks like a genotype, but is none.
    """
    bare, _, norm = text.rpartition("@")
    if norm in get_args(Norm):
        found = find(bare, space, image_size)
        if not isinstance(found, SpaceReference):
            raise ConfigError(f"{text} asks for another norm in a network of no search space; leave @{norm} out")
        return replace(found, name=f"{found.name}@{norm}", norm=norm)  # type: ignore[arg-type]  # one of Norm
    if bare in names() and norm != "pretrained":
        *others, last = get_args(Norm)
        raise ConfigError(f"reference {text} asks for a norm {norm!r}; known are {', '.join(others)} and {last}")
    kind, colon, rest = text.partition(":")
    if kind == "timm" and colon:
        from lowland.spaces.timm_networks import TimmReference  # here: timm is an extra

        model, at, weights = rest.partition("@")
        return TimmReference.of(model, weights if at else None)
    if norm == "pretrained" and bare:
        raise ConfigError(
            f"no weights are published for {bare}; only networks of timm can begin with learned ones "
            "(timm:NAME@pretrained): leave @pretrained out"
        )
    if kind == "published" and colon:
        known = published.get(rest)
        return SpaceReference(text, known.genotype, known.source)
    holders = [each for each in registered() if text in get(each).references]
    if holders:
        chosen = _chosen(holders, space, image_size)
        return SpaceReference(text, get(chosen).parse(get(chosen).references[text]), get(chosen).source)
    if kind in registered() and colon:
        return _of_genotype(kind, rest)
    if any(mark in text for mark in "|,(@"):
        return _of_genotype(space, text)
    raise ConfigError(_unknown(text, space))


def from_anywhere(text: str) -> str:
    """The same name with the absolute path of the file where it is `timm:NAME@FILE`."""
    model, at, weights = text.partition("@")
    if not (text.startswith("timm:") and at and weights) or weights in ("pretrained", *get_args(Norm)):
        return text
    return f"{model}@{Path(weights).expanduser().absolute()}"


def defaults(space: str) -> Sequence[str]:
    """Names of the references that a run in `space` is compared with unless others are named."""
    return DEFAULTS.get(space, ("resnet-cell", "mobilenetv3"))


def names() -> list[str]:
    """Names that spaces declare, sorted."""
    return sorted({name for each in registered() for name in get(each).references})


def _of_genotype(space: str, text: str) -> SpaceReference:
    try:
        genotype = get(space).parse(text)
    except GenotypeError as error:
        raise GenotypeError(f"reference {text!r} is no genotype of {space}: {error}") from error
    genes = ",".join(map(str, genotype.genes))
    return SpaceReference(f"{space}:{genes}", genotype, "a genotype given by hand")


def _chosen(holders: Sequence[str], space: str, image_size: int) -> str:
    if space in holders:
        return space
    usual = "mobilenetv3" if image_size >= LARGE_IMAGES else "mobilenetv3-small"
    return usual if usual in holders else holders[0]


def _unknown(text: str, space: str) -> str:
    near = difflib.get_close_matches(text, names(), n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"unknown reference {text!r}{guess}; name one of {', '.join(names())}, published:NAME, timm:NAME, or a "
        f"genotype of {space}"
    )
