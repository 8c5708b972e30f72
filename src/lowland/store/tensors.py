"""Tensors as safetensors files: weights and their metadata as bytes, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def to_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file; tensors that share memory (tied weights, views) are written out each."""
    from safetensors.torch import save

    own: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        address = value.untyped_storage().data_ptr()
        # The format refuses tensors that share memory.
        own[name] = value.clone() if address in storages else value
        storages.add(address)
    content: bytes = save(own, metadata=dict(metadata))
    return content


def from_safetensors(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the content of an intact safetensors file.

    The format begins with the length of its JSON header (8 bytes, little-endian) and that header, which may hold
    `__metadata__`, a map of strings.

    Returns:
        Tensors by name (on the CPU), and metadata.
    """
    from safetensors.torch import load

    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return load(content), metadata
