"""What benchmarks of dense tasks compare: a found network, random ones of its space, and one of timm, of equal size.

Size is that of the backbone: its parameters without the classifier. The found and the random genotypes are as wide as
the size of timm's network allows, at the depth of the found one. All begin from scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.delivery import network as delivery
from lowland.evaluation.dense.source import Source, of_genotype, of_timm
from lowland.spaces import Cost, Shape, get, published
from lowland.spaces.width import fitted

STRIDES = (8, 16, 32)
SIDE = 256
"""Of the picture whose multiply-accumulates are told, pixels."""

TOLERANCE = 0.05
"""Share by which a random network's size may differ from the found one's: widths go in steps."""


@dataclass(frozen=True)
class Candidate:
    """A backbone of the comparison: what people call it, and which network each seed trains."""

    name: str
    source: Callable[[int], Source]


def candidates(found: str, size: str) -> list[Candidate]:
    """A found network, random ones of its space (another genotype for each seed), and timm's.

    Args:
        found: Run or network folder, or `published:NAME`.
        size: Name of timm's network, whose size all have.
    """
    genotype, shape = designed(found)
    other = of_timm(size)
    best = fitted(get(genotype.space), genotype, shape, parameters=cost(other).parameters, fill=False)
    wanted = get(genotype.space).cost(genotype, best).parameters

    @cache
    def random(seed: int) -> Source:
        space = get(genotype.space)
        for index in range(1000):
            drawn = space.sample(numpy_rng(seed, "dense benchmark", "random genotype", index))
            sized = fitted(space, drawn, shape, parameters=round((1 + TOLERANCE) * wanted), fill=False)
            if space.cost(drawn, sized).parameters >= (1 - TOLERANCE) * wanted:
                return of_genotype(drawn, sized, f"random-{genotype.space}-{seed}")
        raise SystemExit(f"no random genotype of {genotype.space} has {wanted:,} parameters")

    source = of_genotype(genotype, best, found if found.startswith("published:") else "found")
    return [Candidate("found", lambda seed: source), Candidate("random", random), Candidate("timm", lambda seed: other)]


def designed(found: str) -> tuple[Genotype, Shape]:
    """Genotype and shape of a found network, with the stem of large images, and no classifier worth counting."""
    kind, _, name = found.partition(":")
    if kind == "published":
        known = published.get(name)
        genotype, shape = known.genotype, known.shape
    else:
        network = delivery.load(Path(found))
        genotype, shape = network.genotype, replace(network.shape, in_channels=3, stem="imagenet")
    return genotype, replace(shape, num_classes=1, image_size=SIDE)


def cost(source: Source) -> Cost:
    """Parameters, and multiply-accumulates of the maps of a picture of `SIDE` pixels."""
    backbone = source.backbone(STRIDES, 0, scratch=True).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        backbone(torch.zeros(1, 3, SIDE, SIDE, device="meta"))
    return Cost(sum(p.numel() for p in backbone.parameters()), counter.get_total_flops() // 2)


def described(source: Source) -> dict[str, object]:
    """What a result says of a backbone."""
    found = cost(source)
    return {"name": source.name, "text": source.text, "parameters": found.parameters, "macs_256": found.macs}
