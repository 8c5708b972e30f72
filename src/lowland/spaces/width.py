"""Width fitting: the widest network of a genotype within a number of parameters and of multiply-accumulates.

With it networks are compared at equal cost, each at the width C that fills the budget, as papers do in choosing C for
600 M multiply-accumulates on ImageNet.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lowland.core.errors import BudgetError, ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces.space import Space
from lowland.spaces.values import GROWTH, Cost, Shape

WIDEST = 4096
"""No width above this is tried."""

FINE = 0.01
"""Growths are tried in steps of this."""


def fitted(
    space: Space,
    genotype: Genotype,
    shape: Shape,
    *,
    parameters: int | None = None,
    macs: int | None = None,
    fill: bool = True,
) -> Shape:
    """The widest network of `genotype` within a budget.

    C* = max {C ∈ {s, 2s, …} : parameters(C) ≤ P and MACs(C) ≤ M}, s being the space's `width_step`. A cost never falls
    with the width, so bisection finds C* exactly. Where several widths round to one network (elastic spaces), it is
    the largest of them.

    A step of a narrow network is coarse: of 9 channels and 10 the parameters differ by a fifth. So with `fill`, in
    spaces whose later stages have widths of their own (`Space.grows`), these get what is left: the growth g becomes
    g* = max {g, g + 0.01, … < g·(1 + s/C*) : parameters(C*, g*) ≤ P and MACs(C*, g*) ≤ M}, the least of those that
    give the same network.

    Args:
        space: The space of `genotype`.
        genotype: What to build.
        shape: Its size but for the width, which does not matter.
        parameters: P, the most parameters; None: any number.
        macs: M, the most multiply-accumulates for one image; None: any number.
        fill: Whether later stages get what a step of the width leaves; without, the growth stays as it is.

    Returns:
        `shape` with the width C* and the growth g*.

    Raises:
        BudgetError: Even the narrowest network is too large; says what it needs.
        ConfigError: There is no budget, or no network of this shape can be built.

    Example:
        >>> from lowland import spaces
        >>> space = spaces.get("nasbench201")
        >>> cell = space.parse("3,3,3,3,3,3")
        >>> found = fitted(space, cell, Shape(cells=1), parameters=300_000)
        >>> found.channels, found.growth, space.cost(cell, found).parameters
        (14, 2.04, 299051)
    """

    def at(width: int) -> Shape:
        return replace(shape, channels=width)

    width = widest(
        lambda width: space.cost(genotype, at(width)),
        space.width_step,
        f"a {space.name} network of {space.format(genotype)}",
        parameters=parameters,
        macs=macs,
    )
    if not fill or not space.grows:
        return at(width)
    return _filled(space, genotype, at(width), partial(_within, parameters=parameters, macs=macs))


def _filled(space: Space, genotype: Genotype, shape: Shape, within: Callable[[Cost], bool]) -> Shape:
    """The shape with the growth that fills a budget within which it is; see `fitted`."""

    def at(steps: int) -> Shape:
        return replace(shape, growth=round(shape.growth + steps * FINE, 4))

    def cost(steps: int) -> Cost:
        return space.cost(genotype, at(steps))

    most = min(shape.growth * (1 + space.width_step / shape.channels), GROWTH[1]) - shape.growth
    low, high = 0, math.ceil(round(most / FINE, 6))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(cost(middle)) else (low, middle)
    return at(bisect_left(range(low), cost(low).parameters, key=lambda steps: cost(steps).parameters))


def _within(cost: Cost, parameters: int | None, macs: int | None) -> bool:
    return (parameters is None or cost.parameters <= parameters) and (macs is None or cost.macs <= macs)


def widest(
    cost: Callable[[int], Cost], step: int, what: str, *, parameters: int | None = None, macs: int | None = None
) -> int:
    """The largest multiple of `step`, up to `WIDEST`, whose cost is within the budget.

    Args:
        cost: Width → cost, which never falls with the width.
        step: Widths tried are its multiples.
        what: What is built, for messages.
        parameters: The most parameters; None: any number.
        macs: The most multiply-accumulates; None: any number.

    Returns:
        The width.

    Raises:
        BudgetError: Even the narrowest is too large; says what it needs.
        ConfigError: There is no budget.
    """
    if parameters is None and macs is None:
        raise ConfigError(f"the width of {what} cannot be fitted to nothing: give a number of parameters or of MACs")

    def fits(steps: int) -> bool:
        return _within(cost(steps * step), parameters, macs)

    if not fits(1):
        raise BudgetError(_too_large(what, step, cost(step), parameters, macs))
    low, high = 1, 2  # fits(low) always; not fits(high) in the end
    while high * step <= WIDEST and fits(high):
        low, high = high, 2 * high
    high = min(high, WIDEST // step + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low * step


def _too_large(what: str, width: int, least: Cost, parameters: int | None, macs: int | None) -> str:
    """One sentence that says what even the narrowest network needs."""
    over = [
        (f"{has:,} {unit}", f"{most:,} {unit}")
        for has, most, unit in ((least.parameters, parameters, "parameters"), (least.macs, macs, "MACs"))
        if most is not None and has > most
    ]
    has, most = (" and ".join(side) for side in zip(*over, strict=True))
    return f"{what} has {has} at its narrowest (channels={width}), above the budget of {most}; allow at least {has}"
