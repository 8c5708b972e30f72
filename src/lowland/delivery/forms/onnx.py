"""ONNX, opset 20: input `images`, output `logits`, any batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowland._version import __version__
from lowland.core.files import replacing
from lowland.delivery.forms.form import Classify, Form, Request, metadata, program
from lowland.delivery.network import Network

OPSET = 20
"""The exporter's default in torch 2.14, which onnxruntime runs from 1.17 on; pinned, so that files stay alike."""


class Onnx(Form):
    """The network in fp32."""

    name = "onnx"
    suffix = ".onnx"
    summary = "ONNX, opset 20"
    packages: Sequence[str] = ("onnx", "onnxscript")
    extra = "onnx"

    def write(self, network: Network, path: Path, request: Request) -> None:
        """Write the model, with its metadata in `metadata_props`."""
        with replacing(path) as temporary:
            export(network, temporary, request)
            finish(temporary, network, request)

    def open(self, path: Path, threads: int) -> Classify:
        """A session of onnxruntime on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda x_NCHW: _run(session, x_NCHW)


def export(network: Network, path: Path, request: Request) -> None:
    """Write the model as torch does, without metadata of ours."""
    whole = program(network, request)
    torch.onnx.export(
        whole,
        (whole.example(network),),
        path,
        input_names=["images"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def finish(path: Path, network: Network, request: Request) -> None:
    """Give a model its metadata, and take away what tells of the machine that made it.

    The exporter leaves a stack trace with every node, with paths of the machine, and all types in between: a tenth of
    a small network's file.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for entry in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del entry.metadata_props[:]
        entry.doc_string = ""
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata(network, request.normalise)))
    model.producer_name, model.producer_version = "lowland", __version__
    graph.name = "lowland"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _run(session: Any, x_NCHW: Tensor) -> Tensor:
    (logits_NK,) = session.run(["logits"], {"images": x_NCHW.numpy()})
    return torch.from_numpy(logits_NK)
