"""A delivered network as ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from lowland.core.errors import LowlandError
from lowland.core.files import replacing
from lowland.delivery.network import Network


def write(network: Network, path: Path) -> None:
    """Write the bare network as ONNX: input `images` (normalised floats), output `logits`, any batch size.

    Raises:
        LowlandError: the `onnx` extra is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise LowlandError("ONNX export needs the extra packages: pip install 'lowland[onnx]'") from error
    with replacing(path) as temporary:
        torch.onnx.export(
            network.body,
            (network.example,),
            temporary,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"x_NCHW": {0: torch.export.Dim("batch")}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
