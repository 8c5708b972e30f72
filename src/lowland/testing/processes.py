"""What processes prepare that score for the suite of executors: importable by name in any of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import torch

from lowland.core.errors import DataError
from lowland.core.genotype import Genotype
from lowland.execution.tasks import TaskFunction


@dataclass(frozen=True)
class Prepare:
    """What a worker does first; `fault`: how it fails at that."""

    fault: str = ""

    def __call__(self) -> Callable[[Case, Genotype], SimpleNamespace]:
        if self.fault == "data":
            raise DataError("the data are gone")
        if self.fault == "killed":
            os.kill(os.getpid(), 9)
        return lambda case, genotype: case.score(genotype)


@dataclass(frozen=True)
class Case:
    """What to measure: notes in `folder` who scored what, and may misbehave at one genotype.

    `fault`: what happens at genotypes whose first gene is 3; `times`: how often it does.
    """

    folder: Path
    fault: str = ""
    times: int = 10**6

    def score(self, genotype: Genotype) -> SimpleNamespace:
        with (self.folder / "log").open("a") as log:
            log.write(f"{os.getpid()} {torch.get_num_threads()} {genotype.genes}\n")
        if genotype.genes[0] == 3 and self.fault:
            done = self.folder / "faults"
            count = len(done.read_text()) if done.exists() else 0
            if count < self.times:
                done.write_text("x" * (count + 1))
                self.misbehave()
        time.sleep(0.002 * (genotype.genes[1] % 3))
        details = {"tensor": torch.tensor([1.5, 2.0]), "threads": torch.get_num_threads()}
        return SimpleNamespace(value=value(genotype), standard_error=0.25, details=details)

    def misbehave(self) -> None:
        if self.fault == "killed":
            os.kill(os.getpid(), 9)
        if self.fault == "crash":
            os.kill(os.getpid(), 11)
        if self.fault == "slow":
            time.sleep(60)
        if self.fault == "print":
            print("noise on the standard output", flush=True)
            os.write(1, b"more noise")
            return
        raise {
            "failure": ValueError("not finite"),
            "bug": TypeError("a bug"),
            "data": DataError("gone"),
            "memory": MemoryError(),
        }[self.fault]


def value(genotype: Genotype) -> float:
    """Σ gᵢ / 3ⁱ, i from 1."""
    return sum(gene / 3 ** (place + 1) for place, gene in enumerate(genotype.genes))


@dataclass(frozen=True)
class Link:
    """A task of a chain: `left` are still to come, and `genotype` grows with each; `case` misbehaves."""

    case: Case
    genotype: Genotype
    left: int

    def next(self) -> Link | None:
        """The one after it."""
        genes = self.genotype.genes
        grown = Genotype("toy", (genes[0], genes[1] + 1, *genes[2:]))
        return replace(self, genotype=grown, left=self.left - 1) if self.left else None


class Linked(TaskFunction):
    """(request, link) → the value of its genotype, and threads."""

    def __call__(self, request: str, task: Link) -> tuple[str, float, int]:
        found = task.case.score(task.genotype)
        return request, found.value, torch.get_num_threads()


@dataclass(frozen=True)
class PrepareLinks:
    """What a worker for chains does first; with two threads for each task."""

    def __call__(self) -> Linked:
        torch.set_num_threads(2)
        return Linked()


@dataclass(frozen=True)
class Seen:
    """What a worker says of itself: its number, the GPUs that CUDA would show it, the cores it may use."""

    process: int
    visible: str
    cores: int


@dataclass(frozen=True)
class PrepareSeen:
    """What a worker does first that scores nothing and says what it sees."""

    def __call__(self) -> Callable[[object, Genotype], SimpleNamespace]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        found = Seen(os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", "all"), cores)

        def score(request: object, genotype: Genotype) -> SimpleNamespace:
            del request, genotype
            time.sleep(0.05)  # so that no worker takes all of them
            return SimpleNamespace(value=0.0, standard_error=None, details=asdict(found))

        return score
