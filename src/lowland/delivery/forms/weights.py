"""Weights and what they belong to in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save

from lowland.core.files import write_bytes
from lowland.core.genotype import Genotype
from lowland.delivery.forms.form import Classify, Form, Request, metadata
from lowland.delivery.network import Network
from lowland.spaces import NetworkOptions, Shape, get


class Weights(Form):
    """The weights, with everything else of the network in the header."""

    name = "safetensors"
    suffix = ".safetensors"
    summary = "weights for PyTorch, and what they belong to in the header"

    def write(self, network: Network, path: Path, request: Request) -> None:
        """Write the bare network's state; keys are those of `network.body`."""
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.body.state_dict().items()}
        write_bytes(path, save(state, dict(metadata(network, None))))

    def open(self, path: Path, threads: int) -> Classify:
        """The network, rebuilt from the file alone."""
        with safe_open(path, framework="pt") as file:
            known = file.metadata()
        genotype = Genotype(known["space"], tuple(json.loads(known["genes"])))
        shape = Shape(**json.loads(known["shape"]))
        body = get(genotype.space).network(genotype, shape, NetworkOptions())
        body.load_state_dict(load_file(path))
        return Network(
            body,
            genotype=genotype,
            shape=shape,
            classes=json.loads(known["classes"]),
            mean=json.loads(known["mean"]),
            std=json.loads(known["std"]),
            facts={},
        ).eval()
