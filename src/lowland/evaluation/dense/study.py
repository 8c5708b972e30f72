"""A study: one dense task learnt by one backbone for several seeds, each training in a folder of its own.

`<folder>/seed-<s>/` holds the checkpoint while the training goes on, then `model.safetensors` and, last,
`outcome.json`. A stop loses what came after the last checkpoint, and a study that goes on ends in the same bytes.
Test pictures are shown to the trained model alone, once; other test pictures change no training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from lowland.core.device import Compute
from lowland.core.files import json_text
from lowland.core.monitor import Monitor
from lowland.evaluation.dense.results import Outcome
from lowland.store import inside
from lowland.store.checkpoint_file import CheckpointFile
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training.task import Task, TaskJob, TaskRecipe, fit_task

CHECKPOINT, MODEL, OUTCOME = "checkpoint.safetensors", "model.safetensors", "outcome.json"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is trained, and where it is kept.

    Attributes:
        task: The task on its data.
        recipe: How it is learnt.
        build: (seed) → the untrained model with its backbone, on the CPU.
        decided_by: Everything but the seed that decides the weights, as JSON-like values.
        root: Folder that nothing of the study leaves (`store.inside`).
        folder: Where in it the study is kept; empty: in `root` itself.
        compute: Where the arithmetic runs.
        checkpoint_seconds: Time between two checkpoints.
        monitor: Hears how it goes, and asks for a stop.
    """

    task: Task[Any]
    recipe: TaskRecipe
    build: Callable[[int], nn.Module]
    decided_by: Mapping[str, Any]
    root: Path
    folder: str
    compute: Compute
    checkpoint_seconds: float
    monitor: Monitor

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the weights, but the seed."""
        parts = {
            "task": self.task.name,
            "recipe": self.recipe.model_dump(mode="json"),
            "precision": self.compute.precision,
            "decided_by": dict(self.decided_by),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def outcome(self, seed: int) -> Outcome:
        """What came of the training with a seed: as it is kept, or trained and judged now.

        Returns:
            Metrics, losses and facts.

        Raises:
            DivergedError: the loss is no longer finite.
            InterruptedRun: the monitor asked for a stop; the checkpoint is kept.
        """
        kept, tested_on = self._kept(seed)
        if kept is not None and tested_on == self.task.test_fingerprint:
            return kept
        if kept is not None:
            judged = self.compute.prepare(self.model(seed)).eval()
            tested = replace(kept, test=dict(self.task.test(judged, self.compute, self.monitor)))
            self._keep(tested)
            return tested
        model = self.compute.prepare(self.build(seed))
        job = TaskJob(
            task=self.task,
            model=model,
            recipe=self.recipe,
            seed=seed,
            compute=self.compute,
            name=f"{self.task.name}-{self.digest}",
            title=f"{self.task.name}, seed {seed}",
        )
        checkpoint = CheckpointFile(self.root, self._file(seed, CHECKPOINT))
        history = fit_task(
            job, checkpoints=checkpoint, checkpoint_seconds=self.checkpoint_seconds, monitor=self.monitor
        )
        content = to_safetensors(model.state_dict(), {})
        inside.write_bytes(self.root, self._file(seed, MODEL), content)
        metrics = self.task.judge(model.eval(), self.compute, self.monitor)
        test = self.task.test(model, self.compute, self.monitor)
        found = Outcome(
            seed=seed,
            metrics=dict(metrics),
            test=dict(test),
            losses={name: tuple(values) for name, values in history.losses.items()},
            interval=history.interval,
            steps=self.recipe.total_steps(self.task.images),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            seconds=round(history.seconds, 1),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        self._keep(found)
        checkpoint.drop()
        return found

    def model(self, seed: int) -> nn.Module:
        """The trained model of a seed, in evaluation mode on the CPU; its outcome must be there."""
        built = self.build(seed)
        built.load_state_dict(from_safetensors(inside.read(self.root, self._file(seed, MODEL)))[0])
        return built.eval()

    def _keep(self, found: Outcome) -> None:
        values = {"decided_by": self.digest, "tested_on": self.task.test_fingerprint, "outcome": asdict(found)}
        inside.write_text(self.root, self._file(found.seed, OUTCOME), json_text(values))

    def _kept(self, seed: int) -> tuple[Outcome | None, str]:
        """What came of a training that is done, and the fingerprint of the test pictures that it was shown."""
        try:
            found = json.loads(inside.read(self.root, self._file(seed, OUTCOME)))
            outcome = Outcome.from_json(found["outcome"]) if found["decided_by"] == self.digest else None
            whole = outcome is not None and inside.sha256(self.root, self._file(seed, MODEL)) == outcome.sha256
            tested_on = str(found.get("tested_on", ""))  # from before there were test pictures: none
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or a part of one after a crash
            return None, ""
        return (outcome, tested_on) if whole else (None, "")

    def _file(self, seed: int, name: str) -> str:
        return "/".join(part for part in (self.folder, f"seed-{seed}", name) if part)
