"""A session: what the stages of one run share, made when first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import Compute, resolve
from lowland.core.errors import DataError
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import torch_generator
from lowland.data import DataSet, Split, augment, load, order
from lowland.measures import Context
from lowland.spaces import Cost, Shape, Space, Supernet
from lowland.store.artifacts import INITIAL, TRAINED, Ranked, Searched, supernet_digest
from lowland.store.run import Run
from lowland.training import supernet as supernet_training
from lowland.training.parallel import World
from lowland.workflow.network_size import network_shape
from lowland.workflow.placed import placed

AUGMENTED_BATCH = 64
"""Images of a batch from which the public code re-estimates batch norm."""


def data_facts(data: DataSet) -> dict[str, Any]:
    """What a run notes of its data, to know them again."""
    return {
        "name": data.name,
        "source": data.source,
        "fingerprint": data.fingerprint,
        "content": data.content,
        "classes": list(data.classes),
        "image_size": data.image_size,
        "in_channels": data.in_channels,
        "train": len(data.train),
        "search": len(data.search),
        "test": len(data.test),
    }


class Source(Protocol):
    """What a session is made of: a run, or a snapshot of one in a worker process (`execution.snapshot`)."""

    @property
    def path(self) -> Path:
        """Where the run is."""

    @property
    def config(self) -> Config:
        """Its settings."""

    @property
    def manifest(self) -> dict[str, Any]:
        """What it notes of itself."""

    def load_tensors(self, relative: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors (on the CPU) and metadata of a file of the run."""


@dataclass
class Materials:
    """What scoring needs of a run, which is only read. Data, device and supernet are made when first needed."""

    run: Source
    given: DataSet | None = field(default=None, kw_only=True)

    @property
    def config(self) -> Config:
        """The run's settings."""
        return self.run.config

    @cached_property
    def space(self) -> Space:
        """The search space."""
        return spaces.get(self.config.space)

    @cached_property
    def compute(self) -> Compute:
        """Device, precision and threads."""
        return resolve(self.config.compute)

    @cached_property
    def data(self) -> DataSet:
        """The data set, checked to be the one this run began with."""
        data = self.given or load(self.config.data, seed=self.config.seed, device=self.compute.device)
        facts = data_facts(data)
        known = self.run.manifest.setdefault("data", facts)
        # Manifests of before have the fingerprint alone, which does not see every file.
        if known["fingerprint"] != data.fingerprint or known.setdefault("content", data.content) != data.content:
            decoded = ", or holds JPEGs that lowland then decoded coarsely" if "renewed" in self.run.manifest else ""
            raise DataError(
                f"data set {self.config.data.name} has changed since {self.run.path} was started{decoded}; restore it, "
                "give its new place (`lowland resume RUN --data PLACE`), or start a new run with another --out"
            )
        return data

    @cached_property
    def supernet(self) -> Supernet:
        """The trained supernet, in eval mode."""
        supernet = supernet_training.built(self.config, self.data)
        supernet.load_state_dict(self.run.load_tensors(TRAINED)[0])
        return self.compute.prepare(supernet).eval()

    @cached_property
    def context(self) -> Context:
        """What a measure may look at: the search split, and training images for batch-norm statistics."""
        return Context(
            space=self.space,
            scored=self.scored(self.scored_images),
            calibration=self.calibration,
            initial=self.run.load_tensors(INITIAL)[0],
            compute=self.compute,
            seed=self.config.seed,
            augmented=self.augmented,
        )

    @cached_property
    def calibration_indices(self) -> Tensor:
        """Training images for batch-norm statistics."""
        chosen = order(len(self.data.train), seed=self.config.seed, keys=("calibration",))
        return chosen[: self.config.measure.calibration_images]

    @cached_property
    def calibration(self) -> Sequence[tuple[Tensor, Tensor]]:
        """These images as batches."""
        return self.placed(self.data.train, self.calibration_indices, self.config.measure.batch_size)

    @cached_property
    def augmented(self) -> Sequence[tuple[Tensor, Tensor]]:
        """These images flipped and cropped as in training, in batches of 64 (code of RLNAS, GeNAS), where asked for."""
        if self.config.measure.calibration != "ema-14-augmented":
            return ()
        data, found = self.data, []
        parts = torch.split(self.calibration_indices, AUGMENTED_BATCH)
        for number, part in enumerate(parts):
            generator = torch_generator(self.config.seed, "calibration", "augment", number)
            x_NCHW = augment(data.train.images(part), generator, flip=data.flip, padding=data.crop_padding)
            labels_N = data.train.labels_N[part.to(data.train.device)]
            found.append((self.compute.place(data.normalise(x_NCHW)), labels_N))
        return found

    @property
    def scored_images(self) -> int:
        """Number of search-split images that candidates are scored on."""
        return min(self.config.measure.images or len(self.data.search), len(self.data.search))

    def scored(self, count: int) -> Sequence[tuple[Tensor, Tensor]]:
        """The first `count` images of the search split in the run's seeded order, as batches (`placed`)."""
        chosen = order(len(self.data.search), seed=self.config.seed, keys=("scored images",))[:count]
        return self.placed(self.data.search, chosen.sort().values, self.config.measure.batch_size)

    def placed(self, split: Split, indices: Tensor, size: int) -> Sequence[tuple[Tensor, Tensor]]:
        """The named images of a split as batches on the device, kept ready where `data.memory_gb` allows it."""
        memory_gb = self.config.data.memory_gb
        return placed(split, indices, size, data=self.data, compute=self.compute, memory_gb=memory_gb)

    def network_shape(self, genotype: Genotype) -> Shape:
        """The delivered network's size: as set, or with `channels: fit` the widest within the limits."""
        return network_shape(self.config, self.data, genotype)

    def cost(self, genotype: Genotype) -> Cost:
        """Parameters and multiply-accumulates of the delivered network."""
        return self.space.cost(genotype, self.network_shape(genotype))


@dataclass
class Session(Materials):
    """What the stages of one run share.

    Attributes:
        run: The run.
        monitor: Hears how it goes.
        world: The processes of torchrun.
        asked: Names of the stages that are done now, unless they are done already.
    """

    run: Run
    monitor: Monitor
    world: World = field(default_factory=World)
    asked: tuple[str, ...] = ()

    @property
    def supernet_digest(self) -> str:
        """SHA-256 of the trained supernet's file."""
        return supernet_digest(self.run)

    def ranking(self) -> tuple[Ranked, ...]:
        """The best candidates of the finished search, best first."""
        return Searched.read(self.run).ranking
