"""What searchers by gradient share: a relaxed supernet trained to the end, and the genotype that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.config import Config as RunConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.recipe import LongConfig
from lowland.core.seeds import derive
from lowland.data import DataSet, Split, concatenate
from lowland.search import SearchSummary
from lowland.search.gradient.alternation import Alternation, Setting
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import GradientConfig, Method
from lowland.search.record import Ranked, SearchRecord
from lowland.spaces.relaxed import Mixture, Relaxation, RelaxedSupernet
from lowland.training.inputs import Inputs
from lowland.training.loop import Companion, Job, fit
from lowland.training.objective import objective
from lowland.training.optimization import lengthened
from lowland.training.parallel import World
from lowland.training.supernet import shape
from lowland.workflow.searchers.gradient import trial
from lowland.workflow.searchers.searcher import Searcher, Timer, require_no_lag
from lowland.workflow.session import Session

UNUSED = ("path", "paths_per_step", "ema", "distillation", "shrinking", "pretrained", "random_labels")
"""Settings of the section `supernet` that only path sampling has."""


class Ground(Protocol):
    """What a training stands on: a session, or a trial of it."""

    @property
    def config(self) -> RunConfig:
        """Settings of the run."""

    @property
    def data(self) -> DataSet:
        """The images."""

    @property
    def compute(self) -> Compute:
        """Where the arithmetic runs."""


class Learnt(Companion, Protocol):
    """What is learnt, or decided, beside the weights of a relaxed supernet."""

    weights: Mixture
    """With which the step of the weights is made."""

    setting: Setting
    """What it runs on."""


class GradientSearcher(Method, Searcher):
    """Trains a relaxed supernet and architecture parameters; ranks the genotypes of its epochs, the last one first.

    Weights learn from training images, α from the search split (half of the images each in the papers:
    `data.search_fraction=0.5`). The order is all there is: no genotype has a score.
    """

    Config: ClassVar[type[GradientConfig]] = GradientConfig
    trains: ClassVar[bool] = True

    options: GradientConfig

    def require(self, config: RunConfig) -> None:
        """Refuse what a gradient search cannot do, or would not heed."""
        self.require_relaxation(spaces.get(config.space).relaxation)
        where = f"searcher {self.name}"
        plain = type(config.supernet)()
        for name in UNUSED:
            if getattr(config.supernet, name) != getattr(plain, name):
                raise ConfigError(
                    f"supernet.{name} belongs to supernets whose paths are sampled; {where} trains all operations at "
                    "once: leave it out"
                )
        warmup, epochs = self.options.warmup_epochs, config.supernet.epochs
        if warmup >= epochs:
            raise ConfigError(
                f"{where} trains weights alone for search.options.{self.name}.warmup_epochs={warmup}, which must be "
                f"below supernet.epochs={epochs}: raise the one or lower the other"
            )
        if config.compute.precision == "fp16":
            raise ConfigError(
                f"{where} takes gradients of architecture parameters, which fp16 cannot hold; set "
                "compute.precision to bf16 or fp32"
            )
        if self.options.order == "second" and not config.supernet.optimizer.startswith("sgd"):
            raise ConfigError(
                f"search.options.{self.name}.order=second looks ahead by a step of SGD, but supernet.optimizer="
                f"{config.supernet.optimizer}; take sgd, or order=first"
            )
        require_no_lag(config)
        limited = [name for name in ("max_params", "max_macs") if getattr(config.search, name) is not None]
        if limited and config.network.channels != "fit":
            raise ConfigError(
                f"{where} cannot choose by size, so that search.{limited[0]} can only decide the width: set "
                "network.channels=fit, or leave the limit out"
            )
        if config.search.strategy != type(config.search)().strategy:
            raise ConfigError(
                f"search.strategy={config.search.strategy} proposes candidates to searcher one-shot, and {where} has "
                "none to propose; leave one of the two out"
            )
        for name in ("shortlist", "finalists"):
            if getattr(config.search, name):
                raise ConfigError(f"search.{name} orders scored candidates, and {where} scores none; leave it out")

    def require_relaxation(self, relaxation: Relaxation) -> None:
        """Raise ConfigError where the method cannot search such cells. By default it can."""
        del relaxation

    def check(self, config: RunConfig, data: DataSet) -> None:
        """Refuse sizes of which no relaxed supernet can be built."""
        with torch.device("meta"):
            spaces.get(config.space).relaxed(shape(config, data), self.partial)

    def planned(self, config: RunConfig, data: DataSet) -> Sequence[tuple[str, LongConfig, int]]:
        """The relaxed supernet."""
        return [("relaxed supernet", config.supernet, len(self.training_images(data)))]

    def training_images(self, data: DataSet) -> Split:
        """What the weights learn from: training images, and where α learns from the same ones the search split, too."""
        return concatenate(data.train, data.search) if self.learns == "together" else data.train

    def of_length(self, config: RunConfig, epochs: int) -> dict[str, Any]:
        """The same share of the epochs is a warm-up, and never all of them."""
        share = self.options.warmup_epochs / config.supernet.epochs
        return {"search": {"options": {self.name: {"warmup_epochs": min(round(share * epochs), epochs - 1)}}}}

    def epoch_seconds(self, config: RunConfig, data: DataSet, compute: Compute, timed: Timer) -> float | None:
        """An epoch of the mean of warm-up and search."""
        ground = trial.TrialGround(config, data, compute)
        supernet = compute.prepare(spaces.get(config.space).relaxed(shape(config, data), self.partial))
        architecture = self.initial(spaces.get(config.space).relaxation, compute.device, config.seed)
        return trial.epoch_seconds(self.job(ground, supernet, self.beside(ground, supernet, architecture)), timed)

    def beside(self, ground: Ground, supernet: RelaxedSupernet, architecture: Architecture) -> Alternation:
        """What is learnt beside the weights of `supernet`."""
        return Alternation(self, architecture, self.setting(ground, supernet))

    def search(self, session: Session) -> SearchRecord:
        """Train to the end, and read the genotypes."""
        found = self.learnt(session)
        return self.record(session, found.epochs, found.chosen, [found.setting.name])

    def learnt(self, session: Session) -> Alternation:
        """A relaxed supernet and its architecture parameters, trained from the last checkpoint to the end."""
        supernet, found = self.begun(session)
        return self.trained(session, supernet, found)

    def begun(self, session: Session) -> tuple[RelaxedSupernet, Alternation]:
        """A relaxed supernet of random weights, and what is to be learnt beside them."""
        config, data = session.config, session.data
        torch.manual_seed(derive(config.seed, self.name, "initial weights"))
        supernet = session.compute.prepare(session.space.relaxed(shape(config, data), self.partial))
        architecture = self.initial(session.space.relaxation, session.compute.device, config.seed)
        return supernet, self.beside(session, supernet, architecture)

    def setting(self, ground: Ground, supernet: RelaxedSupernet) -> Setting:
        """What the loop of this search runs on."""
        config, data = ground.config, ground.data
        images = len(self.training_images(data))
        return Setting(
            supernet=supernet,
            compute=ground.compute,
            seed=config.seed,
            name=self.name,
            steps_per_epoch=max(1, images // config.supernet.batch_size),
            epochs=lengthened(config.supernet, images).epochs,
            validation=validation(ground, self.name, self.options.batch_size),
        )

    def trained(self, session: Session, supernet: RelaxedSupernet, found: Alternation) -> Alternation:
        """Train weights and architecture parameters together."""
        self.fit(session, self.job(session, supernet, found))
        return found

    def fit(self, session: Session, job: Job) -> None:
        """Train from the last checkpoint to the end."""
        fit(
            job,
            checkpoints=session.run,
            checkpoint_seconds=session.config.compute.checkpoint_seconds,
            monitor=session.monitor,
            world=World(),  # a search is done by the first process alone
        )

    def job(self, ground: Ground, supernet: RelaxedSupernet, found: Learnt) -> Job:
        """The training of the weights, and of what is learnt beside them."""
        config, data = ground.config, ground.data
        split = self.training_images(data)
        recipe = lengthened(config.supernet, len(split))
        truth = objective(recipe, split.labels_N, data.num_classes)

        def loss(model: nn.Module, x_NCHW: Tensor, labels: Tensor, step: int) -> Tensor:
            del step
            with ground.compute.autocast():
                logits_NK = model.mixed(x_NCHW, found.weights)  # type: ignore[operator]  # a RelaxedSupernet
            return truth(logits_NK.float(), labels)

        return Job(
            name=found.setting.name,
            title="relaxed supernet",
            model=supernet,
            loss=loss,
            recipe=recipe,
            data=data,
            split=split,
            seed=config.seed,
            compute=ground.compute,
            companion=found,
        )

    def record(
        self, session: Session, epochs: Sequence[Mapping[str, Any]], chosen: int | None, checkpoints: Sequence[str]
    ) -> SearchRecord:
        """Rank the genotype chosen, then those of the other epochs, the newest first, each function once."""
        space = session.space
        newest = sorted(epochs, key=lambda each: (each["epoch"] != chosen, -each["epoch"]))
        distinct: dict[str, Genotype] = {}
        for each in newest:
            genotype = Genotype(space.name, tuple(each["genes"]))
            distinct.setdefault(space.key(genotype), genotype)
        ranking = []
        for genotype in distinct.values():
            size = session.cost(genotype)
            ranking.append(Ranked(genotype=genotype, parameters=size.parameters, macs=size.macs))
        rows = [dict(each) | {"genotype": space.format(Genotype(space.name, tuple(each["genes"])))} for each in epochs]
        return SearchRecord(
            ranking=ranking,
            summary=SearchSummary(
                strategy=self.name, proposed=len(ranking), scored=len(ranking), generations=len(epochs)
            ),
            checkpoints=checkpoints,
            relaxed={"operations": space.relaxation.most, "chosen": chosen, "epochs": rows},
        )


def validation(ground: Ground, name: str, batch_size: int) -> Any:
    """(step) → the batch of the search split from which α learns in that step, augmented as training images are."""
    config, data = ground.config, ground.data
    recipe = config.supernet.model_copy(
        update={"batch_size": batch_size, "mixup": 0.0, "cutmix": 0.0, "class_balance": "none", "epochs": 1 << 30}
    )
    inputs = Inputs(name=f"{name} architecture", recipe=recipe, data=data, split=data.search, seed=config.seed)
    return partial(_batch, inputs, ground.compute)


def _batch(inputs: Inputs, compute: Any, step: int) -> tuple[Tensor, Tensor]:
    x_NCHW, labels_N = inputs.batch(step)
    return compute.place(x_NCHW), labels_N
