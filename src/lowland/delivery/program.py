"""A delivered network as a `torch.export` program (.pt2)."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from lowland.core.files import write_bytes
from lowland.delivery.network import Network


def write(network: Network, path: Path) -> None:
    """Write the bare network as a `torch.export` program (.pt2): normalised float images → logits, any batch size."""
    shapes = {"x_NCHW": {0: torch.export.Dim("batch")}}
    content = io.BytesIO()
    torch.export.save(torch.export.export(network.body, (network.example,), dynamic_shapes=shapes), content)
    write_bytes(path, content.getvalue())
