"""The verb that shows every setting: what it means, its default, and what it is under a preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import completion, console
from lowland.app.options import Given, JsonOutput, layers, takes

if TYPE_CHECKING:
    from rich.text import Text

    from lowland.app.described import Described

Section = Annotated[
    str | None,
    typer.Argument(
        help="A section such as retrain or measure.options.flatness, or one setting.",
        autocompletion=completion.sections,
        show_default=False,
    ),
]


@takes("space", "measure", "strategy", "preset", "recipe", "plugins", "config", "settings")
def settings(given: Given, section: Section = None, json_output: JsonOutput = False) -> None:
    """Show every setting with its default, its value under a preset and space, and what it means."""
    from lowland.app.described import described
    from lowland.workflow.presets import assemble

    config = assemble(*layers(given))
    found = described(config, section)
    if json_output:
        rows = [{"key": e.key, "default": e.default, "value": e.value, "description": e.description} for e in found]
        console.print_json({"preset": config.preset, "space": config.space, "settings": rows})
    else:
        console.say(setting_lines(found, f"preset {config.preset}, space {config.space}", console.out.width))


def setting_lines(found: list[Described], where: str, width: int) -> list[str | Text]:
    """Every setting in two lines or more: key, value and, where another, the default; and below what it means."""
    from rich.text import Text

    from lowland.app.tables import wrapped

    lines: list[str | Text] = [
        *wrapped(f"Values under {where}, and defaults where they differ. Change one: --set KEY=VALUE", width)
    ]
    before = ""
    for each in found:
        section = each.key.rpartition(".")[0]
        if section != before:
            lines += ["", Text(section, style="bold")] if section else [""]
        before = section
        default = "" if each.value == each.default else f"  (default {shown(each.default)})"
        lines.append(Text.assemble((f"  {each.key}", "bold"), f" = {shown(each.value)}{default}"))
        lines += [f"      {line}" for line in wrapped(each.description, width - 6)]
    return lines


def shown(value: Any) -> str:
    """A value as `--set` takes it."""
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
