"""What presets say of searchers beside one-shot, which train another supernet: values laid over those of the space.

`paper` are published values: DARTS (arXiv 1806.09055, §3 and its code) for cells of its space, the code of
NAS-Bench-201 (arXiv 2001.00326) for cells of that one, and each method's own code where it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowland.core.settings import merge

Values = dict[str, Any]

# Only path sampling has these.
_NO_PATHS: Values = {"path": "shared", "paths_per_step": None, "ema": 0.0}
_WEIGHTS: Values = {"learning_rate": 0.025, "final_learning_rate": 1e-3, "batch_size": 64} | _NO_PATHS
_OF_201: Values = _WEIGHTS | {"nesterov": True, "weight_decay": 5e-4}
_OF_DARTS: Values = _WEIGHTS | {"nesterov": False, "weight_decay": 3e-4}
# Half of the images teach the weights, half the architecture.
_HALVES: Values = {"data": {"search_fraction": 0.5}}

RELAXED: Mapping[str, Mapping[str, Values]] = {
    "quick": {
        "nasbench201": {"supernet": _OF_201 | {"channels": 8, "cells": 1, "epochs": 30}} | _HALVES,
        "darts": {"supernet": _OF_DARTS | {"channels": 8, "cells": 3, "epochs": 10}} | _HALVES,
    },
    "standard": {
        "nasbench201": {"supernet": _OF_201 | {"channels": 16, "cells": 2, "epochs": 50}} | _HALVES,
        "darts": {"supernet": _OF_DARTS | {"channels": 16, "cells": 5, "epochs": 50}} | _HALVES,
    },
    "paper": {
        "nasbench201": {"supernet": _OF_201 | {"channels": 16, "cells": 5, "epochs": 50}} | _HALVES,
        "darts": {"supernet": _OF_DARTS | {"channels": 16, "cells": 8, "epochs": 50}} | _HALVES,
    },
}
"""Of every searcher by gradient, by preset and space."""


def _own(searcher: str, **settings: Any) -> Values:
    """A searcher's own settings as a section `search`."""
    return {"search": {"options": {searcher: settings}}}


_PC_PAPER: Values = {"batch_size": 256, "learning_rate": 0.1, "final_learning_rate": 0.0}
_DROPNAS: Values = {
    "epochs": 76,
    "batch_size": 96,
    "learning_rate": 0.0375,
    "final_learning_rate": 0.0015,
    "clip": 3.0,
}
_STAGE: Values = {"epochs": 25, "batch_size": 96, "final_learning_rate": 0.0}
_FEWER = [5, 3, 2]  # operations of NAS-Bench-201 in each stage of P-DARTS, which it has 5 of

OWN: Mapping[str, Mapping[tuple[str, str], Values]] = {
    "darts": {},
    "darts-pt": {
        # A round of the DARTS space judges 14 supernets.
        ("quick", "nasbench201"): {"supernet": {"epochs": 20}} | _own("darts-pt", tune_epochs=2),
        ("quick", "darts"): {"supernet": {"epochs": 6}} | _own("darts-pt", tune_epochs=1, images=250),
        ("paper", "nasbench201"): {"supernet": {"epochs": 100}},
    },
    "sdarts-rs": {},
    "sdarts-adv": {
        # Nine passes of the training batch in each step.
        ("quick", "nasbench201"): {"supernet": {"epochs": 15}},
        ("quick", "darts"): {"supernet": {"epochs": 4}},
    },
    "dsrna": {
        # A step in α differentiates twice.
        ("quick", "nasbench201"): {"supernet": {"epochs": 15}},
        ("quick", "darts"): {"supernet": {"epochs": 5}},
    },
    "a2m": {(preset, "darts"): _own("a2m", flat_rho=0.1) for preset in ("quick", "standard", "paper")},
    "pc-darts": {
        ("quick", "nasbench201"): _own("pc-darts", warmup_epochs=5),
        ("quick", "darts"): _own("pc-darts", warmup_epochs=3),
        ("paper", "nasbench201"): {"supernet": _PC_PAPER} | _own("pc-darts", batch_size=256),
        ("paper", "darts"): {"supernet": _PC_PAPER} | _own("pc-darts", batch_size=256),
    },
    "shapley": {
        ("quick", "nasbench201"): {"supernet": {"epochs": 15}}
        | _own("shapley", warmup_epochs=8, permutations=3, batch_size=256),
        ("quick", "darts"): _own("shapley", warmup_epochs=8, permutations=1, batch_size=64),
        ("paper", "nasbench201"): {"supernet": _PC_PAPER},
        ("paper", "darts"): {"supernet": _PC_PAPER},
    },
    "fairdarts": {
        # A sigmoid takes some 600 steps to .85 at the published rate.
        ("quick", "nasbench201"): _own("fairdarts", learning_rate=1e-2, batch_size=64),
        ("paper", "nasbench201"): {"supernet": {"batch_size": 128, "learning_rate": 0.005}},
    },
    "dropnas": {
        ("quick", "nasbench201"): {"supernet": {"epochs": 20}},
        ("quick", "darts"): {"supernet": {"epochs": 6}},
        ("paper", "nasbench201"): {"supernet": _DROPNAS},
        ("paper", "darts"): {"supernet": _DROPNAS | {"cells": 14}},
    },
    "p-darts": {
        ("quick", "nasbench201"): {"supernet": {"epochs": 8}}
        | _own("p-darts", operations=_FEWER, added_cells=[0, 0, 1], warmup_epochs=3),
        ("quick", "darts"): {"supernet": {"epochs": 4}} | _own("p-darts", added_cells=[0, 1, 2], warmup_epochs=2),
        ("standard", "nasbench201"): {"supernet": {"epochs": 25, "cells": 1}}
        | _own("p-darts", operations=_FEWER, added_cells=[0, 1, 2]),
        ("standard", "darts"): {"supernet": {"epochs": 25}} | _own("p-darts", added_cells=[0, 3, 6]),
        ("paper", "nasbench201"): {"supernet": _STAGE | {"cells": 1}}
        | _own("p-darts", operations=_FEWER, added_cells=[0, 2, 4]),
        ("paper", "darts"): {"supernet": _STAGE | {"cells": 5}},
    },
}
"""Searchers by gradient, and what is said of them besides, by preset and space."""


def of_searcher(searcher: str, preset: str, space: str) -> Values:
    """What a preset says of a searcher in a space, over what it says of the space; empty where it says nothing."""
    if searcher not in OWN:
        return {}
    return merge(RELAXED.get(preset, {}).get(space, {}), OWN[searcher].get((preset, space), {}))
