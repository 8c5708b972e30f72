"""The conformance suite of evaluation suites."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from lowland.core.config import Config, EvaluateConfig, MeasureConfig
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.registry import SUITES
from lowland.data import DataSet, MemorySplit
from lowland.evaluation.section import Figure, SuiteSection
from lowland.evaluation.suite import Batches, EvaluationContext, LossAt, Suite, suite
from lowland.measures import calibrated_subnet
from lowland.testing.measures import unchanged
from lowland.testing.tiny import CPU, SHAPE, Case, TinyNetwork, case, images
from lowland.workflow.stages.evaluate import AVAILABLE

supernet = cache(case)
"""A trained supernet that tests must leave as it is: (name of the space, precision) → `Case`."""


class EvaluationSuite:
    """Every promise of `Suite`, as tests of one of them on tiny networks and images.

        class TestMine(EvaluationSuite):
            name = "mine"
            options = {"images": 20}

    Override the fixture `data` or `networks` where it needs others than 90 grey test images of 8 × 8 pixels in three
    classes, and `context` where it needs more.

    Attributes:
        name: Of the suite, which must be registered when the test runs.
        options: Its own settings that make it short.
    """

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> DataSet:
        """The images."""
        return made_up_data()

    @pytest.fixture(scope="class")
    @classmethod
    def networks(cls) -> dict[str, nn.Module]:
        """Two networks by rank, fp32 in plain memory format and evaluation mode."""
        on = supernet("tiny", torch.float32)
        found = {}
        for rank, genotype in enumerate(on.genotypes[:2], start=1):
            network = TinyNetwork(genotype, SHAPE)
            network.all.load_state_dict(on.supernet.state_dict())
            found[str(rank)] = network.eval()
        return found

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, networks: dict[str, nn.Module], data: DataSet) -> tuple[Any, Parts]:
        """What it finds, and the parts it was found in."""
        parts = Parts()
        return cls.suite().run(networks, cls.context(data, parts)), parts

    @classmethod
    def config(cls, **own: Any) -> Config:
        """Settings of a run that asks for this suite alone; `own`: settings of it on top."""
        options = {cls.name: {**cls.options, **own}}
        return Config(evaluate=EvaluateConfig(suites=(cls.name,), options=options))

    @classmethod
    def suite(cls) -> Suite[Any]:
        """The suite with its settings."""
        return suite(cls.config(), cls.name)

    @classmethod
    def context(cls, data: DataSet, parts: Parts, monitor: Monitor | None = None) -> EvaluationContext:
        """What it works with; a supernet only where it requires one."""
        return EvaluationContext(
            data=data,
            compute=CPU,
            seed=5,
            batch_size=40,
            monitor=monitor or Monitor(),
            part=parts,
            searched=lambda indices: [(data.normalise(data.search.images(indices)), data.search.labels_N[indices])],
            supernet=TinyPaths(supernet("tiny", torch.float32)) if "supernet" in cls.suite().requires else None,
        )

    @classmethod
    def comparable(cls, found: Any) -> Any:
        """Of its results what is the same each time: all; override it for a suite that takes times."""
        return found.to_json()

    # --- what it is --------------------------------------------------------------------------------------------------

    def test_registered_under_its_name(self) -> None:
        of = SUITES.load(self.name)
        assert of.name == self.name
        assert of.summary
        assert of.source
        assert set(of.requires) <= set(AVAILABLE)
        settings = Config().model_dump(mode="json")
        for key in of.shared:
            section, _, name = key.partition(".")
            assert section in settings, key
            assert not name or name in settings[section], key

    def test_settings_are_its_own_to_check(self, data: DataSet) -> None:
        self.suite().require(self.config(), data)
        with pytest.raises(ConfigError, match=f"evaluate.options.{self.name}.nosuch"):
            suite(self.config(nosuch=1), self.name)

    # --- what it finds -----------------------------------------------------------------------------------------------

    def test_results_go_through_json_and_back(self, whole: tuple[Any, Parts]) -> None:
        of, (found, _) = self.suite(), whole
        text = json.dumps(found.to_json(), allow_nan=False)
        read = SUITES.load(self.name).Results.from_json(json.loads(text))
        assert json.dumps(read.to_json(), allow_nan=False) == text
        assert of.figures(read) == of.figures(found)
        assert of.section(read) == of.section(found)

    def test_figures_are_plain_values_of_the_networks(
        self, whole: tuple[Any, Parts], networks: dict[str, nn.Module]
    ) -> None:
        for rank, figures in self.suite().figures(whole[0]).items():
            assert rank in networks
            assert all(isinstance(figure, Figure) for figure in figures)
            assert len({figure.label for figure in figures}) == len(figures)
            plain = [asdict(figure) for figure in figures]
            assert json.loads(json.dumps(plain, allow_nan=False)) == plain

    def test_the_section_goes_through_json_and_back(self, whole: tuple[Any, Parts]) -> None:
        section = self.suite().section(whole[0])
        assert section.title
        assert SuiteSection.from_json(json.loads(json.dumps(section.to_json(), allow_nan=False))) == section
        for table in section.tables:
            assert all(len(cells) == len(table.columns) - 1 for _, cells in table.rows)
        for line in (line for series in section.series for line in series.lines):
            assert len(line.x) == len(line.y)
            assert len(line.errors) in (0, len(line.y))

    def test_is_deterministic_whatever_was_drawn_before(
        self, whole: tuple[Any, Parts], networks: dict[str, nn.Module], data: DataSet
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(99)
            again = self.suite().run(networks, self.context(data, Parts()))
        assert self.comparable(again) == self.comparable(whole[0])

    # --- what it leaves behind ---------------------------------------------------------------------------------------

    def test_leaves_networks_and_supernet_bit_identical(self, networks: dict[str, nn.Module], data: DataSet) -> None:
        every = nn.ModuleList([*networks.values(), supernet("tiny", torch.float32).supernet])
        unchanged(every, lambda: self.suite().run(networks, self.context(data, Parts())))

    # --- stops -------------------------------------------------------------------------------------------------------

    def test_parts_are_taken_from_before_a_stop(
        self, whole: tuple[Any, Parts], networks: dict[str, nn.Module], data: DataSet
    ) -> None:
        """A stop before each part, and the run after it: nothing is computed twice, the results are alike."""
        found, parts = whole
        assert len(set(parts.asked)) == len(parts.asked), "each part has a name of its own"
        for place, name in enumerate(parts.asked):
            stopped = Parts(stop_at=name)
            with pytest.raises(InterruptedRun):
                self.suite().run(networks, self.context(data, stopped))
            assert stopped.computed == parts.asked[:place]
            resumed = Parts(kept=stopped.kept)
            again = self.suite().run(networks, self.context(data, resumed))
            assert self.comparable(again) == self.comparable(found)
            assert resumed.computed == parts.asked[place:]
        complete = Parts(kept=copy.deepcopy(parts.kept))
        again = self.suite().run(networks, self.context(data, complete))
        assert self.comparable(again) == self.comparable(found)
        assert not complete.computed

    def test_a_stop_that_is_asked_for_loses_one_part_at_most(
        self, whole: tuple[Any, Parts], networks: dict[str, nn.Module], data: DataSet
    ) -> None:
        found, parts = whole
        if len(parts.asked) < 2:
            pytest.skip("it is done in one go")
        monitor = Monitor()
        stopped = Parts(then=lambda: setattr(monitor, "stopping", True))
        with pytest.raises(InterruptedRun):
            self.suite().run(networks, self.context(data, stopped, monitor))
        assert 1 <= len(stopped.kept) <= 2, "after the first part, a stop at the next safe point"
        resumed = Parts(kept=stopped.kept)
        again = self.suite().run(networks, self.context(data, resumed))
        assert self.comparable(again) == self.comparable(found)


@dataclass
class Parts:
    """Parts of one suite's results as a run directory keeps them, in JSON.

    Attributes:
        kept: Value of each by name.
        stop_at: The name at which the run is stopped; empty: none.
        then: Called after a part was computed.
        asked: Names that were asked for, in order.
        computed: Those that were computed.
    """

    kept: dict[str, Any] = field(default_factory=dict)
    stop_at: str = ""
    then: Callable[[], object] = lambda: None
    asked: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """A part as it was, or computed now."""
        self.asked.append(name)
        if name == self.stop_at:
            raise InterruptedRun("stopped")
        if name in self.kept:
            return json.loads(json.dumps(self.kept[name]))
        value = compute()
        self.kept[name] = json.loads(json.dumps(value, allow_nan=False))
        self.computed.append(name)
        self.then()
        return value


@dataclass(frozen=True)
class TinyPaths:
    """Paths of a tiny supernet, as a suite asks for them."""

    on: Case

    @property
    def winner(self) -> Genotype:
        """The genotype of the first network."""
        return self.on.genotypes[0]

    def random(self, number: int) -> list[Genotype]:
        """Distinct genotypes, of which the space has nine."""
        rng = np.random.default_rng(0)
        return list(dict.fromkeys(self.on.space.sample(rng) for _ in range(50)))[:number]

    def text(self, genotype: Genotype) -> str:
        """A genotype as people write it."""
        return ",".join(map(str, genotype.genes))

    @contextmanager
    def subnet(self, genotype: Genotype, scored: Batches) -> Iterator[LossAt]:
        """Within the block: the loss on `scored` of this path, calibrated."""
        context = replace(self.on.context, scored=scored)
        with calibrated_subnet(self.on.supernet, genotype, context, MeasureConfig()) as path:
            yield lambda sigma, draw: path.loss_at(sigma, draw).loss


def made_up_data() -> DataSet:
    """The easy task of `tiny.images` as a data set: 60 training, 60 search and 90 test images."""

    def split(count: int, seed: int) -> MemorySplit:
        x_NCHW, labels_N = images(SHAPE, count, seed)
        return MemorySplit((128 + 40 * x_NCHW).clamp(0, 255).to(torch.uint8), labels_N)

    return DataSet(
        name="bands",
        train=split(60, 1),
        search=split(60, 2),
        test=split(90, 3),
        classes=("left", "middle", "right"),
        mean=(0.5,),
        std=(0.16,),
        in_channels=SHAPE.in_channels,
        image_size=SHAPE.image_size,
        flip=False,
        crop_padding=0,
        source="made up",
        fingerprint="0" * 64,
    )
