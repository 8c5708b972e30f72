"""Progressive shrinking of elastic MobileNetV3 spaces: genotypes of which some dimensions are not elastic yet."""

from __future__ import annotations

from collections.abc import Collection

from lowland.core.genotype import Genotype
from lowland.spaces.mobilenetv3.design import Design
from lowland.spaces.mobilenetv3.genotype import validate


def restricted(design: Design, genotype: Genotype, elastic: Collection[str]) -> Genotype:
    """Put kernels, depths and expansions that are not in `elastic` at their largest.

    Blocks that a greater depth adds repeat the choices of the stage's own blocks in order, so that each option of a
    dimension already elastic is as likely on them as on the others. The resolution stays.

    Returns:
        A legal genotype.
    """
    validate(design, genotype)
    genes: list[int] = []
    for number in range(len(design.stages)):
        depth, *rest = design.stage(genotype.genes, number)
        deep = depth if "depth" in elastic else design.most
        genes.append(deep)
        for name, values, options in (
            ("kernel", rest[: design.most], design.kernels),
            ("expansion", rest[design.most :], design.expansions),
        ):
            found = [values[block % depth] if name in elastic else len(options) for block in range(deep)]
            genes += [*found, *[0] * (design.most - deep)]
    return Genotype(design.name, (*genes, genotype.genes[-1]))
