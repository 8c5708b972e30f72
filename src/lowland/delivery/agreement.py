"""Whether an exported file says what the network says, on real images, and how fast it says it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowland.core.threads import usable_threads
from lowland.core.torch_settings import settings_kept
from lowland.data import Split
from lowland.delivery.forms.form import Classify, Form, Request
from lowland.delivery.network import BATCH, Network

BATCHES = (1, 16)
"""Batch sizes that are timed."""

SECONDS = 0.3
"""About how long each batch size is timed, for the file and the network together."""

LEAST = 5
"""Turns of each, however long they take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Time of one batch on the CPU, file and network in turns, so that other programs disturb both alike.

    Attributes:
        batch: Images at a time.
        threads: CPU threads.
        milliseconds: Median over the turns.
        low: First quartile, milliseconds.
        high: Third quartile, milliseconds.
        eager_milliseconds: Median of the PyTorch network in the same turns.
        turns: How many.
    """

    batch: int
    threads: int
    milliseconds: float
    low: float
    high: float
    eager_milliseconds: float
    turns: int

    @property
    def ratio(self) -> float:
        """Time relative to the PyTorch network; below 1 is faster."""
        return self.milliseconds / self.eager_milliseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How a file's logits differ from the network's on images with labels.

    Attributes:
        images: How many.
        largest_difference: max |logit of the file − logit of the network|.
        largest_logit: max |logit of the network|, to see the difference against.
        changed: Images whose likeliest class is another.
        top1: Of the file, percent.
        top1_network: Of the network in PyTorch, percent.
        top1_error: Standard error of the difference of the two, points, paired by image.
    """

    images: int
    largest_difference: float
    largest_logit: float
    changed: int
    top1: float
    top1_network: float
    top1_error: float

    @property
    def top1_change(self) -> float:
        """Of the file minus that of the network, points."""
        return self.top1 - self.top1_network


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one export.

    Attributes:
        form: Its name.
        bytes: Size of the file.
        share: That, relative to the network's weights in fp32.
        normalised: Whether the file normalises images itself.
        agreement: On real images.
        latency: Of each batch size and number of threads.
    """

    form: str
    bytes: int
    share: float
    normalised: bool
    agreement: Agreement
    latency: tuple[Latency, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values, with the figures derived."""
        values = asdict(self)
        values["agreement"]["top1_change"] = self.agreement.top1_change
        values["latency"] = [asdict(each) | {"ratio": each.ratio} for each in self.latency]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Outcome:
        """From `to_json`."""
        agreement = {key: value for key, value in values["agreement"].items() if key != "top1_change"}
        latency = ({key: value for key, value in each.items() if key != "ratio"} for each in values["latency"])
        told = {"agreement": Agreement(**agreement), "latency": tuple(Latency(**each) for each in latency)}
        return cls(**values | told)


@settings_kept()
def judge(form: Form, path: Path, network: Network, request: Request, split: Split, indices: Tensor) -> Outcome:
    """Compare a file with the network it was made from, and time both.

    Args:
        form: Of the file.
        path: The file.
        network: On the CPU.
        request: As the file was made.
        split: Images with labels.
        indices: Which of them (N,).

    Returns:
        The differences on all these images, and times with one thread and with all that may be used.
    """
    counts = sorted({1, usable_threads()})
    torch.set_num_threads(counts[-1])
    classify = form.open(path, counts[-1])
    agreement = _agreement(classify, network, request, split, indices)
    latency = []
    for threads in counts:
        torch.set_num_threads(threads)
        timed = form.open(path, threads)
        for batch in BATCHES:
            repeated = indices.repeat(math.ceil(batch / len(indices)))[:batch]
            x_NCHW = request.inputs(network, split.images(repeated).cpu())
            latency.append(_latency(timed, network, x_NCHW, threads))
    size = path.stat().st_size
    return Outcome(
        form=form.name,
        bytes=size,
        share=size / _weights_bytes(network),
        normalised=request.normalise and form.suffix != ".safetensors",
        agreement=agreement,
        latency=tuple(latency),
    )


@torch.inference_mode()
def _agreement(classify: Classify, network: Network, request: Request, split: Split, indices: Tensor) -> Agreement:
    largest = logit = 0.0
    own: list[Tensor] = []
    reference: list[Tensor] = []
    for part in torch.split(indices, BATCH):
        x_NCHW = request.inputs(network, split.images(part).cpu())
        found_NK, expected_NK = classify(x_NCHW), network(x_NCHW)
        largest = max(largest, (found_NK - expected_NK).abs().max().item())
        logit = max(logit, expected_NK.abs().max().item())
        own.append(found_NK.argmax(dim=1))
        reference.append(expected_NK.argmax(dim=1))
    found_N, expected_N = torch.cat(own), torch.cat(reference)
    labels_N = split.labels_N[indices.to(split.device)].cpu()
    hits_N, hits_network_N = (found_N == labels_N).double(), (expected_N == labels_N).double()
    n = len(indices)
    spread = (hits_N - hits_network_N).var(correction=0).item()
    return Agreement(
        images=n,
        largest_difference=largest,
        largest_logit=logit,
        changed=int((found_N != expected_N).sum()),
        top1=100 * hits_N.mean().item(),
        top1_network=100 * hits_network_N.mean().item(),
        top1_error=100 * math.sqrt(spread / n),
    )


@torch.inference_mode()
def _latency(classify: Classify, network: Network, x_NCHW: Tensor, threads: int) -> Latency:
    runs: Sequence[Callable[[Tensor], object]] = (classify, network)
    for run in runs:  # what is prepared at the first call
        run(x_NCHW)
    spent: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + SECONDS
    while len(spent[0]) < LEAST or time.perf_counter() < end:
        for run, times in zip(runs, spent, strict=True):
            start = time.perf_counter()
            run(x_NCHW)
            times.append(1000 * (time.perf_counter() - start))
    low, middle, high = statistics.quantiles(spent[0], n=4)
    return Latency(
        batch=len(x_NCHW),
        threads=threads,
        milliseconds=middle,
        low=low,
        high=high,
        eager_milliseconds=statistics.median(spent[1]),
        turns=len(spent[0]),
    )


def _weights_bytes(network: Network) -> int:
    """Bytes of the tensors that `network.safetensors` holds."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.body.state_dict().values())
