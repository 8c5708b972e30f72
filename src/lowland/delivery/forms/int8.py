"""ONNX in int8: quantised after training, calibrated on training images.

Weights are int8 with a scale for each output channel, activations uint8 with one for each tensor, from the smallest to
the largest value seen on the calibration images; written as QuantizeLinear and DequantizeLinear pairs (QDQ), which
runtimes turn into their integer kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from lowland.core.files import replacing
from lowland.delivery.forms.form import Request
from lowland.delivery.forms.onnx import Onnx, export, finish
from lowland.delivery.network import Network

OPERATIONS = ("Conv", "Gemm", "MatMul")
"""What is quantised: the operations with weights. Sums and pools stay in fp32 (docs/log.md: nearer, not slower)."""

BATCH = 64
"""Calibration images at a time: of each batch the ranges of all activations are kept."""


class Int8(Onnx):
    """The network with weights in a quarter of the room."""

    name = "onnx-int8"
    suffix = ".int8.onnx"
    summary = "ONNX, opset 20, in int8 (QDQ), calibrated on training images"
    packages = ("onnx", "onnxscript", "onnxruntime")
    calibrates = True

    def write(self, network: Network, path: Path, request: Request) -> None:
        """Write the model; ConfigError where there are no calibration images."""
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        images_NCHW = request.inputs(network, self.calibration(request))
        with replacing(path) as temporary, TemporaryDirectory() as folder, _quiet():
            plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
            export(network, plain, request)
            quant_pre_process(plain, prepared)
            quantize_static(
                prepared,
                temporary,
                _reader(images_NCHW),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATIONS),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                calibration_providers=["CPUExecutionProvider"],
            )
            shorten(temporary)
            share(temporary)
            finish(temporary, network, request)


def shorten(path: Path) -> None:
    """Give all values of a model short names, but its input and output, and nodes none.

    Each quantised value has three names of up to a hundred letters, which in a network of 400,000 weights is a tenth of
    the file.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    known: dict[str, str] = {"": ""} | {value.name: value.name for value in (*graph.input, *graph.output)}

    def short(name: str) -> str:
        return known.setdefault(name, f"v{len(known):x}")

    for node in graph.node:
        if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
            return  # names of an inner graph may be those of this one
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        node.name = ""
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    del graph.value_info[:]
    onnx.save(model, path)


def share(path: Path) -> None:
    """Keep one of each group of equal constants: the zero points of all layers of a width are alike.

    The quantiser writes a zero point for every channel of every weight and every bias, always 0. In a MobileNetV3 of
    450,000 parameters the repeated ones are a fortieth of the file.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    if any(attribute.type == onnx.AttributeProto.GRAPH for node in graph.node for attribute in node.attribute):
        return  # an inner graph may use a constant by its name
    known: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    repeated = []
    for place, tensor in enumerate(graph.initializer):
        content = onnx.numpy_helper.to_array(tensor).tobytes()
        first = known.setdefault((tensor.data_type, tuple(tensor.dims), content), tensor.name)
        instead[tensor.name] = first
        if first != tensor.name:
            repeated.append(place)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    for place in reversed(repeated):
        del graph.initializer[place]
    onnx.save(model, path)


def _reader(images_NCHW: Tensor) -> Any:
    """The images as onnxruntime's calibration asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.batches = iter(torch.split(images_NCHW, BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch_NCHW = next(self.batches, None)
            return None if batch_NCHW is None else {"images": batch_NCHW.numpy()}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the advice that onnxruntime's quantiser logs for its own developers."""
    root = logging.getLogger()
    before = root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
