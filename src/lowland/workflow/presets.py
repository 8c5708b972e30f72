"""Presets: named settings per search space. They only fill in values; nothing anywhere asks which preset is on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import reduce
from typing import Any

from lowland.core.config import Config, SearchConfig, build
from lowland.core.errors import ConfigError
from lowland.core.options import completed
from lowland.core.registry import MEASURES, SEARCHERS, STRATEGIES, SUITES
from lowland.core.settings import flat, merge
from lowland.measures import expression
from lowland.search.strategies.strategy import chosen
from lowland.workflow.searcher_presets import of_searcher

Values = dict[str, Any]

# GeNAS (arXiv 2305.08611): σ of NAS-Bench-201 from Table 5, of DARTS from the README of its code; evolution as in its
# code, on NAS-Bench-201 as in that of RLNAS (arXiv 2101.11834).
_DARTS_FLATNESS: Values = {"sigmas": [1e-3, 3e-3, 6e-3]}

# Small supernets learn to rank sooner at a higher learning rate, in more steps and with a path per cell; and by the
# turn of their searched weights more than by flatness, which so enters a sum with less weight than on the published
# supernets. By far the best there, without a label of any truth, is the order by ranks under measures of unlike kinds
# (docs/log.md, 2026-11-22).
_SMALL_SUPERNET: Values = {
    "batch_size": 32,
    "learning_rate": 0.1,
    "nesterov": True,
    "weight_decay": 5e-4,
    "path": "per-cell",
}
_SMALL_DARTS: Values = {"flatness": {**_DARTS_FLATNESS, "gamma": 0.1}, "angle": {"vector": "cells"}}
_RANKED_MEASURE: Values = {
    "name": "flatness+angle+macs+naswot+synflow+meco+expressivity",
    "combine": "log-rank",
    # One draw of the noise orders candidates by chance as much as by flatness; images matter less (docs/log.md).
    "draws": 8,
    "noise_images": 125,
    "options": {"flatness": {"sigmas": [2e-2, 4e-2], "gamma": 0.1}, "angle": {"vector": "cells"}},
}

# Elastic spaces: the largest, the smallest and two random networks in every step (BigNAS). The angle does not serve
# them well: most of it is the turn of weights that all candidates share.
_ELASTIC_SUPERNET: Values = {
    "channels": 16,
    "cells": 1,
    "path": "sandwich",
    "learning_rate": 0.1,
    "nesterov": True,
    "weight_decay": 5e-5,
}
_ELASTIC_NETWORK: Values = {"channels": 16, "cells": 1}
_ELASTIC_MEASURE: Values = {"name": "flatness"}


def _evolution(**settings: int) -> Values:
    """Settings of evolution as a section `search`."""
    return {"options": {"evolution": settings}}


_FEW_CURVES: Values = {"options": {"landscape": {"random_genotypes": 4, "images": 250}}}

QUICK: dict[str, Values] = {
    "nasbench201": {
        "supernet": {"epochs": 28} | _SMALL_SUPERNET,
        "measure": _RANKED_MEASURE,
        "retrain": {"epochs": 15},
    },
    "darts": {
        "supernet": {"channels": 8, "cells": 3, "epochs": 8} | _SMALL_SUPERNET,
        "measure": {"images": 250, "calibration_images": 256, "options": _SMALL_DARTS},
        "search": _evolution(generations=3),
        "network": {"channels": 8, "cells": 3},
        "retrain": {"epochs": 12},
        "evaluate": _FEW_CURVES,
    },
    "mobilenetv3": {
        "supernet": {"epochs": 8} | _ELASTIC_SUPERNET,
        "measure": {"images": 250, "calibration_images": 256} | _ELASTIC_MEASURE,
        "search": _evolution(generations=3),
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 12, "weight_decay": 5e-5},
        "evaluate": _FEW_CURVES,
    },
    "mobilenetv3-small": {
        "supernet": {"epochs": 16} | _ELASTIC_SUPERNET,
        "measure": _ELASTIC_MEASURE,
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 20, "weight_decay": 5e-5},
    },
}

STANDARD: dict[str, Values] = {
    "nasbench201": {
        "supernet": {"cells": 2, "epochs": 60} | _SMALL_SUPERNET,
        "measure": _RANKED_MEASURE,
        "search": _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25),
        "network": {"cells": 5},
        "retrain": {"epochs": 100, "cutout": 0},
    },
    "darts": {
        "supernet": {"channels": 16, "cells": 5, "epochs": 60} | _SMALL_SUPERNET,
        "measure": {"options": _SMALL_DARTS},
        "search": _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25),
        "network": {"channels": 16, "cells": 8},
        "retrain": {"epochs": 100, "learning_rate": 0.05, "weight_decay": 3e-4},
    },
    "mobilenetv3": {
        "supernet": {"epochs": 120} | _ELASTIC_SUPERNET,
        "measure": _ELASTIC_MEASURE,
        "search": _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25),
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 100, "weight_decay": 5e-5},
    },
    "mobilenetv3-small": {
        "supernet": {"epochs": 60} | _ELASTIC_SUPERNET,
        "measure": _ELASTIC_MEASURE,
        "search": _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25),
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 100, "weight_decay": 5e-5},
    },
}

PAPER: dict[str, Values] = {
    # RLNAS on NAS-Bench-201: population 100, top 30, 50 + 50; a path per cell.
    "nasbench201": {
        "supernet": {
            "cells": 5,
            "epochs": 250,
            "learning_rate": 0.025,
            "final_learning_rate": 1e-3,
            "nesterov": True,
            "weight_decay": 5e-4,
            "path": "per-cell",
        },
        "data": {"search_fraction": 0.5},
        "search": _evolution(population=100, generations=20, parents=30, mutations=50, crossovers=50),
        "network": {"cells": 5},
        "retrain": {"recipe": "nasbench201"},
    },
    "darts": {
        "measure": {"options": {"flatness": _DARTS_FLATNESS}},
        "supernet": {
            "cells": 8,
            "epochs": 250,
            "learning_rate": 0.025,
            "final_learning_rate": 1e-3,
            "weight_decay": 3e-4,
        },
        "data": {"search_fraction": 0.5},
        "search": _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25),
        "network": {"channels": 36, "cells": 20},
        "retrain": {"recipe": "cifar"},
    },
}

_MUTATED: dict[str, Values] = {"nasbench201": {"mutated_genes": "all"}, "darts": {"mutated_genes": "first-half"}}

# What the public GeNAS code does, fault by fault: its noise and batch norm, its angle, its optimiser, its mutation.
COMPAT: dict[str, Values] = {
    space: {
        "supernet": {"zero_grad": "zeros"},
        "measure": {
            "calibration": "ema-14",
            "noise": "independent",
            "options": {"flatness": {"levels": "incremental"}, "angle": {"bn_scale": "twice"}},
        },
        "search": {"options": dict.fromkeys(("evolution", "pareto"), _MUTATED[space])},
    }
    for space in ("nasbench201", "darts")
}

# FlatNAS (arXiv 2402.19102): candidates are fine-tuned with adaptive SAM; error, robustness and size are traded off.
# The published ρ = 2 belongs to weights from long training; what is trained for minutes underfits with it.
_FLATNAS: Values = {
    "finetune": {"epochs": 1, "optimizer": "sgd+asam", "sam_rho": 0.5},
    "search": {"strategy": "pareto", "options": {"pareto": {"objectives": ["flatnas(alpha=0.5)", "params"]}}},
    "retrain": {"optimizer": "sgd+asam", "sam_rho": 0.5, "inherit": True},
}
# Between candidates fine-tuned for an epoch R at the published σ = 0.05 repeats no better than chance (docs/log.md).
_FLATNAS_SMALL: Values = {
    "search": {"options": {"pareto": {"initial": 20, "iterations": 5, "proposals": 4}}},
    "measure": {
        "name": "robustness",
        "combine": "sum",
        "images": 500,
        "options": {"robustness": {"sigma": 0.2, "draws": 10}},
    },
}

FLATNAS: dict[str, Values] = {space: reduce(merge, (_FLATNAS, _FLATNAS_SMALL), QUICK[space]) for space in QUICK}

PRESETS = {"quick": QUICK, "standard": STANDARD, "paper": PAPER, "compat": COMPAT, "flatnas": FLATNAS}

DEFAULT_SPACE = {"flatnas": "mobilenetv3-small"}
"""The space of a preset where none is named; for all other presets that of `Config`."""

RECIPES: dict[str, Values] = {
    "quick": {},
    # DARTS' CIFAR recipe: 600 epochs, batch 96, cutout 16, auxiliary head 0.4, drop-path 0.2.
    "cifar": {
        "epochs": 600,
        "batch_size": 96,
        "learning_rate": 0.025,
        "final_learning_rate": 0.0,
        "warmup_epochs": 0.0,
        "nesterov": False,
        "weight_decay": 3e-4,
        "label_smoothing": 0.0,
        "cutout": 16,
        "drop_path": 0.2,
        "auxiliary_weight": 0.4,
    },
    # GeNAS §7.
    "imagenet": {
        "epochs": 250,
        "batch_size": 1024,
        "learning_rate": 0.5,
        "final_learning_rate": 0.0,
        "schedule": "linear",
        "warmup_epochs": 5.0,
        "nesterov": False,
        "weight_decay": 3e-5,
        "label_smoothing": 0.1,
        "auxiliary_weight": 0.4,
        "drop_path": 0.0,
    },
    # NAS-Bench-201: 200 epochs, batch 256, Nesterov 0.9, lr 0.1, weight decay 5e-4.
    "nasbench201": {
        "epochs": 200,
        "batch_size": 256,
        "learning_rate": 0.1,
        "final_learning_rate": 0.0,
        "warmup_epochs": 0.0,
        "label_smoothing": 0.0,
        "clip": 0.0,
    },
}


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
        base = merge(base, _named(preset, PRESETS, "preset").get(named.space, {}))
        if isinstance(searcher, str):
            base = merge(base, of_searcher(searcher, preset, named.space))
    retrain = merge(base, values).get("retrain")
    chosen = recipe(retrain.get("recipe", "quick") if isinstance(retrain, dict) else "quick")
    base = merge({"retrain": chosen}, base)
    if isinstance(values.get("retrain"), dict) and "recipe" in values["retrain"]:
        base = merge(base, {"retrain": chosen})
    return complete(build(merge(base, values)))


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
    named: Values = {"preset": config.preset, "space": config.space, "retrain": {"recipe": config.retrain.recipe}}
    known = {*config.preset.split("+")} <= {*PRESETS} and config.retrain.recipe in RECIPES
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
