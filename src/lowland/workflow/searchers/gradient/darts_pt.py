"""DARTS-PT: a relaxed supernet as DARTS trains it, whose operations are chosen by what it loses without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from lowland.core.config import Config as RunConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.recipe import LongConfig
from lowland.core.settings import Positive, Rate
from lowland.data import DataSet, order
from lowland.search.gradient.alternation import Alternation
from lowland.search.gradient.method import GradientConfig
from lowland.search.gradient.selection import Batches, Selection, rounds
from lowland.search.record import SearchRecord
from lowland.spaces import get
from lowland.spaces.relaxed import RelaxedSupernet
from lowland.training.loop import Job
from lowland.training.optimization import lengthened
from lowland.training.supernet import shape
from lowland.workflow.placed import placed
from lowland.workflow.searchers.gradient import trial
from lowland.workflow.searchers.gradient.family import GradientSearcher, Ground
from lowland.workflow.searchers.searcher import Timer, register
from lowland.workflow.session import Session

RELAXED = "darts-pt-relaxed"
"""Checkpoint of the supernet with the first round decided, from which the tuning begins."""

TUNING = "darts-pt-tuning"


@register
class DartsPT(GradientSearcher):
    """First the training of DARTS; then rounds of decisions (`search.gradient.selection`), the weights tuned between.

    α is not learnt any more between the rounds, as the paper says; the public code goes on learning it.
    """

    name = "darts-pt"
    summary = "DARTS whose operations and edges are chosen by the accuracy that the supernet loses without them"
    source = "Wang et al., Rethinking Architecture Selection in Differentiable NAS, ICLR 2021 (arXiv 2108.04392)"

    class Config(GradientConfig):
        """The rounds; `supernet.epochs` are those of the training before them."""

        tune_epochs: Positive = Field(5, description="epochs in which weights are tuned between two rounds")
        tune_rate: Rate = Field(
            0.1, description="first learning rate of the tuning, × supernet.learning_rate (public code)"
        )
        images: Annotated[int, Field(ge=2)] | None = Field(
            None, description="search-split images that supernets are judged on; default: all"
        )

    options: DartsPT.Config

    def require(self, config: RunConfig) -> None:
        """Refuse early stopping, which goes back to the α of an earlier epoch, and not to its weights."""
        super().require(config)
        if self.options.stop != "never":
            raise ConfigError(
                f"search.options.{self.name}.stop would choose the genotype of an earlier epoch, and this search "
                "chooses with the weights of the last one; leave it out"
            )

    def planned(self, config: RunConfig, data: DataSet) -> Sequence[tuple[str, LongConfig, int]]:
        """The relaxed supernet, its tuning included."""
        ((name, recipe, images),) = super().planned(config, data)
        epochs = lengthened(recipe, images).epochs + self.tuning_epochs(config)
        return [(name, recipe.model_copy(update={"epochs": epochs}), images)]

    def tuning_epochs(self, config: RunConfig) -> int:
        """Epochs between the rounds, all together."""
        return (rounds(get(config.space).relaxation) - 1) * self.options.tune_epochs

    def of_length(self, config: RunConfig, epochs: int) -> dict[str, Any]:
        """The tuning is shortened and lengthened with the training before it."""
        found = super().of_length(config, epochs)
        tuned = max(1, round(self.options.tune_epochs * epochs / config.supernet.epochs))
        found["search"]["options"][self.name]["tune_epochs"] = tuned
        return found

    def other_pieces(self, config: RunConfig, data: DataSet, compute: Compute, timed: Timer) -> Mapping[str, float]:
        """An epoch of the tuning, on average, and all decisions."""
        ground = trial.TrialGround(config, data, compute)
        relaxation = get(config.space).relaxation
        supernet = compute.prepare(get(config.space).relaxed(shape(config, data), self.partial))
        architecture = self.initial(relaxation, compute.device, config.seed)
        found = self.selection(ground, self.beside(ground, supernet, architecture))
        return trial.selection_seconds(self.tuning(ground, supernet, found), timed)

    def other_seconds(self, config: RunConfig, data: DataSet, pieces: Mapping[str, float]) -> float:
        """The tuning and the decisions."""
        del data
        return self.tuning_epochs(config) * pieces.get(trial.TUNING_EPOCH, 0.0) + pieces.get(trial.DECISIONS, 0.0)

    def search(self, session: Session) -> SearchRecord:
        """Train, decide and tune, each from its last checkpoint."""
        supernet, learnt = self.begun(session)
        kept = session.run.load_checkpoint(RELAXED)
        if kept is None:
            self.trained(session, supernet, learnt)
            found = self.selection(session, learnt)
            found.decide()
            self._keep(session, supernet, learnt, found)
        else:
            tensors, state = kept
            supernet.load_state_dict(_part(tensors, "model"))
            learnt.restore(_part(tensors, "learnt"), state["learnt"])
            found = self.selection(session, learnt)
            found.restore({}, state["found"])
        self.fit(session, self.tuning(session, supernet, found))
        before = len(learnt.epochs)
        epochs = learnt.epochs + [{**each, "epoch": before + each["epoch"]} for each in found.epochs]
        record = self.record(session, epochs, len(epochs) - 1, [learnt.setting.name, RELAXED, TUNING])
        return replace(record, relaxed={**(record.relaxed or {}), "decisions": found.decisions.made})

    def selection(self, ground: Ground, learnt: Alternation) -> Selection:
        """The decisions that begin with a trained supernet."""
        epochs = self.tuning_epochs(ground.config)
        setting = replace(learnt.setting, name=TUNING, epochs=epochs)
        return Selection(learnt.architecture, setting, self.judging(ground), self.options.tune_epochs)

    def judging(self, ground: Ground) -> Batches:
        """The images that judge, as they are, in batches of the size of an architecture step."""
        config, data = ground.config, ground.data
        chosen = order(len(data.search), seed=config.seed, keys=(self.name, "judging"))[: self.options.images]
        size, memory_gb = self.options.batch_size, config.data.memory_gb
        return placed(data.search, chosen, size, data=data, compute=ground.compute, memory_gb=memory_gb)

    def tuning(self, ground: Ground, supernet: RelaxedSupernet, found: Selection) -> Job:
        """The training of the weights between the rounds: from a tenth of the learning rate, its momentum anew."""
        job = self.job(ground, supernet, found)
        rate = self.options.tune_rate * job.recipe.learning_rate
        changes = {
            "epochs": found.setting.epochs,
            "learning_rate": rate,
            "final_learning_rate": min(rate, job.recipe.final_learning_rate),
            "warmup_epochs": 0.0,
        }
        return replace(job, title="tuning between rounds", recipe=job.recipe.model_copy(update=changes))

    def _keep(self, session: Session, supernet: RelaxedSupernet, learnt: Alternation, found: Selection) -> None:
        beside, state = learnt.state()
        tensors = {f"model:{name}": value for name, value in supernet.state_dict().items()}
        tensors |= {f"learnt:{name}": value for name, value in beside.items()}
        session.run.save_checkpoint(RELAXED, tensors, {"learnt": state, "found": found.state()[1]})


def _part(tensors: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key.partition(":")[2]: value for key, value in tensors.items() if key.partition(":")[0] == name}
