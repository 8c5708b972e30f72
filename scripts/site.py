"""Pages of the documentation site that nobody writes: every verb, every setting, every member, from the code itself.

mkdocs calls `on_files` at every build (mkdocs.yml, `hooks`). The pages are made in memory and never committed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

DEFAULT = "quick"
"""The preset of a run that names none."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def command_line() -> str:
    """Every verb with its arguments and options, as `--help` tells them."""
    from typer.main import get_command

    from lowland.app.cli import app

    group: Any = get_command(app)
    lines = ["# Command line", "", f"{group.help}", "", "`lowland VERB -h` says the same in a terminal.", ""]
    for name, command in group.commands.items():
        lines += [f"## lowland {name}", "", plain(command.help or ""), "", *_parameters(command), ""]
    return "\n".join(lines)


def settings() -> str:
    """Every setting: its default, its value under each preset, what it means, and which file declares it."""
    from lowland.app.described import described
    from lowland.workflow.preset_values import PRESETS
    from lowland.workflow.presets import assemble

    # What only adds quirks to another preset is none of its own; one for another space names that space.
    own_spaces = {name: next(iter(values)) for name, values in PRESETS.items() if "nasbench201" not in values}
    by_preset = {
        name: {each.key: each for each in described(assemble({"preset": name, **_space(own_spaces.get(name))}))}
        for name in PRESETS
        if name != "compat"
    }
    first = by_preset[DEFAULT]
    lines = [
        "# Settings",
        "",
        "Each is a key of the YAML file that `--config` reads, or `--set KEY=VALUE`. *Default* is what holds where "
        "neither a preset nor an option says anything; a preset's own value stands behind it. Values of single "
        "measures, strategies, searchers and suites stand in `measure.options`, `search.options` and "
        "`evaluate.options`. `lowland settings SECTION --preset NAME` says the same in a terminal.",
        "",
    ]
    section = None
    for key, each in first.items():
        own = key.rpartition(".")[0]
        if own != section:
            section = own
            file, source = _declared(key)
            lines += [f"## {own or 'General'}", "", f"Declared in `{file}`. {source}".strip(), ""]
            lines += ["| setting | default | presets | meaning |", "|---|---|---|---|"]
        others = {
            name: found[key].value
            for name, found in by_preset.items()
            if key in found and found[key].value != each.default
        }
        told = "; ".join(f"{name}: {code(value)}" for name, value in others.items())
        lines.append(f"| `{key}` | {code(each.default)} | {told} | {cell(each.description)} |")
        if _last(key, list(first)):
            lines.append("")
    return "\n".join(lines)


def members() -> str:
    """Every space, measure, strategy, searcher, suite and executor, what it is, and where it is described."""
    from lowland.core.registry import EXECUTORS, MEASURES, SEARCHERS, SPACES, STRATEGIES, SUITES

    lines = ["# Members", "", "What there is to choose from; each is one file, and anybody can add others.", ""]
    for title, registry in (
        ("Spaces", SPACES),
        ("Measures", MEASURES),
        ("Strategies", STRATEGIES),
        ("Searchers", SEARCHERS),
        ("Suites", SUITES),
        ("Executors", EXECUTORS),
    ):
        lines += [f"## {title}", "", "| name | what it is | source | file |", "|---|---|---|---|"]
        for entry in registry.entries():
            file = f"src/{entry.module.replace('.', '/')}.py"
            lines.append(f"| `{entry.name}` | {cell(entry.summary)} | {cell(entry.source)} | `{file}` |")
        lines.append("")
    return "\n".join(lines)


def python() -> str:
    """The public names, whose docstrings mkdocstrings sets."""
    import lowland

    names = [name for name in lowland.__all__ if not name.startswith("_")]
    lines = ["# Python", "", "`import lowland` gives these names, each imported when it is first asked for.", ""]
    for name in names:
        found = getattr(lowland, name)
        module = getattr(found, "__module__", None)
        if module is None or not str(module).startswith("lowland"):
            continue  # a package, such as lowland.measures
        lines += [f"## lowland.{name}", "", f"::: {module}.{found.__qualname__}", "    options:"]
        lines += ["      show_root_heading: false", ""]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Help text without the marks of rich."""
    return " ".join(text.replace("\\[", "[").split())


def code(value: Any) -> str:
    """A value as `--set` takes it, as code in a table."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text.replace('|', chr(0x2758))}`" if text else "empty"


def cell(text: str) -> str:
    """Text that stays in its cell of a table, and in which nothing is read as HTML."""
    return plain(text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _parameters(command: typer.core.TyperCommand) -> Iterator[str]:
    shown: list[Any] = [each for each in command.params if not getattr(each, "hidden", False)]
    yield "| argument or option | default | meaning |"
    yield "|---|---|---|"
    for each in shown:
        options = ", ".join(f"`{text}`" for text in [*each.opts, *each.secondary_opts])
        name = f"`{(each.metavar or each.name or '').upper()}`" if each.param_type_name == "argument" else options
        default = each.default
        told = "" if default in (None, False, (), []) or callable(default) else code(_shown(default))
        yield f"| {name} | {told} | {cell(getattr(each, 'help', None) or '')} |"


def _shown(default: Any) -> Any:
    return default if isinstance(default, str | int | float | bool) else str(default)


def _space(name: str | None) -> dict[str, str]:
    return {} if name is None else {"space": name}


def _declared(key: str) -> tuple[str, str]:
    """The file in which a setting is declared, and where its owner is described."""
    from lowland.app.described import OWNERS
    from lowland.core.config import Config

    for place, registries in OWNERS:
        if key.startswith(f"{place}."):
            name = key.removeprefix(f"{place}.").rpartition(".")[0]
            registry = next(each for each in registries if name in each.names())
            member = registry.load(name)
            source = f"Source: {cell(member.source)}." if member.source else ""
            return f"src/{member.__module__.replace('.', '/')}.py", source
    return f"src/{Config.__module__.replace('.', '/')}.py", "Presets: `src/lowland/workflow/preset_values.py`."


def _last(key: str, keys: list[str]) -> bool:
    place = keys.index(key)
    return place + 1 == len(keys) or keys[place + 1].rpartition(".")[0] != key.rpartition(".")[0]


PAGES: dict[str, Callable[[], str]] = {
    "cli": command_line,
    "settings": settings,
    "members": members,
    "python": python,
}
"""Name of every generated page, and what makes it."""
