"""What the terminal shows: live progress, results and listings; and the handling of Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from lowland.app.console import literal
from lowland.app.tables import listing, table, wrapped
from lowland.core.amounts import clock, estimate, measured, millions
from lowland.core.errors import InterruptedRun
from lowland.core.lines import facts_of, summary
from lowland.core.monitor import STEP, Monitor, Rate, Start, named
from lowland.core.registry import OWN, Entry

if TYPE_CHECKING:
    from lowland.evaluation.section import Figure
    from lowland.workflow.result import RunResult


class Display(Monitor):
    """One line per stage: bar, count, rate, time left and a few facts, drawn anew in place.

    Args:
        console: A terminal.
        verbose: Show also versions, the place of computation, changed settings and details.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self.console = console
        self.verbose = verbose
        self.progress: Progress | None = None
        self.task: TaskID | None = None
        self.rate = Rate(0)
        self.unit = ""
        self.warned = False

    def begin(self, start: Start) -> None:
        """Say where the run is, so that it can be watched from elsewhere."""
        done = f" goes on; done: {', '.join(start.done) or 'nothing'}" if start.resumed else ""
        self.say(f"run {start.path}{done}")
        if self.verbose:
            for line in facts_of(start):
                self.detail(line)

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Begin a line."""
        self.finish()
        self.unit, self.rate = unit, Rate(total, done, even=unit == STEP)
        self.warned = False
        self.progress = Progress(
            TextColumn("{task.description:<12.12}", markup=False),
            # What is worth reading comes first where the terminal is narrow.
            BarColumn(bar_width=max(4, min(24, self.console.width - 76))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}", style="dim", markup=False),
            console=self.console,
            refresh_per_second=4,
        )
        self.progress.start()
        self.task = self.progress.add_task(stage, total=total, completed=done, speed="", facts="")

    def advance(self, done: int, **facts: Any) -> None:
        """Move the line on."""
        self.rate.update(done)
        lull = self.rate.lull(self.unit)
        if lull is not None and not self.warned:
            self.note(lull)
            self.warned = True
        if self.progress is not None and self.task is not None:
            speed = self.rate.outlook(self.unit)
            self.progress.update(self.task, completed=done, speed=speed, facts="  ".join(named(facts)))

    def say(self, line: str) -> None:
        """Print one line above the bar, as it is."""
        self.console.print(literal(line), soft_wrap=True)

    def note(self, message: str) -> None:
        """Print one line above the bar."""
        self.console.print(literal(message), style="yellow")

    def detail(self, line: str) -> None:
        """Print one line above the bar where details were asked for."""
        if self.verbose:
            self.console.print(literal(line), style="dim", soft_wrap=True)

    def finish(self) -> None:
        """End the line."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def end(self, result: Any) -> None:
        """Say how long each stage took."""
        self.finish()
        self.say(summary(result.seconds))

    def fail(self, error: BaseException) -> None:
        """Leave the line as it is and give the terminal its cursor back."""
        self.finish()


@contextmanager
def stoppable(monitor: Monitor) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the stage to stop where everything is safe; a second one stops at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if monitor.stopping:
            raise InterruptedRun("stopped at once")
        monitor.stopping = True
        monitor.note("stopping at the next safe point; press Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def results(entries: list[dict[str, Any]], width: int) -> list[Text]:
    """List the delivered networks at the end of a run, genotypes as genes to keep lines short.

    Where scores are only an order, the place in it stands for the score. Each figure of a suite has a column;
    `corrupted` is the mean accuracy over corruption types and severities.

    Returns:
        The lines of a table with one row per network.
    """
    labels = list(dict.fromkeys(figure.label for entry in entries for figure in entry["figures"]))
    ordered = any(entry.get("place") is not None for entry in entries)
    header = ("rank", "genotype", "parameters", "MACs", "place" if ordered else "score", *labels)
    rows = []
    for entry in entries:
        figures = {figure.label: figure for figure in entry["figures"]}
        rows.append(
            (
                str(entry["rank"]),
                ",".join(map(str, entry["genes"])),
                millions(entry["parameters"]),
                millions(entry["macs"]),
                entry["place"] if ordered else estimate(entry["score"], entry["score_error"], "{:.4g}"),
                *(_shown(figures.get(label)) for label in labels),
            )
        )
    return table(header, rows, width, name=1)


def _shown(figure: Figure | None) -> str:
    return "–" if figure is None else measured(figure.value, figure.standard_error, figure.unit)


def status_lines(status: dict[str, Any]) -> list[str]:
    """What `Run.status` says, for people; whole lines, so that a long path can be copied."""
    state = "running" if status["active"] else "not running"
    rows = [("run", f"{status['path']} ({state}, made {status['created']})")]
    if status["checkpoints"] is not None:
        rows.append(("checkpoints", status["checkpoints"]))
    for name, stage in status["stages"].items():
        text = stage["status"] + (f", {clock(stage['seconds'])}" if stage["seconds"] else "")
        if "skipped" in stage["facts"]:
            text += f", left out: {stage['facts']['skipped']}"
        progress = status["progress"]
        if stage["status"] in ("running", "interrupted") and progress is not None and progress["stage"] == name:
            text += f", {progress['done']} of {progress['total']}"
            if stage["status"] == "running" and status["seconds_left"] is not None:
                text += f", {clock(status['seconds_left'])} left"
        if name == "search" and status.get("lag") is not None:
            text += f", no generations (search.lag={status['lag']})"
        rows.append((name, text))
        if status["active"] and progress is not None and progress["stage"] == name and progress.get("lull"):
            rows.append(("", progress["lull"]))
        if status["active"] and progress is not None and progress["stage"] == name and progress.get("workers"):
            rows.append(("", _workers(progress["workers"])))
    if status["progress_lost"]:
        rows.append(("", "progress.json is damaged: how far it is, and what is best, is not known until it goes on"))
    elif status["progress"] is None and any(each["status"] == "interrupted" for each in status["stages"].values()):
        rows.append(("", "progress.json is missing: how far it is, and what is best, is not known until it goes on"))
    if status["best"] is not None:
        best = status["best"]
        judged = f"score {best['score']:.4g}" if best["score"] is not None else best["place"]
        rows.append(("best so far", f"{best['genotype']} ({judged})"))
    if (
        any(stage["status"] in ("pending", "interrupted") for stage in status["stages"].values())
        and not status["active"]
    ):
        rows.append(("continue", f"lowland resume {status['path']}"))
    return [f"{name:<12} {text}" for name, text in rows]


def _workers(told: Mapping[str, Any]) -> str:
    """How workers stand, in one line."""
    text = f"{told.get('alive', 0)} workers alive"
    text += f" on {told['gpus']:g} GPU{'' if told['gpus'] == 1 else 's'}" if "gpus" in told else ""
    text += f", {told.get('running', 0)} running"
    text += f", {told.get('rate', 0):.3g} tasks/s, {told.get('retried', 0)} retried, {told.get('lost', 0)} workers lost"
    return text + (f", {told['copied']} given to a second worker" if told.get("copied") else "")


def result_lines(result: RunResult, width: int) -> list[str | Text]:
    """What a person sees when a run comes to its end: the table and where things are."""
    lines: list[str | Text] = []
    if result.networks:
        lines += ["", *results(result.networks, width)]
        lines.append(f"genotype {result.networks[0]['genotype']}")
    lines.append(f"run      {result.path}")
    if result.report is not None:
        lines.append(f"report   {result.report}")
    if result.network is not None:
        lines.append(f"network  {result.network}")
    return lines


def ranking_lines(document: dict[str, Any], path: Path, width: int) -> list[str | Text]:
    """What a person sees when a ranking comes to its end: one table for each truth, over all genotypes."""
    lines: list[str | Text] = []
    header = ("measure", "τ-b", "interval", "ρ", "P@10%", "regret", "s each", "images")
    for column in document["truth"]["columns"]:
        rows = []
        for row in [*document["measures"], *document["references"]]:
            if column in row["truth"]:
                found = row["truth"][column]["all"]
                seconds, images = row.get("seconds"), row.get("images")
                rows.append(
                    (
                        row["name"],
                        _two(found["tau"]["value"]),
                        between(found["tau"]),
                        *(_two(found[name]["value"]) for name in ("rho", "precision", "regret")),
                        "–" if seconds is None else f"{seconds:.2g}",
                        "–" if images is None else f"{images:,.0f}",
                    )
                )
        lines += ["", f"{len(document['genotypes'])} genotypes against {column}", *table(header, rows, width)]
    return [*lines, "", f"scores   {path / 'rank.json'}", f"page     {path / 'rank.html'}"]


def listing_lines(entries: Sequence[Entry], verb: str, width: int) -> list[str | Text]:
    """What `lowland measures` and its like say: every member with its source, and whose it is where not lowland's."""
    if not entries:
        return [f"There are no {verb} yet: none is built in, and no installed package or --plugin brings one."]
    rows = [(each.name, each.summary, each.source + _origin(each)) for each in entries]
    lines: list[str | Text] = [*listing(rows, width)]
    if any(each.settings for each in entries):
        lines.append(f"`lowland {verb} NAME` shows the settings that one has of its own.")
    return lines


def member_lines(entry: Entry, options: str | None, width: int) -> list[str | Text]:
    """What `lowland measures NAME` and its like say: one member with its settings.

    Args:
        entry: The member.
        options: Where settings of its kind stand, such as `measure.options`; None: nowhere.
        width: Width of the terminal in characters.

    Returns:
        Its lines, with texts wrapped to `width`.
    """
    lines: list[str | Text] = [Text(entry.name, style="bold"), *wrapped(entry.summary, width)]
    lines += [Text(line, style="dim") for line in wrapped(entry.source + _origin(entry), width)]
    if not entry.settings:
        return [*lines, "", "It has no settings of its own."]
    where = f", as --set {options}.{entry.name}.{entry.settings[0].name}=VALUE" if options else ""
    lines += ["", *wrapped(f"Settings of its own, with defaults{where}:", width)]
    for setting in entry.settings:
        lines.append(f"  {setting.name} = {setting.default}" if setting.default else f"  {setting.name}")
        lines += [f"      {line}" for line in wrapped(setting.description, width - 6)]
    return lines


def _origin(entry: Entry) -> str:
    return "" if entry.origin == OWN else f" (from {entry.origin})"


def between(entry: dict[str, float | None]) -> str:
    """The interval of a statistic, `0.30 to 0.50`; a dash where it is undefined."""
    low, high = entry["low"], entry["high"]
    return "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
