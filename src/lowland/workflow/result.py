"""What a run has to show when control comes back: its network, its figures, its report, its candidates."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowland.core.amounts import estimate, measured, millions, standing
from lowland.core.errors import RunError
from lowland.evaluation.recorded import figures_of
from lowland.report.gather import gather
from lowland.report.plots import Plot, plots
from lowland.search.order import standings
from lowland.store.artifacts import Searched, evaluated, network_folder
from lowland.store.run import STAGES, Run
from lowland.workflow.candidates import archive

if TYPE_CHECKING:
    from lowland.delivery.network import Network


@dataclass(frozen=True, repr=False)
class RunResult:
    """Where a run stands when control comes back.

    Attributes:
        path: The run directory.
        stages: Names of the stages that are done.
        networks: One row per delivered network, best first; `figures` are those of all suites
            (`evaluation.section.Figure`). Where scores are only an order, `place` is the network's, such as
            `1 of 100`, and `score` has no unit; else `place` is None.
        report: report.html, once written.
        network: Folder of the delivered network, once trained.
        seconds: How long each stage that was begun took, in all sessions.
    """

    path: Path
    stages: tuple[str, ...]
    networks: list[dict[str, Any]] = field(default_factory=list)
    report: Path | None = None
    network: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def load(self, device: str = "cpu") -> Network:
        """Load the delivered network with its preprocessing.

        Returns:
            The network in evaluation mode on `device`, as `lowland.load` gives it.

        Raises:
            RunError: none is trained yet, or it is damaged.
        """
        from lowland.delivery.network import load

        if self.network is None:
            raise RunError(f"{self.path} has no network yet; run `lowland resume {self.path}` to train it")
        return load(self.network, device)

    def archive(self) -> Any:
        """Every candidate of the search, as `lowland.archive` gives them."""
        return archive(self.path)

    @property
    def plots(self) -> dict[str, Plot]:
        """The report's figures by name, from what the run directory holds now; a notebook shows each as an image."""
        with Run.open(self.path, read_only=True) as opened:
            return plots(gather(opened))

    def __repr__(self) -> str:
        lines = [f"run {str(self.path)!r}: {', '.join(self.stages) or 'nothing'} done"]
        lines += [f"  {'; '.join(f'{name} {value}' for name, value in _row(each).items())}" for each in self.networks]
        lines += [f"  report {self.report}"] if self.report is not None else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """A small table for notebooks."""
        rows = [_row(each) for each in self.networks]
        names = list(dict.fromkeys(name for row in rows for name in row))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        cells = [[html.escape(row.get(name, "–")) for name in names] for row in rows]
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
        done = html.escape(f"{self.path}: {', '.join(self.stages) or 'nothing'} done")
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        return f"<div><p>Run {done}</p>{table}</div>"


def _row(entry: dict[str, Any]) -> dict[str, str]:
    """What is shown of one network, by heading."""
    return {
        "rank": str(entry["rank"]),
        "genotype": entry["genotype"],
        "parameters": millions(entry["parameters"]),
        "MACs": millions(entry["macs"]),
        **(
            {"score": estimate(entry["score"], entry["score_error"], "{:.4g}")}
            if entry["place"] is None
            else {"place": entry["place"]}
        ),
        **{each.label: measured(each.value, each.standard_error, each.unit) for each in entry["figures"]},
    }


def run_result(opened: Run) -> RunResult:
    """What a finished or unfinished run has to show."""
    done = tuple(stage for stage in STAGES if opened.stage_done(stage))
    rows: list[dict[str, Any]] = []
    if "search" in done:
        figures = [figures_of(record) for record in evaluated(opened)] if "evaluate" in done else []
        searched = Searched.read(opened)
        places = standings(opened.config, searched)
        for rank, entry in enumerate(searched.ranking[: opened.config.retrain.top], start=1):
            rows.append(
                {
                    "rank": rank,
                    "genotype": entry.genotype,
                    "genes": list(entry.genes),
                    "parameters": entry.parameters,
                    "macs": entry.macs,
                    "score": entry.value,
                    "score_error": entry.standard_error,
                    "place": standing(places[rank - 1], searched.summary["scored"]) if places is not None else None,
                    "figures": [figure for found in figures for figure in found.get(str(rank), ())],
                }
            )
    stages = opened.manifest["stages"]
    return RunResult(
        path=opened.path,
        stages=done,
        networks=rows,
        report=opened.path / "report.html" if "report" in done else None,
        network=opened.path / network_folder(1) if "train" in done else None,
        seconds={name: stages[name]["seconds"] for name in STAGES if name in stages and "seconds" in stages[name]},
    )
