"""Of networks that are trained to the end, does flatness tell which is better, clean and under corruption?

Cells that a search shortlisted and two written by hand (as `rung_study.py --shortlisted`), at one budget of parameters
with the default's norm and recipe, learn from the training split alone. When they are done, loss and accuracy under
noise on their weights are taken on 500 images of the training split, which they have learnt from, and on 500 of the
search split, which they have not; they are judged on the search split, clean and under the fifteen standard
corruptions. Test images take no part. A stopped study goes on.

    OMP_NUM_THREADS=1 python benchmarks/end_study.py --data embedded --seeds 0 1
    python benchmarks/end_study.py --report
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common import RESULTS, interval, measured, read
from growth_study import RECIPE, learned
from lowland.core.config import ComputeConfig, DataConfig, RetrainConfig
from lowland.core.device import Compute, resolve
from lowland.core.settings import section
from lowland.data import DataSet, MemorySplit, load
from lowland.evaluation.classification import predict
from lowland.measures.calibration import by_batch
from lowland.measures.per_image import ImageResults, evaluate, loss_under_noise
from recipe_study import corrupted_splits
from rung_report import ENDS, shown_interval
from rung_study import EPOCHS, accuracy, place, placed, shortlisted

RESULT = RESULTS / "end_study.json"
PARAMETERS = 100_000
NORM = "ibn-quarter"
SETTINGS: dict[str, Any] = RECIPE | {"optimizer": "muon", "epochs": 20}
IMAGES = 500

ABSOLUTE = (0.001, 0.002, 0.005, 0.01, 0.02)
"""σ of noise on every weight (GeNAS), 4 draws each."""

RELATIVE = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""σ as a share of every weight (FlatNAS), 8 draws each."""

BY_BATCH = (0.2, 0.4, 0.5)
"""The same with batch norms that take the statistics of the batch, as rungs have it."""

SEED_OF_HALVES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=tuple(EPOCHS), default=["embedded"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--report", action="store_true", help="print correlations and measure nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        torch.set_num_threads(1)
        compute = resolve(ComputeConfig(threads=1))
        heading = {"benchmark": "end_study", "parameters": PARAMETERS, "norm": NORM, "recipe": SETTINGS}
        for source in arguments.data:
            for seed in arguments.seeds:
                data = load(DataConfig(name=place(source)), seed=seed)
                corrupted = corrupted_splits(data)
                for name, text, cells in shortlisted():
                    measure = partial(one, text, cells, data, corrupted, compute, seed)
                    measured(RESULT, f"{source}/{seed}/{name}", heading, measure, compute)
    report()


def one(
    text: str, cells: int, data: DataSet, corrupted: dict[str, list[MemorySplit]], compute: Compute, seed: int
) -> dict[str, Any]:
    """Train one network to the end; its figures under noise there, and how good it is."""
    recipe = section(RetrainConfig, SETTINGS)
    model, *_ = learned(text, PARAMETERS, data, recipe, compute, seed, fill=True, cells=cells, norm=NORM)
    order = torch.randperm(len(data.search), generator=torch.Generator().manual_seed(SEED_OF_HALVES))
    first, second = order.tensor_split(2)
    logits_NK, labels_N = predict(model, data.search, data.normalise, compute, 250)
    right_N = (logits_NK.argmax(1) == labels_N).double()
    each = {name: float(np.mean([accuracy(model, x, data, compute) for x in x_S])) for name, x_S in corrupted.items()}
    return {
        "clean": 100 * float(right_N.mean()),
        "clean_of_the_others": 100 * float(right_N[second].mean()),
        "corrupted": float(np.mean(list(each.values()))),
        "each": each,
        "train": under_noise(model, data.train, torch.arange(IMAGES), data, compute),
        "held": under_noise(model, data.search, first[:IMAGES], data, compute),
    }


def under_noise(model: nn.Module, split: Any, indices_N: Tensor, data: DataSet, compute: Compute) -> dict[str, float]:
    """Accuracy (percent) and loss on these images, by kind and size of the noise on all weights."""
    model.eval()
    batches = placed(split, indices_N, data, compute)
    weights = dict(model.named_parameters())

    def drawn(sigma: float, draws: int, relative: bool) -> list[ImageResults]:
        run = partial(evaluate, model, batches, compute)
        return [loss_under_noise(run, weights, sigma, draw, 0, relative=relative) for draw in range(draws)]

    found = told("clean", drawn(0.0, 1, False))
    for sigma in ABSOLUTE:
        found |= {f"loss, absolute {sigma:g}": mean_loss(drawn(sigma, 4, False))}
    for sigma in RELATIVE:
        found |= told(f"relative {sigma:g}", drawn(sigma, 8, True))
    with by_batch([each for each in model.modules() if isinstance(each, _BatchNorm)]):
        for sigma in BY_BATCH:
            found |= told(f"relative {sigma:g}, batch statistics", drawn(sigma, 8, True))
    return found


def told(name: str, results: Sequence[ImageResults]) -> dict[str, float]:
    """Mean accuracy and loss over draws."""
    accuracy_D = [each.accuracy for each in results]
    return {f"accuracy, {name}": round(100 * float(np.mean(accuracy_D)), 4), f"loss, {name}": mean_loss(results)}


def mean_loss(results: Sequence[ImageResults]) -> float:
    """Mean over draws and images, nats."""
    return round(float(np.mean([each.losses_N.mean() for each in results])), 4)


def report() -> None:
    """Of every figure its correlation with the end: Kendall's τ of each group, Pearson's r over all, less their means.

    Figures of held-out images are compared with clean accuracy on the other half of these. With accuracy under
    corruption also the mean of τ over groups with a 95 % t-interval; and the network that is best by the figure minus
    the mean of its group, clean and corrupted, mean over groups.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, found in (read(RESULT) or {"runs": {}})["runs"].items():
        groups.setdefault(key.rpartition("/")[0], []).append(found)
    print({name: len(rows) for name, rows in groups.items()})
    for kind, clean in (("train", "clean"), ("held", "clean_of_the_others")):
        for figure in next(iter(groups.values()))[0][kind] if groups else ():
            parts = []
            for end in (clean, "corrupted"):
                pairs = [([row[kind][figure] for row in rows], [row[end] for row in rows]) for rows in groups.values()]
                told_G = [float(kendalltau(*pair).statistic) for pair in pairs]
                taus = " ".join(f"{each:+.2f}" for each in told_G)
                told_N, ends_N = (np.concatenate([centred(pair[side]) for pair in pairs]) for side in (0, 1))
                parts.append(f"{end} r {np.corrcoef(told_N, ends_N)[0, 1]:+.2f} (τ {taus})")
            parts.append(f"mean τ {shown_interval(interval(told_G))}")
            parts.append("best minus mean " + " ".join(f"{best(groups, kind, figure, end):+.2f}" for end in ENDS))
            print(f"{kind:5s} {figure:42s} {'   '.join(parts)}")


def best(groups: dict[str, list[dict[str, Any]]], kind: str, figure: str, end: str) -> float:
    """Of the network of the highest accuracy or the lowest loss, less the mean of its group, mean over groups."""
    sign = 1 if figure.startswith("accuracy") else -1
    ends = [(max(rows, key=lambda row: sign * row[kind][figure])[end], rows) for rows in groups.values()]
    return float(np.mean([one - np.mean([row[end] for row in rows]) for one, rows in ends]))


def centred(values: Sequence[float]) -> np.ndarray:
    """Values less their mean."""
    return np.asarray(values) - np.mean(values)


if __name__ == "__main__":
    main()
