"""Output strides: a network whose last halvings are left out, so that its last maps stay fine for dense prediction.

A layer that would halve its map keeps every pixel instead, and all behind it that look at neighbours look twice as far
(dilation ×2). At every second pixel the map then holds what the network as it was found computes, edges included, so
that its weights mean the same (Chen et al., DeepLabv3, arXiv 1706.05587, §3.1). Exceptions: windows of average pooling
stay 3×3, and means over a whole map, as in squeeze-and-excitation, are over more pixels.
"""

from __future__ import annotations

from lowland.core.errors import ConfigError
from lowland.spaces.features import FeatureNetwork

OUTPUT_STRIDES = (8, 16, 32)
"""What may be asked for, besides a network's own stride."""


def check_output_stride(asked: int | None, own: int, space: str, *, dilates: bool = True) -> None:
    """Refuse an output stride that a network cannot have.

    Args:
        asked: Of the last map; None: its own.
        own: What it is without asking.
        space: Of the network.
        dilates: Whether networks of the space can leave halvings out.

    Raises:
        ConfigError: one sentence that says what can be had.
    """
    if asked in (None, own):
        return
    refused = f"{space}: output_stride={asked} cannot be had"
    if asked not in OUTPUT_STRIDES:
        raise ConfigError(f"{refused}; expected 8, 16 or 32")
    if asked > own:
        raise ConfigError(
            f"{refused}: the last map of this network has stride {own} as it is; ask for no more, or take a network "
            "with the stem of large images (network.stem=imagenet)"
        )
    if not dilates:
        raise ConfigError(
            f"{refused}: the last map of this network has stride {own}, and networks of this space are not dilated; "
            "leave output_stride out, or take a network of darts or mobilenetv3"
        )


def honoured(network: FeatureNetwork, asked: int | None, space: str) -> FeatureNetwork:
    """The network, where its last map has the stride asked for: a space that does not know the option might ignore it.

    Args:
        network: As its space built it.
        asked: `NetworkOptions.output_stride`.
        space: Of the network.

    Returns:
        The same network.

    Raises:
        ConfigError: its last map has another stride.
    """
    check_output_stride(asked, network.feature_info[-1].stride, space, dilates=False)
    return network
