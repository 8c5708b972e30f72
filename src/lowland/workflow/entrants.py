"""The networks of `lowland landscape`: delivered ones from their folders, and references that are trained for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from lowland import spaces
from lowland.core.errors import ConfigError, DataError, RunError
from lowland.data import DataSet
from lowland.delivery import network as delivery
from lowland.delivery.description import WEIGHTS
from lowland.evaluation.contest import Training
from lowland.evaluation.references import Budget, Trial, sized
from lowland.spaces.references import names
from lowland.store import inside
from lowland.store.manifest import MANIFEST
from lowland.store.run import Run
from lowland.workflow.session import Session
from lowland.workflow.trial import trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A network as it was asked for.

    Attributes:
        text: What was typed.
        folder: The run or network folder; None for a reference.
        run: Whether the folder is a run directory, which knows its images and its recipe.
    """

    text: str
    folder: Path | None
    run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrant:
    """A network with trained weights.

    Attributes:
        name: As it was asked for.
        origin: Where its weights come from, in a few words.
        genotype: Its text form, or what else it is.
        digest: SHA-256 of its weights.
        network: Loads it, on the CPU and in evaluation mode.
        normalise: uint8 images → what it takes.
        notes: What a person should know of it.
    """

    name: str
    origin: str
    genotype: str
    digest: str
    network: Callable[[], nn.Module]
    normalise: Callable[[Tensor], Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """Trainings of references by the recipe of a run.

    Attributes:
        run: Name of the run.
        trial: Its delivered network, and the terms on which the references are trained.
        trainings: Of each reference in turn, perhaps done already.
    """

    run: str
    trial: Trial
    trainings: tuple[Training, ...]


def named(text: str) -> Named:
    """What a word of the command line is: a folder that is there, or else the name of a reference.

    Returns:
        The network, not yet loaded.

    Raises:
        ConfigError: it is neither.
    """
    folder = Path(text)
    if folder.is_dir():
        return Named(text=text, folder=folder, run=(folder / MANIFEST).exists())
    known = spaces.registered()
    kind, colon, _ = text.partition(":")
    if (colon and kind in ("published", "timm", *known)) or text in names():
        return Named(text=text, folder=None, run=False)
    raise ConfigError(
        f"there is no folder {text}, and no reference of that name; give run or network folders, published:NAME, "
        f"timm:NAME or one of {', '.join(names())}"
    )


def delivered(folder: Path, data: DataSet) -> Entrant:
    """The network of a run or network folder.

    Returns:
        It, known to take these images.

    Raises:
        DataError: it takes other images, or names other classes.
        RunError: nothing is there, or it is damaged.
    """
    network = delivery.load(folder)
    shape = network.shape
    wanted, given = (shape.in_channels, shape.image_size), (data.in_channels, data.image_size)
    if wanted != given:
        raise DataError(
            f"the network of {folder} takes images of {wanted[0]} channels and {wanted[1]} pixels, and {data.name} "
            f"has {given[0]} and {given[1]}; name images that suit all networks with --data and --image-size"
        )
    if network.classes != tuple(data.classes):
        raise DataError(
            f"the network of {folder} names {len(network.classes)} classes ({_some(network.classes)}), and {data.name} "
            f"has {len(data.classes)} ({_some(data.classes)}); networks are compared on images of the classes that "
            "all of them know"
        )
    place = next(place for place in (folder, folder / "network", folder / "incoming" / "network") if _holds(place))
    space = spaces.get(network.genotype.space)
    return Entrant(
        name=str(folder),
        origin=f"delivered, {space.name}",
        genotype=space.format(network.genotype),
        digest=inside.sha256(place, WEIGHTS),
        network=lambda: network.body,
        normalise=network.normalise,
        notes=_other_split(folder, data),
    )


def trainings(names: Sequence[str], session: Session, out: Path, *, fit: bool) -> Planned:
    """How references are trained by the recipe of a run, on its images and with its seed; nothing is done yet.

    Args:
        names: As `spaces.references.find` takes them.
        session: The run's.
        out: Folder in which they are to be kept.
        fit: Whether each has the width that fills the size of the run's network, or its own.

    Returns:
        The training of each name in turn, and the terms.

    Raises:
        RunError: the run has no trained network yet.
        ConfigError: a name is unknown, or the recipe is one that no reference can follow.
        BudgetError: a reference is too large however narrow it is.
    """
    run = session.run
    if not run.stage_done("train"):
        raise RunError(f"run {run.path} has no trained network yet; finish it with `lowland resume {run.path}`")
    folder = out.absolute()  # paths below a folder are taken as relative to it
    met = trial(session, folder, corruptions=False)
    met = replace(met, terms=replace(met.terms, threads=None))  # nothing goes on beside these
    seed = met.terms.seed
    return Planned(
        run=run.path.name,
        trial=met,
        trainings=tuple(
            Training(
                reference=each.reference,
                shape=each.shape,
                seed=seed,
                root=folder,
                folder=folder / "networks" / each.folder / f"seed-{seed}",
            )
            for each in sized(names, met, Budget.of(met.delivered) if fit else None)
        ),
    )


def trained(text: str, training: Training, planned: Planned) -> Entrant:
    """A reference, trained now or found trained.

    Args:
        text: As it was asked for.
        training: Which, and where it is kept.
        planned: What it belongs to.

    Returns:
        The network.

    Raises:
        InterruptedRun: the monitor asked for a stop; the checkpoint is kept.
        DivergedError: the loss is no longer finite.
    """
    terms = planned.trial.terms
    facts = training.facts(terms) or training.train(terms)
    terms.monitor.check()
    lacks, learned = terms.lacking(training.reference), training.reference.learned
    notes = [f"{text} was trained without {', '.join(lacks)}, which it has not"] if lacks else []
    notes += [f"{text} began with weights learned elsewhere ({learned})"] if learned else []
    return Entrant(
        name=text,
        origin=f"trained by the recipe of {planned.run}, width {training.shape.channels}",
        genotype=training.reference.text,
        digest=facts["sha256"],
        network=training.network,
        normalise=terms.data.normalise,
        notes=tuple(notes),
    )


def _holds(place: Path) -> bool:
    return (place / WEIGHTS).is_file()


def _some(classes: Sequence[str]) -> str:
    return ", ".join(classes[:4]) + (", …" if len(classes) > 4 else "")


def _other_split(folder: Path, data: DataSet) -> tuple[str, ...]:
    """A note where a run learned from other images, or another split of them."""
    if not (folder / MANIFEST).exists():
        return ()
    with Run.open(folder, read_only=True) as run:
        known = run.manifest.get("data", {}).get("fingerprint")
    if known in (None, data.fingerprint):
        return ()
    return (f"{folder} learned from other images, or another split of them, so that these may be among its own",)
