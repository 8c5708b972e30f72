"""A `torch.export` program (.pt2)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import cast

import torch

from lowland.core.files import write_bytes
from lowland.delivery.forms.form import Classify, Form, Request, metadata, program
from lowland.delivery.network import Network

METADATA = "lowland.json"
"""The file within a program that holds its metadata, as `torch.export.load(…, extra_files=…)` reads it."""


class Exported(Form):
    """A program for PyTorch that needs no lowland."""

    name = "pt2"
    suffix = ".pt2"
    summary = "a torch.export program, for PyTorch without lowland"

    def write(self, network: Network, path: Path, request: Request) -> None:
        """Write the program: input `images` (N, C, H, W), any N → logits (N, K)."""
        whole = program(network, request)
        shapes = {"images": {0: torch.export.Dim("batch")}}
        exported = torch.export.export(whole, (whole.example(network),), dynamic_shapes=shapes)
        for node in exported.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
        content = io.BytesIO()
        told = json.dumps(dict(metadata(network, request.normalise)), ensure_ascii=False)
        torch.export.save(exported, content, extra_files={METADATA: told})
        write_bytes(path, content.getvalue())

    def open(self, path: Path, threads: int) -> Classify:
        """The program as a module."""
        return cast(Classify, torch.export.load(path).module())
