"""Verbs that list what there is: a table of every registry, and the data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from lowland.app import completion, console
from lowland.app.options import Given, JsonOutput, takes
from lowland.core.registry import EXECUTORS, MEASURES, SEARCHERS, SPACES, STRATEGIES, SUITES, Entry


def _members(ctx: typer.Context, incomplete: str) -> list[str]:
    """What the shell completes a member's name by: the registry of its verb."""
    return completion.beginning(_REGISTRIES[str(ctx.info_name)].names(), incomplete)


Name = Annotated[str | None, typer.Argument(help="Show this one with its settings.", autocompletion=_members)]

_REGISTRIES = {
    "spaces": SPACES,
    "measures": MEASURES,
    "strategies": STRATEGIES,
    "searchers": SEARCHERS,
    "suites": SUITES,
    "executors": EXECUTORS,
}
"""Every registry by the verb that lists it."""


def _listing(verb: str, summary: str, options: str | None = None, *, inherited: bool = False) -> Callable[..., None]:
    """The verb that lists the members of a registry, or shows one of them with its settings in `options`.

    Where members inherit settings, those that are shown with their settings are imported; a table of all has none.

    Returns:
        The verb.
    """
    registry = _REGISTRIES[verb]

    @takes("plugins")
    def listed(given: Given, name: Name = None, json_output: JsonOutput = False) -> None:
        from lowland.app.display import listing_lines, member_lines
        from lowland.core.errors import ConfigError

        if name is None and not json_output:
            console.say(listing_lines(registry.entries(), verb, console.out.width))
            return
        if name is not None and name not in registry.names():
            raise ConfigError(registry.unknown(name))
        wanted = registry.names() if name is None else [name]
        if inherited:
            entries = [registry.described(each) for each in wanted]
        else:
            entries = [entry for entry in registry.entries() if entry.name in wanted]
        if name is None:
            console.print_json([_plain(entry) for entry in entries])
            return
        (shown,) = entries
        if json_output:
            console.print_json(_plain(shown))
            return
        console.say(member_lines(shown, options, console.out.width))

    listed.__name__, listed.__doc__ = verb, summary
    return listed


def _plain(entry: Entry) -> dict[str, Any]:
    """A member as JSON; defaults as they are written in Python."""
    settings = [asdict(setting) for setting in entry.settings]
    said = {"name": entry.name, "summary": entry.summary, "source": entry.source, "origin": entry.origin}
    return said | {"settings": settings}


def data(json_output: JsonOutput = False) -> None:
    """List the data sets known by name; image folders and .npz files work by path."""
    from lowland.app.tables import listing
    from lowland.data import catalogue

    if json_output:
        rows = [{"name": each.name, "summary": each.summary, "source": each.source} for each in catalogue()]
        console.print_json(rows)
        return
    console.say(listing([(entry.name, entry.summary, entry.source) for entry in catalogue()], console.out.width))
    console.say(["Also by path: an image folder (CLASS/*.png, or train/ and test/ of such), or an .npz file."])


def published(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks of the literature, which --genotype and --with take as published:NAME."""
    from lowland.app.tables import table, wrapped
    from lowland.spaces import get
    from lowland.spaces.published import networks

    rows, found = [], []
    for each in networks():
        space = get(each.genotype.space)
        ours = space.cost(each.genotype, each.shape)
        profiler = space.cost(each.genotype, each.shape, classifier="profiler").macs
        sizes = [f"{count / 1e6:.2f} M" for count in (ours.parameters, ours.macs, profiler)]
        rows.append([each.name, each.searched_on, str(each.channels), *sizes, f"{each.top1:.2f}"])
        found.append(
            {
                "name": each.name,
                "space": space.name,
                "searched_on": each.searched_on,
                "channels": each.channels,
                "parameters": ours.parameters,
                "macs": ours.macs,
                "macs_by_profiler": profiler,
                "imagenet_top1": each.top1,
                "source": each.source,
                "note": each.note,
                "genotype": space.format(each.genotype),
            }
        )
    if json_output:
        typer.echo(json.dumps(found))
        return
    header = ["name", "searched on", "C", "params", "MACs", "profiler", "top-1"]
    about = (
        "Networks of 14 cells on 224 pixels, 1,000 classes; MACs count the classifier as in·out, profiler as "
        "(2·in − 1)·out; top-1: ImageNet, percent, as published. --json: with papers and genotypes."
    )
    notes = [f"{each.name}: {each.note}." for each in networks() if each.note]
    width = console.out.width
    below = [line for text in (about, *notes) for line in wrapped(text, width)]
    console.say([*table(header, rows, width), "", *below])


VERBS = (
    _listing("spaces", "List the search spaces."),
    _listing("measures", "List the measures; sums such as angle+flatness combine them.", "measure.options"),
    _listing("strategies", "List the search strategies.", "search.options"),
    _listing("searchers", "List the ways to search.", "search.options", inherited=True),
    _listing("suites", "List the tests that delivered networks are put to.", "evaluate.options"),
    _listing("executors", "List the ways to spread scoring over processes."),
    data,
    published,
)
"""One verb for each registry, one for data sets, and one for networks of the literature."""
