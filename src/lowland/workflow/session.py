"""A session: what the stages of one run share, made when first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import Compute, resolve
from lowland.core.errors import ConfigError, DataError
from lowland.core.genotype import Genotype
from lowland.core.monitor import STEP, Monitor, Rate
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet, Split, load, order
from lowland.measures import Context
from lowland.search import Limits
from lowland.spaces import Cost, Shape, Space, Supernet
from lowland.store.run import Run
from lowland.training import supernet as supernet_training
from lowland.training.parallel import World


class Recorded(Monitor):
    """Passes everything on to another monitor and writes progress.json, which `lowland status` reads."""

    def __init__(self, run: Run, inner: Monitor, stage: str) -> None:
        self.run, self.inner, self.stage = run, inner, stage
        self.rate = Rate(0)
        self.best: dict[str, Any] | None = None

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        """Whether the outer monitor was asked to stop."""
        return self.inner.stopping

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on."""
        self.rate = Rate(total, done, even=unit == STEP)
        self.inner.start(stage, total, unit, done)

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on and record."""
        self.rate.update(done)
        if "best" in facts:
            self.best = {"genotype": facts.pop("genotype", ""), "score": facts["best"]}
        self.run.progress(
            self.stage, done, self.rate.total, self.rate.per_second or None, self.best, self.rate.lull(STEP)
        )
        self.inner.advance(done, **facts)

    def note(self, message: str) -> None:
        """Pass on."""
        self.inner.note(message)

    def finish(self) -> None:
        """Pass on."""
        self.inner.finish()


class OnDemand(Sequence[tuple[Tensor, Tensor]]):
    """Batches of a split that are fetched and normalised when they are read."""

    def __init__(self, split: Split, parts: Sequence[Tensor], data: DataSet, compute: Compute) -> None:
        self._split, self._parts, self._data, self._compute = split, parts, data, compute

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Tensor, Tensor]]: ...

    def __getitem__(self, index: int | slice) -> tuple[Tensor, Tensor] | Sequence[tuple[Tensor, Tensor]]:
        if isinstance(index, slice):
            return OnDemand(self._split, self._parts[index], self._data, self._compute)
        part = self._parts[index]
        x_NCHW = self._compute.place(self._data.normalise(self._split.images(part)))
        return x_NCHW, self._split.labels_N[part.to(self._split.device)]


@dataclass
class Session:
    """What the stages of one run share. Data, device and supernet are made when first needed."""

    run: Run
    monitor: Monitor
    world: World = field(default_factory=World)
    given: DataSet | None = None

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
        facts = {
            "name": data.name,
            "source": data.source,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "image_size": data.image_size,
            "in_channels": data.in_channels,
            "train": len(data.train),
            "search": len(data.search),
            "test": len(data.test),
        }
        known = self.run.manifest.setdefault("data", facts)
        if known["fingerprint"] != data.fingerprint:
            raise DataError(
                f"data set {self.config.data.name} has changed since {self.run.path} was started; restore it, or start "
                "a new run with another --out"
            )
        return data

    @cached_property
    def supernet(self) -> Supernet:
        """The trained supernet, in eval mode."""
        supernet = supernet_training.initial(self.config, self.data)
        supernet.load_state_dict(self.run.load_tensors("supernet/trained.safetensors")[0])
        return self.compute.prepare(supernet).eval()

    @property
    def supernet_digest(self) -> str:
        """SHA-256 of the trained supernet's file."""
        digest: str = self.run.manifest["files"]["supernet/trained.safetensors"]
        return digest

    @cached_property
    def context(self) -> Context:
        """What a measure may look at: the search split, and training images for batch-norm statistics."""
        measure = self.config.measure
        calibration = order(len(self.data.train), seed=self.config.seed, keys=("calibration",))
        return Context(
            space=self.space,
            scored=self.scored(self.scored_images),
            calibration=self.placed(self.data.train, calibration[: measure.calibration_images], measure.batch_size),
            initial=self.run.load_tensors("supernet/initial.safetensors")[0],
            compute=self.compute,
            seed=self.config.seed,
        )

    @property
    def scored_images(self) -> int:
        """Number of search-split images that candidates are scored on."""
        return min(self.config.measure.images or len(self.data.search), len(self.data.search))

    def scored(self, count: int) -> Sequence[tuple[Tensor, Tensor]]:
        """The first `count` images of the search split in the run's seeded order, as batches (`placed`)."""
        chosen = order(len(self.data.search), seed=self.config.seed, keys=("scored images",))[:count]
        return self.placed(self.data.search, chosen.sort().values, self.config.measure.batch_size)

    def placed(self, split: Split, indices: Tensor, size: int) -> Sequence[tuple[Tensor, Tensor]]:
        """The named images of a split, normalised and on the device, with labels, in even batches of at most `size`.

        Kept ready where they fit in `data.memory_gb` as floats, else made each time they are read.
        """
        parts = torch.tensor_split(indices, max(1, -(-len(indices) // size)))
        found = OnDemand(split, parts, self.data, self.compute)
        floats = len(indices) * self.data.in_channels * self.data.image_size**2
        return list(found) if 4 * floats <= self.config.data.memory_gb * 2**30 else found

    def network_shape(self, genotype: Genotype) -> Shape:
        """The delivered network's size: as set, or with `channels: fit` the widest within the limits."""
        return network_shape(self.config, self.data, genotype)

    def cost(self, genotype: Genotype) -> Cost:
        """Parameters and multiply-accumulates of the delivered network."""
        return self.space.cost(genotype, self.network_shape(genotype))

    def ranking(self) -> list[dict[str, Any]]:
        """The best candidates of the finished search, best first."""
        ranking: list[dict[str, Any]] = self.run.read_json("search.json")["ranking"]
        return ranking


def network_shape(config: Config, data: DataSet, genotype: Genotype) -> Shape:
    """The delivered network's size for one genotype. With `channels: fit`, the largest even width within the limits."""
    space, limits = spaces.get(config.space), config.search

    def shape(channels: int) -> Shape:
        return Shape(
            in_channels=data.in_channels,
            image_size=data.image_size,
            num_classes=data.num_classes,
            channels=channels,
            cells=config.network.cells,
            stem=config.network.stem,
        )

    if config.network.channels != "fit":
        return shape(config.network.channels)

    def fits(channels: int) -> bool:
        cost = space.cost(genotype, shape(channels))
        return (limits.max_params is None or cost.parameters <= limits.max_params) and (
            limits.max_macs is None or cost.macs <= limits.max_macs
        )

    low, high = 4, 1024  # even widths; at 4 the genotype may still be too large, and the search then rejects it
    while high - low > 2:
        middle = (low + high) // 4 * 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return shape(low)


def check_limits(config: Config, data: DataSet) -> None:
    """Raise BudgetError, or ConfigError for an impossible size, before anything is computed."""
    space = spaces.get(config.space)
    if config.network.channels == "fit" and config.search.max_params is None and config.search.max_macs is None:
        raise ConfigError("network.channels=fit needs a limit to fit: add --max-params or --max-macs")

    def shape(genotype: Genotype) -> Shape:
        return network_shape(config, data, genotype)

    limits = Limits(space, config.search, lambda genotype: space.cost(genotype, shape(genotype)), config.seed)
    space.check(shape(limits.smallest if config.network.channels == "fit" else space.sample(numpy_rng(config.seed))))
    limits.require_any()
