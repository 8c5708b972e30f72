"""What presets and recipes are made of: values per search space, with the paper or the measurement they come from."""

from __future__ import annotations

from functools import reduce
from typing import Any

from lowland.core.settings import merge

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

# Early in a training accuracy under noise on the weights tells how networks will end, later their loss (docs/log.md).
_PROMOTE = "loss+perturbed_accuracy(noise_images=500)"

_TRAINED: Values = {"hand_written": True, "promote": _PROMOTE, "halving": 2}

_LONG_EVOLUTION: Values = _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25)

# Mixtures put light on what is dark and take the edge off contrast, which corruptions do as well; the last steps, on
# images as they are, win back what mixing costs clean ones (docs/log.md, 2026-11-27).
_MIXED: Values = {"mixup": 0.2, "mixed_share": 0.7}

# In as many steps, which take as long, 1 to 4 points more than SGD on small data; 20 epochs of it learn what 30 do
# (docs/log.md, 2026-11-28). Elastic spaces may begin with learned weights, for which it was not measured.
_ORTHOGONAL: Values = {"optimizer": "muon"}

# Every run says whether its search was worth it, beside a network written by hand.
_COMPARED: Values = {"suites": ["classification", "corruptions", "landscape", "references"]}

# The epochs of small data are few steps: 184 pictures got 30, of which a network learnt little. Networks of
# NAS-Bench-201 want more: of 2,000 images they learn 5 points more in 1,200 steps (docs/log.md, 2026-11-28).
_FEW_IMAGES: Values = {"min_steps": 600}

QUICK: dict[str, Values] = {
    "nasbench201": {
        "supernet": {"epochs": 14} | _SMALL_SUPERNET | _FEW_IMAGES,
        "measure": _RANKED_MEASURE,
        "search": {"finalists": 6} | _TRAINED | _evolution(generations=3),
        "network": {"channels": "fit", "fill": True, "norm": "ibn-quarter"},
        "retrain": {"epochs": 20, "min_steps": 1200} | _ORTHOGONAL | _MIXED,
        "evaluate": _COMPARED,
    },
    "darts": {
        "supernet": {"channels": 8, "cells": 3, "epochs": 8} | _SMALL_SUPERNET | _FEW_IMAGES,
        "measure": {"images": 250, "calibration_images": 256, "options": _SMALL_DARTS},
        "search": {"finalists": 6} | _TRAINED | _evolution(generations=3),
        "network": {"channels": 8, "fill": True, "cells": 3},
        "retrain": {"epochs": 12} | _ORTHOGONAL | _FEW_IMAGES,
        "evaluate": _FEW_CURVES | _COMPARED,
    },
    "mobilenetv3": {
        "supernet": {"epochs": 8} | _ELASTIC_SUPERNET | _FEW_IMAGES,
        "measure": {"images": 250, "calibration_images": 256} | _ELASTIC_MEASURE,
        "search": {"finalists": 6} | _TRAINED | _evolution(generations=3),
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 12, "weight_decay": 5e-5} | _FEW_IMAGES,
        "evaluate": _FEW_CURVES | _COMPARED,
    },
    "mobilenetv3-small": {
        "supernet": {"epochs": 16} | _ELASTIC_SUPERNET | _FEW_IMAGES,
        "measure": _ELASTIC_MEASURE,
        "search": {"finalists": 6} | _TRAINED,
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 20, "weight_decay": 5e-5} | _FEW_IMAGES,
        "evaluate": _COMPARED,
    },
}

STANDARD: dict[str, Values] = {
    "nasbench201": {
        "supernet": {"cells": 2, "epochs": 60} | _SMALL_SUPERNET,
        "measure": _RANKED_MEASURE,
        "search": {"finalists": 9} | _TRAINED | _LONG_EVOLUTION,
        "network": {"fill": True, "cells": 5, "norm": "ibn-quarter"},
        "retrain": {"epochs": 100, "cutout": 0},
        "evaluate": _COMPARED,
    },
    "darts": {
        "supernet": {"channels": 16, "cells": 5, "epochs": 60} | _SMALL_SUPERNET,
        "measure": {"options": _SMALL_DARTS},
        "search": {"finalists": 9} | _TRAINED | _LONG_EVOLUTION,
        "network": {"channels": 16, "fill": True, "cells": 8},
        "retrain": {"epochs": 100, "learning_rate": 0.05, "weight_decay": 3e-4},
        "evaluate": _COMPARED,
    },
    "mobilenetv3": {
        "supernet": {"epochs": 120} | _ELASTIC_SUPERNET,
        "measure": _ELASTIC_MEASURE,
        "search": {"finalists": 9} | _TRAINED | _LONG_EVOLUTION,
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 100, "weight_decay": 5e-5},
        "evaluate": _COMPARED,
    },
    "mobilenetv3-small": {
        "supernet": {"epochs": 60} | _ELASTIC_SUPERNET,
        "measure": _ELASTIC_MEASURE,
        "search": {"finalists": 9} | _TRAINED | _LONG_EVOLUTION,
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 100, "weight_decay": 5e-5},
        "evaluate": _COMPARED,
    },
}

_PUBLISHED_SAM: Values = {
    "optimizer": "sgd+asam",
    "sam_rho": 2.0,
    "learning_rate": 0.1,
    "batch_size": 128,
    "label_smoothing": 0.1,
}
_INNER: Values = {"crossover": "two-point", "mutation": "polynomial", "inner_population": 40, "inner_generations": 20}

PAPER: dict[str, Values] = {
    # RLNAS on NAS-Bench-201: population 100, top 30, 50 + 50; a path per cell; gradients are not clipped.
    "nasbench201": {
        "supernet": {
            "cells": 5,
            "epochs": 250,
            "learning_rate": 0.025,
            "final_learning_rate": 1e-3,
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip": 0.0,
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
    # FlatNAS (arXiv 2402.19102): 100 random networks and 30 times 8 more, each fine-tuned for 6 epochs with adaptive
    # SAM at ρ = 2; R of 20 draws at σ = .05; at most 5 M parameters; the inner search of MSuNAS (arXiv 2007.10396).
    # The supernet was Once-for-All's (`supernet.pretrained`); how one is trained here is this project's own.
    "mobilenetv3": {
        "supernet": {"epochs": 120} | _ELASTIC_SUPERNET,
        "measure": {"name": "robustness", "combine": "sum", "options": {"robustness": {"sigma": 0.05, "draws": 20}}},
        "finetune": {"epochs": 6, "weight_decay": 5e-4} | _PUBLISHED_SAM,
        "search": {
            "strategy": "pareto",
            "sampling": "genes",
            "max_params": 5_000_000,
            "options": {
                "pareto": {
                    "objectives": ["flatnas(alpha=0.5)", "params"],
                    "initial": 100,
                    "iterations": 30,
                    "proposals": 8,
                }
                | _INNER
            },
        },
        "network": _ELASTIC_NETWORK,
        "retrain": {"epochs": 6, "weight_decay": 5e-4, "warmup_epochs": 0.0, "nesterov": False, "inherit": True}
        | _PUBLISHED_SAM,
    },
}

# GeNAS on ImageNet (§5.3 and its appendix; RLNAS' template of the supernet): widths are fitted to 600 M MACs.
IMAGENET: dict[str, Values] = {
    "darts": {
        "measure": {"options": {"flatness": _DARTS_FLATNESS}},
        "supernet": {
            "channels": 48,
            "cells": 14,
            "stem": "imagenet",
            "epochs": 50,
            "batch_size": 512,
            "schedule": "linear",
            "label_smoothing": 0.1,
        },
        "search": _evolution(population=50, generations=20, parents=10, mutations=25, crossovers=25)
        | {"max_macs": 600_000_000},
        "network": {"channels": "fit", "cells": 14, "stem": "imagenet"},
        "retrain": {"recipe": "imagenet"},
    },
}

# The public code draws genes of DARTS anew one by one and repairs the cell; genes of NAS-Bench-201 need no repair.
_VARIED: dict[str, Values] = {
    "nasbench201": {"evolution": {"mutated_genes": "all"}, "pareto": {"mutated_genes": "all"}},
    "darts": {
        "evolution": {"mutated_genes": "first-half", "variation": "repair"},
        "pareto": {"mutated_genes": "first-half"},
    },
}

# What the public GeNAS code does, fault by fault: its noise and batch norm, its angle, its optimiser, its mutation.
# And of FlatNAS' code the fine-tuning of its newest commit.
_FINETUNED: Values = {"finetune": {"weight_decay": 5e-5, "label_smoothing": 0.0}}
COMPAT: dict[str, Values] = {"mobilenetv3": _FINETUNED, "mobilenetv3-small": _FINETUNED} | {
    space: {
        "supernet": {"zero_grad": "zeros"},
        "measure": {
            "calibration": "ema-14-augmented",
            "calibration_images": 896,
            "noise": "independent",
            "options": {"flatness": {"levels": "incremental"}, "angle": {"bn_scale": "twice"}},
        },
        "search": {"options": _VARIED[space]},
    }
    for space in ("nasbench201", "darts")
}

# FlatNAS (arXiv 2402.19102): candidates are fine-tuned with adaptive SAM; error, robustness and size are traded off.
# The published ρ = 2 belongs to weights from long training; what is trained for minutes underfits with it.
_FLATNAS: Values = {
    "finetune": {"epochs": 1, "optimizer": "sgd+asam", "sam_rho": 0.5},
    "search": {"strategy": "pareto", "options": {"pareto": {"objectives": ["flatnas(alpha=0.5)", "params"]}}},
    "network": {"norm": "batch"},
    "retrain": {"optimizer": "sgd+asam", "sam_rho": 0.5, "inherit": True, "mixup": 0.0, "mixed_share": 1.0},
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

# Genes are drawn as by the public sampler, which makes 66 % of random networks at most 5 M, uniformly drawn ones 6 %.
_FLATNAS_ELASTIC: Values = {
    "search": {"sampling": "genes", "options": {"pareto": {"crossover": "two-point", "mutation": "polynomial"}}},
}

FLATNAS: dict[str, Values] = {
    space: reduce(
        merge, (_FLATNAS, _FLATNAS_SMALL, _FLATNAS_ELASTIC if space.startswith("mobilenetv3") else {}), QUICK[space]
    )
    for space in QUICK
}

PRESETS = {
    "quick": QUICK,
    "standard": STANDARD,
    "paper": PAPER,
    "imagenet": IMAGENET,
    "compat": COMPAT,
    "flatnas": FLATNAS,
}

KIN = {"darts-open": "darts"}
"""Spaces of which presets say what they say of another: relaxations of it."""

DEFAULT_SPACE = {"flatnas": "mobilenetv3-small"}
"""The space of a preset where none is named; for all other presets that of `Config`."""

_UNMIXED: Values = {"optimizer": "sgd", "mixup": 0.0, "mixed_share": 1.0, "min_steps": 0}

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
    }
    | _UNMIXED,
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
    }
    | _UNMIXED,
    # NAS-Bench-201: 200 epochs, batch 256, Nesterov 0.9, lr 0.1, weight decay 5e-4.
    "nasbench201": {
        "epochs": 200,
        "batch_size": 256,
        "learning_rate": 0.1,
        "final_learning_rate": 0.0,
        "warmup_epochs": 0.0,
        "label_smoothing": 0.0,
        "clip": 0.0,
    }
    | _UNMIXED,
}
