"""The blocks of a network one after the other: what goes in, what comes out, and the graph between the two.

A standalone network keeps its blocks in a `nn.ModuleList` called `cells`, run in order; where there is another called
`reductions` beside it, as in NAS-Bench-201, these are blocks too.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lowland.core.errors import ConfigError

Visit = Callable[[Tensor, Tensor], None]
"""Called with input (N, C, H, W) and output (N, C′, H′, W′) of a block."""


def find_blocks(network: nn.Module) -> list[nn.Module]:
    """Find the blocks of `network`.

    Returns:
        Its blocks, cells first.

    Raises:
        ConfigError: there are none.
    """
    for name, module in network.named_modules():
        parent, _, last = name.rpartition(".")
        if last == "cells" and isinstance(module, nn.ModuleList):
            beside = getattr(network.get_submodule(parent), "reductions", None)
            return [*module, *(beside if isinstance(beside, nn.ModuleList) else [])]
    raise ConfigError(
        f"a {type(network).__name__} has no blocks (a ModuleList `cells`) to be measured one by one; "
        "choose another measure for this space"
    )


def visit_blocks(network: nn.Module, x_NCHW: Tensor, visit: Visit) -> None:
    """Run `network` on `x_NCHW` and show `visit` the input and output of every block, in the order they run.

    The input is a leaf that requires gradients, and what the next block gets is cut off from the graph: a gradient of
    a block's output by its input is that of the one block, and the graph of only one block is held at a time. Of
    several feature maps that go into a block, such as the outputs of the two cells before, the input is the last; the
    others are constants.

    Raises:
        ConfigError: `network` has no blocks.
    """
    blocks = find_blocks(network)
    inputs: dict[nn.Module, Tensor] = {}

    def enter(block: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        feature = [value for value in arguments if isinstance(value, Tensor)][-1]
        inputs[block] = feature.detach().requires_grad_()
        return tuple(
            inputs[block] if value is feature else value.detach() if isinstance(value, Tensor) else value
            for value in arguments
        )

    def leave(block: nn.Module, arguments: object, y_NCHW: Tensor) -> Tensor:
        visit(inputs.pop(block), y_NCHW)
        return y_NCHW.detach()

    handles = [block.register_forward_pre_hook(enter) for block in blocks]
    handles += [block.register_forward_hook(leave) for block in blocks]
    try:
        network(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()
