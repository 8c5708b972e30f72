"""Width fitting: the widest network of a genotype within a number of parameters and of multiply-accumulates.

With it networks are compared at equal cost, each at the width C that fills the budget, as papers do in choosing C for
600 M multiply-accumulates on ImageNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowland.core.errors import BudgetError, ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces.space import Space
from lowland.spaces.values import Cost, Shape

WIDEST = 4096
"""No width above this is tried."""


def fitted(
    space: Space, genotype: Genotype, shape: Shape, *, parameters: int | None = None, macs: int | None = None
) -> Shape:
    """The widest network of `genotype` within a budget.

    C* = max {C ∈ {s, 2s, …} : parameters(C) ≤ P and MACs(C) ≤ M}, s being the space's `width_step`. A cost never falls
    with the width, so bisection finds C* exactly. Where several widths round to one network (elastic spaces), it is
    the largest of them.

    Args:
        space: The space of `genotype`.
        genotype: What to build.
        shape: Its size but for the width, which does not matter.
        parameters: P, the most parameters; None: any number.
        macs: M, the most multiply-accumulates for one image; None: any number.

    Returns:
        `shape` with the width C*.

    Raises:
        BudgetError: Even the narrowest network is too large; says what it needs.
        ConfigError: There is no budget, or no network of this shape can be built.

    Example:
        >>> from lowland import spaces
        >>> space = spaces.get("nasbench201")
        >>> cell = space.parse("3,3,3,3,3,3")
        >>> found = fitted(space, cell, Shape(cells=1), parameters=300_000)
        >>> found.channels, space.cost(cell, found).parameters <= 300_000
        (14, True)
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
    return at(width)


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
        found = cost(steps * step)
        return (parameters is None or found.parameters <= parameters) and (macs is None or found.macs <= macs)

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
