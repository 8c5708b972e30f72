"""How many noise draws and images make R repeatable enough to rank the candidates of a FlatNAS search?

Random genotypes of a run's space are fine-tuned from its supernet as in its search. Which search images each classifies
correctly, clean and under 2·K draws of relative noise, is kept; then for every number of draws and images two
independent repetitions of R are drawn from it, and Spearman's ρ between them is taken over the genotypes. Repetitions
differ in draws, and in one table also in images (disjoint halves of the search split).

    python benchmarks/robustness_repeatability.py --run runs/flatnas_matrix/supernet-5000-16/0

Array names: G genotypes, D draws, N images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from common import RESULTS, read, save
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.core.settings import merge
from lowland.measures import calibrated_subnet
from lowland.measures.noise.draws import outcomes_under_noise
from lowland.measures.noise.robustness import Robustness
from lowland.store.run import Run
from lowland.training.finetune import finetuned
from lowland.workflow.presets import assemble
from lowland.workflow.scoring import single_thread
from lowland.workflow.session import Session

DRAWS = (1, 2, 5, 10, 20, 40, 80)
IMAGES = (50, 100, 200, 500, 1000, 2000)

Array = NDArray[np.float64]


def measured(session: Session, number: int, draws: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each image is classified correctly: clean (G, N), and under every draw (G, D, N)."""
    config = session.config.measure
    sigma = Robustness(config).options.sigma
    clean, noisy = [], []
    for place in range(number):
        genotype = session.space.sample(numpy_rng(0, "robustness repeatability", place))
        network = finetuned(session.supernet, genotype, session.config, session.data, session.compute)
        with calibrated_subnet(network, genotype, session.context, config) as path:
            found = outcomes_under_noise(path, config, sigma, draws, relative=True)
            clean.append(path.clean.correct_N > 0.5)
            noisy.append([signed[0].correct_N > 0.5 for signed in found])
        print(f"{place + 1} of {number}: accuracy {100 * clean[-1].mean():.1f} %", flush=True)
    return np.array(clean), np.array(noisy)


def robustness(clean_GN: NDArray[np.bool_], noisy_GDN: NDArray[np.bool_]) -> Array:
    """R̂ in percentage points, the mean over draws of the size of the accuracy's change."""
    change_GD = clean_GN.mean(axis=1)[:, None] - noisy_GDN.mean(axis=2)
    found: Array = 100.0 * np.abs(change_GD).mean(axis=1)
    return found


def repeated(
    clean_GN: NDArray[np.bool_], noisy_GDN: NDArray[np.bool_], draws: int, images: int, *, other: bool, turns: int
) -> dict[str, float]:
    """Mean and standard deviation of ρ between two repetitions, over random choices of draws and images."""
    found = []
    for turn in range(turns):
        rng = np.random.default_rng(turn)
        drawn = rng.permutation(noisy_GDN.shape[1])[: 2 * draws].reshape(2, draws)
        order = rng.permutation(clean_GN.shape[1])
        seen = (order[:images], order[images : 2 * images] if other else order[:images])
        one, two = (
            robustness(clean_GN[:, part], noisy_GDN[:, which][:, :, part])
            for which, part in zip(drawn, seen, strict=True)
        )
        found.append(float(spearmanr(one, two).statistic))
    return {"spearman": float(np.mean(found)), "standard_deviation": float(np.std(found, ddof=1))}


def table(clean_GN: NDArray[np.bool_], noisy_GDN: NDArray[np.bool_], *, other: bool) -> list[dict[str, Any]]:
    most = clean_GN.shape[1] // (2 if other else 1)
    return [
        {"draws": draws, "images": images} | repeated(clean_GN, noisy_GDN, draws, images, other=other, turns=50)
        for draws in DRAWS
        if 2 * draws <= noisy_GDN.shape[1]
        for images in sorted({n for n in IMAGES if n < most} | {most})
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="of the preset flatnas, with a trained supernet")
    parser.add_argument("--genotypes", type=int, default=30)
    parser.add_argument("--draws", type=int, default=20, help="of each of the two repetitions, at most")
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.05])
    parser.add_argument("--images", type=int, help="search images, at most; default: all")
    parser.add_argument("--finetune-epochs", type=int, default=1)
    parser.add_argument("--rho", type=float, default=0.5)
    arguments = parser.parse_args()
    path = RESULTS / "robustness_repeatability.json"
    for sigma in arguments.sigma:
        with Run.open(arguments.run, read_only=True) as run:
            changed = {
                "finetune": {"epochs": arguments.finetune_epochs, "sam_rho": arguments.rho},
                "measure": {"images": arguments.images, "options": {"robustness": {"sigma": sigma}}},
            }
            run.config = assemble(merge(run.config.model_dump(mode="json"), changed))
            session = Session(run, Monitor())
            with single_thread():
                clean_GN, noisy_GDN = measured(session, arguments.genotypes, 2 * arguments.draws)
        results = read(path) or {"benchmark": "robustness_repeatability", "sigmas": {}}
        results["sigmas"][f"{sigma:g}"] = {
            "genotypes": arguments.genotypes,
            "rho": arguments.rho,
            "finetune_epochs": arguments.finetune_epochs,
            "mean_robustness": float(robustness(clean_GN, noisy_GDN).mean()),
            "spread_of_robustness": float(robustness(clean_GN, noisy_GDN).std(ddof=1)),
            "same images": table(clean_GN, noisy_GDN, other=False),
            "other images": table(clean_GN, noisy_GDN, other=True),
        }
        save(path, results, session.compute)
        for kind in ("same images", "other images"):
            for row in results["sigmas"][f"{sigma:g}"][kind]:
                print(kind, row)


if __name__ == "__main__":
    main()
