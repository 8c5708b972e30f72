"""A form of a delivered network: what writes it, what opens it again, and what it says of itself.

Tensor names: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from lowland._version import __version__
from lowland.core.errors import ConfigError, LowlandError
from lowland.data import affine
from lowland.delivery.network import Network
from lowland.spaces import get

Classify = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) as the form takes them → logits (N, K)."""

LICENCE = "not stated; it is the owner's to choose"
"""What a file says of its licence."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a form is made.

    Attributes:
        normalise: Programs take uint8 images, 0 to 255, and normalise them; otherwise float32 images, normalised
            already. The types differ, so that a runtime refuses one in place of the other.
        calibration_NCHW: Training images, uint8, from which int8 forms take the ranges of their activations.
    """

    normalise: bool = True
    calibration_NCHW: Tensor | None = None

    def inputs(self, network: Network, x_NCHW: Tensor) -> Tensor:
        """uint8 images as the form takes them."""
        return x_NCHW if self.normalise else network.normalise(x_NCHW)


class Form(ABC):
    """One form.

    Attributes:
        name: As `--format` takes it.
        suffix: Of its files, with all dots.
        summary: What it is, in a line.
        packages: What it needs beyond lowland's own requirements.
        extra: The extra of lowland that brings them.
        calibrates: Whether it needs `Request.calibration_NCHW`.
    """

    name: str
    suffix: str
    summary: str
    packages: Sequence[str] = ()
    extra: str = ""
    calibrates: bool = False

    def require(self) -> None:
        """Raise LowlandError where a package it needs is not installed."""
        for package in self.packages:
            try:
                missing = find_spec(package) is None
            except ValueError:  # a module that was put in sys.modules without a spec, or barred there
                missing = True
            if missing:
                raise LowlandError(f"{self.name} export needs the extra packages: pip install 'lowland[{self.extra}]'")

    @abstractmethod
    def write(self, network: Network, path: Path, request: Request) -> None:
        """Write the network to `path`, atomically."""

    @abstractmethod
    def open(self, path: Path, threads: int) -> Classify:
        """What is in a file, ready to run on the CPU.

        Args:
            path: A file that `write` made.
            threads: CPU threads; those of torch are the caller's to set.

        Returns:
            Its function of images.
        """

    def calibration(self, request: Request) -> Tensor:
        """The calibration images; ConfigError where there are none."""
        if request.calibration_NCHW is None or not len(request.calibration_NCHW):
            raise ConfigError(f"{self.name} needs training images to calibrate on; name them with --data")
        return request.calibration_NCHW


class Program(nn.Module):
    """What is exported: the bare network, behind the normalisation unless the caller does it."""

    scale_C11: Tensor
    shift_C11: Tensor

    def __init__(self, network: Network, *, normalise: bool) -> None:
        super().__init__()
        self.body = network.body
        self.normalise = normalise
        scale_C11, shift_C11 = affine(network.mean, network.std, torch.device("cpu"))
        self.register_buffer("scale_C11", scale_C11)
        self.register_buffer("shift_C11", shift_C11)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), uint8, or float32 and normalised → logits (N, K); equal to the network's bit for bit."""
        if self.normalise:
            images = images.to(torch.float32) * self.scale_C11 - self.shift_C11
        logits_NK: Tensor = self.body(images)
        return logits_NK

    def example(self, network: Network) -> Tensor:
        """Two black images, from which exporters trace it: a batch of one would make one the only size."""
        return torch.zeros_like(network.example, dtype=torch.uint8) if self.normalise else network.example


def program(network: Network, request: Request) -> Program:
    """The program of a network, in eval mode."""
    return Program(network, normalise=request.normalise).eval()


def metadata(network: Network, normalise: bool | None) -> Mapping[str, str]:
    """What a file says of itself: texts, and JSON where a value is no text.

    Args:
        network: The network.
        normalise: Whether the file holds a program that normalises; None for weights alone.

    Returns:
        Texts by name.
    """
    shape = network.shape
    size = f"N×{shape.in_channels}×{shape.image_size}×{shape.image_size}"
    plain = (
        f"float32 images {size}, normalised: (x / 255 − mean) / std of levels x from 0 to 255, channels in RGB order"
    )
    levels = f"uint8 images {size}, levels from 0 to 255, channels in RGB order; the program normalises them"
    return {
        "lowland": __version__,
        "space": network.genotype.space,
        "genotype": get(network.genotype.space).format(network.genotype),
        "genes": json.dumps(network.genotype.genes),
        "shape": json.dumps(shape.described()),
        "classes": json.dumps(network.classes, ensure_ascii=False),
        "image_size": str(shape.image_size),
        "channels": str(shape.in_channels),
        "mean": json.dumps(network.mean),
        "std": json.dumps(network.std),
        "fit": network.fit,
        "input": levels if normalise else plain,
        "output": f"logits N×{shape.num_classes}, in the order of `classes`",
        "license": LICENCE,
    }
