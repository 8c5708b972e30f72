"""The verb that lists the networks that a run delivered before the present one. It needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lowland.app import console
from lowland.app.options import JsonOutput, RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text


def history(run_directory: RunDirectory, json_output: JsonOutput = False) -> None:
    """List the networks that a run delivered before: when, with which settings, and how good they were."""
    from lowland.store.run import Run

    with Run.open(run_directory, read_only=True) as run:
        rows = networks(run)
    if json_output:
        console.print_json({"run": str(run_directory), "networks": rows})
    else:
        console.say(history_lines(rows, run_directory, console.out.width))


def networks(run: Any) -> list[dict[str, Any]]:
    """The present network, number None, and the earlier ones, latest first, as JSON.

    Returns:
        For each `number`, `folder`, `made`, `genotype`, `parameters`, `results`, `bytes`, and `settings`: those that
        differ from the run's present ones, each with `key`, `then` and `now`.
    """
    from lowland.core.settings import parse
    from lowland.store import inside
    from lowland.store.earlier import EARLIER
    from lowland.store.manifest import NETWORK

    found = []
    present, leaving = run.description(NETWORK), run.manifest.get("earlier")
    now = run.config.model_dump(mode="json")
    if present:
        made = run.manifest["stages"].get("train", {}).get("started") if leaving is None else leaving["made"]
        changed = [] if leaving is None else _changed(parse(leaving["config"], "the earlier settings"), now)
        row = {"number": None, "folder": str(run.path / NETWORK), "made": made}
        found.append(row | _described(present) | {"bytes": inside.size(run.path, NETWORK), "settings": changed})
    for each in run.earlier_networks():
        row = {"number": each.number, "folder": str(run.path / EARLIER / str(each.number)), "made": each.made}
        found.append(
            row | _described(each.description) | {"bytes": each.bytes, "settings": _changed(each.settings, now)}
        )
    return found


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    from lowland.store.differences import settings_that_differ

    return [{"key": row["key"], "then": row["a"], "now": row["b"]} for row in settings_that_differ(then, now)]


def _described(description: Mapping[str, Any]) -> dict[str, Any]:
    facts = description.get("facts", {})
    return {
        "genotype": description.get("genotype"),
        "parameters": facts.get("parameters"),
        "results": facts.get("results", {}),
    }


def history_lines(rows: list[dict[str, Any]], run: Path, width: int) -> list[str | Text]:
    """A table of the networks, and below it what was set otherwise for each."""
    from lowland.app.tables import table
    from lowland.app.verbs.settings import shown
    from lowland.core.amounts import measured, millions, storage

    if not rows:
        return [f"{run} has delivered no network yet."]
    labels = list(dict.fromkeys(label for row in rows for label in row["results"]))
    header = ("network", "made, UTC", "params", *labels, "disk")
    cells = []
    for row in rows:
        results = [row["results"].get(label) for label in labels]
        cells.append(
            (
                "present" if row["number"] is None else f"history/{row['number']}",
                "–" if row["made"] is None else row["made"][:16].replace("T", " "),
                "–" if row["parameters"] is None else millions(row["parameters"]),
                *(
                    "–" if each is None else measured(each["value"], each["standard_error"], each["unit"])
                    for each in results
                ),
                storage(row["bytes"]),
            )
        )
    lines: list[str | Text] = [*table(header, cells, width)]
    for row in rows:
        if row["settings"]:
            name = "the present network" if row["number"] is None else f"history/{row['number']}"
            lines += ["", f"{name} was made with, instead of the run's settings now:"]
            lines += [f"  {each['key']} = {shown(each['then'])} (now {shown(each['now'])})" for each in row["settings"]]
    earlier = [row for row in rows if row["number"] is not None]
    if earlier:
        used = storage(sum(row["bytes"] for row in earlier))
        lines += [
            "",
            f"{used} in history/; `history` in the settings says how many are kept",
        ]
        lines.append(f"load one  lowland.load({earlier[0]['folder']!r})")
    else:
        lines += ["", "No earlier network: a new training puts the present one into history/ when it is complete."]
    return lines
