"""Presets: named settings per search space. They only fill in values; nothing anywhere asks which preset is on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import reduce
from typing import Any

from lowland.core.config import Config, SearchConfig, build
from lowland.core.errors import ConfigError
from lowland.core.options import completed
from lowland.core.registry import MEASURES, SEARCHERS, SPACES, STRATEGIES, SUITES
from lowland.core.settings import flat, merge
from lowland.measures import expression
from lowland.search.strategies.strategy import chosen
from lowland.workflow.preset_values import DEFAULT_SPACE, KIN, PRESETS, RECIPES, Values
from lowland.workflow.searcher_presets import of_searcher


def assemble(*layers: Values) -> Config:
    """Build settings from layers, later ones over earlier ones, all over what preset and recipe say.

    The preset may be a sum such as `paper+compat`.

    Returns:
        The checked settings.

    Raises:
        ConfigError: naming the first key or value at fault.
    """
    values: Values = reduce(merge, layers, {})
    # Space and preset decide the base, so their types are checked first.
    named = build({key: values[key] for key in ("space", "preset") if key in values})
    base: Values = {}
    if "space" not in values and named.preset in DEFAULT_SPACE:
        base = {"space": DEFAULT_SPACE[named.preset]}
        named = build({"preset": named.preset} | base)
    search = values.get("search")
    searcher = search.get("searcher") if isinstance(search, dict) else None
    for preset in named.preset.split("+"):
        found = _of_space(_named(preset, PRESETS, "preset"), preset, named.space)
        base = merge(base, _kept_sharpness_aware(base, found))
        if isinstance(searcher, str):
            base = merge(base, of_searcher(searcher, preset, KIN.get(named.space, named.space)))
    retrain = merge(base, values).get("retrain")
    chosen = recipe(retrain.get("recipe", "quick") if isinstance(retrain, dict) else "quick")
    base = merge({"retrain": chosen}, merge(base, _kept_sharpness_aware(base, {"retrain": _optimizer(chosen)})))
    if isinstance(values.get("retrain"), dict) and "recipe" in values["retrain"]:
        base = merge(base, {"retrain": chosen})
    base = _giving_way(base, values)
    return complete(build(merge(base, values)))


def _optimizer(recipe: Values) -> Values:
    """A recipe's optimiser, which goes with its rates, so that it wins over a preset's."""
    return {name: value for name, value in recipe.items() if name == "optimizer"}


def _kept_sharpness_aware(base: Values, found: Values) -> Values:
    """What a preset of a sum says, but for a plain optimiser where one before it is sharpness-aware (FlatNAS)."""
    before, now = base.get("retrain", {}).get("optimizer", ""), found.get("retrain", {}).get("optimizer")
    return merge(found, {"retrain": {"optimizer": before}}) if now is not None and "+" in before else found


def _giving_way(base: Values, values: Values) -> Values:
    """A preset's values, without those that make no sense beside what a person asks for.

    - What a supernet begins with that learned elsewhere, the delivered network begins with, too.
    - A trade-off of several objectives has no finalists, which one figure orders; nor has a searcher but one-shot,
      whose own choice is asked for.
    - Networks that inherit weights have the supernet's size, and no references are trained beside them.
    - Epochs that a person sets are as many as that.
    - A limit is a target: networks are as wide as it allows, unless their width is set.

    Returns:
        The preset's values.
    """
    asked = {name: value if isinstance(value, dict) else {} for name, value in values.items()}
    if asked.get("supernet", {}).get("pretrained") is not None and "inherit" not in asked.get("retrain", {}):
        base = merge(base, {"retrain": {"inherit": True}})
    config = build(merge(base, values))
    changes: Values = {}
    alone = config.search.searcher != "one-shot" or bool(chosen(config.search).objectives) or config.retrain.inherit
    if alone and "finalists" not in asked.get("search", {}):
        changes = {"search": {"finalists": 0}}
    if config.retrain.inherit and "suites" not in asked.get("evaluate", {}):
        suites = [name for name in config.evaluate.suites if name != "references"]
        changes = merge(changes, {"evaluate": {"suites": suites}})
    for part in ("supernet", "retrain"):
        if "epochs" in asked.get(part, {}) and "min_steps" not in asked[part]:
            changes = merge(changes, {part: {"min_steps": 0}})
    if "channels" not in asked.get("network", {}):
        limited = config.search.max_params is not None or config.search.max_macs is not None
        if config.retrain.inherit:
            changes = merge(changes, {"network": {"channels": config.supernet.channels}})
        elif limited and not config.preset.startswith("paper"):
            changes = merge(changes, {"network": {"channels": "fit"}})
    return merge(base, changes)


def _of_space(table: dict[str, Values], preset: str, space: str) -> Values:
    """Look up what a preset says of a space: published or measured values. A space of one's own has `quick` alone.

    Returns:
        The values.

    Raises:
        ConfigError: it says nothing; names the presets that do.
    """
    kin = KIN.get(space, space)
    if kin in table:
        return table[kin]
    if space not in SPACES.names():
        return {}  # refused where the space is looked up, with all there are
    if preset == "quick":
        return {}  # the defaults of the settings, which are made for small images and a few minutes
    known = [name for name in PRESETS if kin in PRESETS[name]]
    others = f"take {', '.join(known)}" if known else "take quick, and set what should be otherwise"
    raise ConfigError(f"preset {preset} has no values for space {space}: none are published or measured; {others}")


def complete(config: Config, also: Iterable[str] = ()) -> Config:
    """Complete the settings, so that a run does not depend on later defaults.

    Args:
        config: The settings.
        also: Further measures whose settings are to be there.

    Returns:
        The settings with all own settings of what they name.

    Raises:
        ConfigError: settings of a measure, strategy, searcher or suite that does not exist, or wrong ones.
    """
    search = _complete_search(config.search)
    texts = [config.measure.name, *chosen(search).objectives]
    if search.shortlist:
        texts.append(search.shortlist_measure)
    if search.finalists:
        texts.append(search.promote)
    aliases = {"error": "accuracy"}
    named = {aliases.get(name, name) for text in texts for name in expression.names(text)}
    # What does not exist is refused where the measure is made, with all that is wrong about it.
    asked = named & set(MEASURES.names())
    asked |= {*also} | {used for name in asked for used in MEASURES.load(name).uses}
    options = completed(MEASURES, asked, config.measure.options, "measure.options")
    measure = config.measure.model_copy(update={"options": options})
    judged = completed(SUITES, config.evaluate.suites, config.evaluate.options, "evaluate.options")
    evaluate = config.evaluate.model_copy(update={"options": judged})
    return config.model_copy(update={"measure": measure, "search": search, "evaluate": evaluate})


def _complete_search(search: SearchConfig) -> SearchConfig:
    # Searchers and strategies share `search.options`: what is no searcher's is a strategy's.
    searchers = SEARCHERS.names()
    if search.strategy in searchers:
        raise ConfigError(
            f"search.strategy={search.strategy} has the name of a searcher, so that search.options.{search.strategy} "
            "could be of either; register one of the two under another name"
        )
    mine = {name: own for name, own in search.options.items() if name in searchers}
    others = {name: own for name, own in search.options.items() if name not in searchers}
    options = {
        **completed(SEARCHERS, [search.searcher], mine, "search.options"),
        **completed(STRATEGIES, [search.strategy], others, "search.options"),
    }
    return search.model_copy(update={"options": options})


def differences(config: Config) -> dict[str, Any]:
    """Look for settings that are not what their preset and recipe say.

    Returns:
        Them by dotted key. Where preset or recipe are not known here, as in a run of another version, those that are no
        defaults.
    """
    named: Values = {
        "preset": config.preset,
        "space": config.space,
        "retrain": {"recipe": config.retrain.recipe},
        "search": {"searcher": config.search.searcher},
    }
    presets = config.preset.split("+")
    known = {*presets} <= {*PRESETS} and config.retrain.recipe in RECIPES
    kin = KIN.get(config.space, config.space)
    known = known and all(preset == "quick" or kin in PRESETS[preset] for preset in presets)
    usual = flat((assemble(named) if known else Config()).model_dump(mode="json"))
    own = flat(config.model_dump(mode="json", exclude={"preset", "space"}))
    return {key: value for key, value in own.items() if key not in usual or usual[key] != value}


def recipe(name: Any) -> Values:
    """Look up a recipe.

    Returns:
        The retraining settings that it stands for.

    Raises:
        ConfigError: naming the recipes there are.
    """
    values: Values = _named(name, RECIPES, "retrain.recipe")
    return values


def _named(name: Any, table: dict[str, Any], what: str) -> Any:
    if not isinstance(name, str) or name not in table:
        near = difflib.get_close_matches(str(name), table, n=1)
        raise ConfigError(
            f"unknown {what} {name!r}; choose from {', '.join(table)}" + (f" (did you mean {near[0]}?)" if near else "")
        )
    return table[name]
