"""The options of the command line in one table: how each is written, what it sets, its type and its help.

A verb names those it takes with `@takes(...)` and is given their values as one mapping; `layers` makes settings of
them. An option of one verb alone stands in that verb's own signature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from lowland.app import completion

Given = dict[str, Any]
"""Values of shared options by their names in `OPTIONS`."""

Layers = list[dict[str, Any]]
"""Nested settings, weakest first."""

RunDirectory = Annotated[Path, typer.Argument(help="Run directory.")]

JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Option:
    """One option that several verbs take.

    Attributes:
        flag: How it is written.
        help: What `--help` says of it.
        setting: The setting it decides; empty where it decides none, or any.
        type: Type of its value; a list where it is repeatable, bool for a flag.
        implies: Name of another option, and the value of it that this option belongs to and brings along.
        completed: What the shell completes its value by.
    """

    flag: str
    help: str
    setting: str = ""
    type: Any = str
    implies: tuple[str, str] | None = None
    completed: completion.Completion | None = None

    @property
    def parameter(self) -> tuple[Any, Any]:
        """Annotation and default from which typer makes the option."""
        kind = self.type if self.type is bool else self.type | None
        default = False if self.type is bool else None
        return Annotated[
            kind, typer.Option(self.flag, help=self.help, show_default=False, autocompletion=self.completed)
        ], default

    def layers(self, value: Any) -> Layers:
        """The settings that a value of it decides."""
        from lowland.core.settings import nested

        return [nested(self.setting, str(value) if isinstance(value, Path) else value)] if self.setting else []


class File(Option):
    """A YAML file of settings."""

    def layers(self, value: Any) -> Layers:
        """What stands in the file."""
        from lowland.core.settings import read

        return [read(value)]


class Count(Option):
    """A number of parameters or operations, such as 1.0M."""

    def layers(self, value: Any) -> Layers:
        """The number as an integer."""
        from lowland.core.settings import count, nested

        return [nested(self.setting, count(self.flag, value))]


class Duration(Option):
    """A time, such as 20m."""

    def layers(self, value: Any) -> Layers:
        """The time in seconds."""
        from lowland.core.settings import duration, nested

        return [nested(self.setting, duration(self.flag, value))]


class Assignments(Option):
    """Settings as `section.key=value`."""

    def layers(self, value: Any) -> Layers:
        """One layer for each."""
        from lowland.core.settings import assignment

        return [assignment(text) for text in value]


class Searcher(Option):
    """A searcher; or a strategy, which is one of the searcher one-shot."""

    def layers(self, value: Any) -> Layers:
        """What finds networks, and where that is one-shot what proposes them."""
        from lowland.core.registry import SEARCHERS, STRATEGIES

        if value in STRATEGIES.names() and value not in SEARCHERS.names():
            return [{"search": {"searcher": "one-shot", "strategy": value}}]
        return [{"search": {"searcher": value}}]


class Genotypes(Option):
    """Genotypes in place of a search; those that name their space choose it."""

    def layers(self, value: Any) -> Layers:
        """The genotypes and, from the first that names one, the space; a `--space` that says otherwise prevails."""
        from lowland.core.registry import SPACES
        from lowland.core.settings import nested

        named = [self._space(*text.split(":", 1)) for text in value if ":" in text]
        known = [space for space in named if space in SPACES.names()][:1]
        return [*({"space": space} for space in known), nested(self.setting, list(value))]

    @staticmethod
    def _space(kind: str, rest: str) -> str:
        """The space that a genotype names; of an unknown published one none, which is told where it is looked up."""
        if kind != "published":
            return kind
        from lowland.core.errors import ConfigError
        from lowland.spaces import published

        with suppress(ConfigError):
            return published.get(rest).genotype.space
        return ""


class Names(Option):
    """Names, given one by one or separated by commas."""

    def layers(self, value: Any) -> Layers:
        """All of them."""
        from lowland.core.settings import nested

        return [nested(self.setting, [name.strip() for text in value for name in text.split(",")])]


class Paths(Option):
    """Paths, given one by one."""

    def layers(self, value: Any) -> Layers:
        """All of them."""
        from lowland.core.settings import nested

        return [nested(self.setting, list(map(str, value)))]


OPTIONS: Mapping[str, Option] = {
    "config": File("--config", "YAML file of settings.", type=Path),
    "data": Option("--data", "Data set name, image folder or .npz file.", "data.name", completed=completion.data),
    "genotypes": Genotypes(
        "--genotype",
        "No search: train this genotype, published:NAME (`lowland published`), SPACE:GENOTYPE or one of --space. "
        "Repeatable.",
        "search.options.given.genotypes",
        list[str],
        implies=("searcher", "given"),
    ),
    "space": Option("--space", "Search space (`lowland spaces`).", "space", completed=completion.spaces),
    "measure": Option(
        "--measure", "Measure or sum of measures (`lowland measures`).", "measure.name", completed=completion.measures
    ),
    "strategy": Option(
        "--strategy", "Search strategy (`lowland strategies`).", "search.strategy", completed=completion.strategies
    ),
    "searcher": Searcher(
        "--searcher",
        "What finds networks (`lowland searchers`), or a strategy, which is one of searcher one-shot.",
        "search.searcher",
    ),
    "preset": Option(
        "--preset",
        "quick, standard, paper, imagenet, flatnas; add +compat for the public code's quirks.",
        "preset",
        completed=completion.among(*completion.PRESETS),
    ),
    "recipe": Option(
        "--recipe",
        "Retraining recipe: quick, cifar, imagenet, nasbench201.",
        "retrain.recipe",
        completed=completion.among(*completion.RECIPES),
    ),
    "optimizer": Option(
        "--optimizer",
        "Retraining optimiser: sgd, adamw, muon, or with +sam or +asam; for the supernet: --set supernet.optimizer=….",
        "retrain.optimizer",
        completed=completion.optimizers,
    ),
    "top": Option("--top", "How many of the best genotypes to retrain.", "retrain.top", int),
    "pretrained": Option(
        "--pretrained",
        "File of learned weights to begin with, supernet and delivered network: Once-for-All's, for space mobilenetv3.",
        "supernet.pretrained",
        Path,
    ),
    "epochs": Option("--epochs", "Supernet training epochs.", "supernet.epochs", int),
    "retrain_epochs": Option("--retrain-epochs", "Retraining epochs.", "retrain.epochs", int),
    "seed": Option("--seed", "Run seed.", "seed", int),
    "image_size": Option("--image-size", "Resize images to this square.", "data.image_size", int),
    "data_root": Option("--data-root", "Folder of torchvision data sets.", "data.root", Path),
    "suites": Names(
        "--suite",
        "What the networks are judged by (`lowland suites`). Repeatable, or separated by commas.",
        "evaluate.suites",
        list[str],
        completed=completion.suites,
    ),
    "corrupted": Option(
        "--corrupted",
        "Folder of corrupted test images, as CIFAR-10-C.",
        "evaluate.options.corruptions.folder",
        Path,
    ),
    "published": Option(
        "--data-root",
        "Folder that holds the suites' published data sets, such as imagenet-a and CIFAR-10-C.",
        "evaluate.root",
        Path,
    ),
    "ood": Paths(
        "--ood",
        "Folder of pictures of other things, which the networks should be unsure of; adds the suite ood. Repeatable.",
        "evaluate.options.ood.folders",
        list[Path],
    ),
    "device": Option(
        "--device",
        "auto, cpu, cuda, cuda:N or mps.",
        "compute.device",
        completed=completion.among("auto", "cpu", "cuda", "mps"),
    ),
    "workers": Option(
        "--workers",
        "Processes that score candidates; default: one per core or GPU, or all the cluster has room for (ray).",
        "search.workers",
        int,
    ),
    "objectives": Option(
        "--objective",
        "What the pareto strategy trades off: error, robustness, flatnas(alpha=0.5), params, macs, latency, any "
        "measure. Repeatable; implies --strategy pareto.",
        "search.options.pareto.objectives",
        list[str],
        implies=("strategy", "pareto"),
    ),
    "download": Option("--download", "Let torchvision download a missing data set.", "data.download", bool),
    "max_params": Count("--max-params", "Largest number of parameters, such as 1.0M.", "search.max_params"),
    "max_macs": Count("--max-macs", "Most multiply-accumulates, such as 50M.", "search.max_macs"),
    "budget": Duration("--budget", "Wall time of the whole run, such as 20m; trainings are as long as fits.", "budget"),
    "plugins": Option(
        "--plugin",
        "Module of your own that registers spaces, measures, …; imported first. Repeatable.",
        "plugins",
        list[str],
    ),
    "settings": Assignments(
        "--set", "Any setting: section.key=value. Repeatable.", type=list[str], completed=completion.assignments
    ),
    "loggers": Option(
        "--logger",
        "Also write curves, settings and figures for tensorboard, mlflow or wandb. Repeatable, or separated by commas.",
        type=list[str],
        completed=completion.among(*completion.LOGGERS),
    ),
    "out_path": Option("--out", "Run directory to make.", type=Path),
    "checkpoints_to": Option(
        "--checkpoints-to",
        "Folder, perhaps on another disk, that takes the checkpoints; a run's own folder: itself.",
        "checkpoints_to",
        Path,
    ),
}
"""Every shared option by the name of its value. Of two that decide the same setting the later one prevails."""

IMAGES = ("data", "seed", "image_size", "data_root", "download", "device")
"""Which images, and where the arithmetic runs."""


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: give a verb these options of the table; it receives their values as its argument `given`.

    Modules of `--plugin` are imported before the verb runs.

    Returns:
        The decorator.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(verb, eval_str=True)
        parameters = [each for name, each in signature.parameters.items() if name != "given"]
        for name in names:
            annotation, default = OPTIONS[name].parameter
            parameters.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )

        @wraps(verb)
        def called(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            if given.get("plugins"):
                from lowland.core.registry import import_plugins

                import_plugins(tuple(given["plugins"]))
            verb(given=given, **values)

        # What typer reads.
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return decorate


def layers(given: Mapping[str, Any]) -> Layers:
    """Read settings from the command line.

    Returns:
        Layers of settings, weakest first: the YAML file, then options, then --set.

    Raises:
        ConfigError: a value that cannot be read, or two options that exclude each other.
    """
    from lowland.core.errors import ConfigError

    found: Layers = []
    for name, option in OPTIONS.items():
        value = given.get(name)
        if value is None or value is False or value == []:
            continue
        if option.implies is not None:
            other, wanted = option.implies
            if given.get(other) not in (None, wanted):
                raise ConfigError(
                    f"{option.flag} belongs to {OPTIONS[other].flag} {wanted}, not {given[other]}; leave one of the "
                    "two out"
                )
            found += OPTIONS[other].layers(wanted)
        found += option.layers(value)
    return found


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers separated by commas, such as 2e-3,1e-2; ConfigError where one is none."""
    from lowland.core.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} must be numbers separated by commas, such as 2e-3,1e-2") from error
