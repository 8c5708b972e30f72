"""How little scoring is enough? Kendall's τ-b against truth by the number of search images and noise draws.

Every genotype's per-image losses, clean and at each σ of every draw, are computed once on the largest set of images;
smaller budgets are random subsets of them, the same images and draws for all genotypes as in a search. A budget's cost
is images · draws · σ levels, the images passed forward to score one candidate once it is calibrated; the full budget is
all images and draws.

    python benchmarks/scoring_budget.py --supernet RUN --sample 200

The losses are kept in --work, a block of genotypes at a time, so that the same command goes on where it stopped, and a
larger --sample only adds.

Array names: G genotypes, K draws, T noise levels, N images.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import RESULTS, SHARED, read, save
from lowland.core.files import write_bytes, write_json
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.evaluation.ranking.statistics import agreement
from lowland.evaluation.ranking.truth import read_truth
from lowland.measures import calibrated_subnet
from lowland.measures.aggregation import log_rank_sum
from lowland.measures.calibration import by_batch, path_batch_norms
from lowland.measures.noise.draws import outcomes_under_noise
from lowland.measures.noise.flatness import Flatness, flatness_value
from lowland.measures.noise.perturbed_accuracy import PerturbedAccuracy
from lowland.search import Scored
from lowland.store.artifacts import supernet_digest
from lowland.store.run import Run
from lowland.workflow.scoring import scorers, single_thread
from lowland.workflow.session import Session

IMAGES = (25, 50, 100, 200, 500, 1000, 2000, 10000)
DRAWS = (1, 2, 4, 8)
WITHIN = 0.005
"""How far below the full budget's τ a budget may stay."""

NEEDED = 25.0
"""How many times cheaper than the full budget it should then be."""

BESIDE = ("angle(vector=cells)", "macs", "naswot", "synflow", "meco", "expressivity")
"""Parts of the order by ranks of the presets quick and standard; flatness at (σ, 2σ) orders as the loss at 2σ does."""

BLOCK = 10
"""Genotypes whose losses are kept at a time."""

Array = NDArray[np.float64]

ARRAYS = ("clean_GN", "correct_GN", "noisy_GKTN", "right_GKN")


@dataclass(frozen=True)
class Losses:
    """What every image did on every genotype; NaN where a genotype's loss is not finite."""

    clean_GN: NDArray[np.float32]
    correct_GN: NDArray[np.float32]
    noisy_GKTN: NDArray[np.float32]
    right_GKN: NDArray[np.float32]
    """Whether `perturbed_accuracy` finds an image classified correctly; batch norm by batches of the largest set."""

    @staticmethod
    def joined(parts: Sequence[Losses]) -> Losses:
        """The genotypes of all parts."""
        arrays = ([getattr(part, name) for part in parts] for name in ARRAYS)
        return Losses(*map(np.concatenate, arrays))


def measured(session: Session, genotypes: Sequence[Genotype]) -> Losses:
    """The losses of a block of genotypes."""
    config, images = session.config.measure, session.scored_images
    own, sigma = Flatness(config).options, PerturbedAccuracy(config).options.sigma
    clean_GN, correct_GN = (np.full((len(genotypes), images), np.nan, np.float32) for _ in range(2))
    noisy_GKTN = np.full((len(genotypes), config.draws, len(own.sigmas), images), np.nan, np.float32)
    right_GKN = np.full((len(genotypes), config.draws, images), np.nan, np.float32)
    for place, genotype in enumerate(genotypes):
        with calibrated_subnet(session.supernet, genotype, session.context, config) as path:
            try:
                clean, noisy_KTN = path.clean, path.losses_under_noise(own.sigmas, own.levels, config)
                with by_batch(path_batch_norms(path.supernet, genotype)):
                    signed = outcomes_under_noise(path, config, sigma, config.draws, relative=True)
            except ValueError as error:
                print(f"{session.space.format(genotype)} is left out: {error}", flush=True)
                continue
        clean_GN[place], correct_GN[place], noisy_GKTN[place] = clean.losses_N, clean.correct_N, noisy_KTN
        right_GKN[place] = [outcomes[0].correct_N for outcomes in signed]
    return Losses(clean_GN, correct_GN, noisy_GKTN, right_GKN)


def kept(session: Session, genotypes: Sequence[Genotype], work: Path) -> Losses:
    """The losses of all genotypes: read from `work`, or measured and written there, block by block."""
    identity = {
        "format": 2,
        "supernet": supernet_digest(session.run),
        "measure": session.config.measure.model_dump(mode="json", exclude={"name"}),
        "images": session.scored_images,
        "seed": session.config.seed,
        "precision": session.compute.precision,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = work / f"budget-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Losses] = []
    began, done = time.perf_counter(), 0
    for start in range(0, len(genotypes), BLOCK):
        block = genotypes[start : start + BLOCK]
        names = [session.space.format(genotype) for genotype in block]
        path = folder / f"{start:06d}-{len(block)}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                if file["genotypes"].tolist() != names:
                    raise SystemExit(f"{path} holds other genotypes; delete it or choose another --work")
                parts.append(Losses(*(file[name] for name in ARRAYS)))
            continue
        losses = measured(session, block)
        buffer = io.BytesIO()
        np.savez(buffer, genotypes=names, **vars(losses))
        write_bytes(path, buffer.getvalue())
        parts.append(losses)
        done += len(block)
        rate = (time.perf_counter() - began) / done
        print(f"{start + len(block):5,} of {len(genotypes):,} genotypes, {rate:.2f} s each", flush=True)
    return Losses.joined(parts)


@dataclass(frozen=True)
class Way:
    """A measure as a function of image and draw subsets, and the images it passes forward per image and draw."""

    values: Callable[[Losses, NDArray[np.int64], NDArray[np.int64]], Array]
    levels: int
    noisy: bool = True
    calibrates: bool = True


def exact(session: Session, genotypes: Sequence[Genotype], work: Path) -> list[Array]:
    """Scores (G,) of what stands beside the loss under noise in the default order and looks at few images or none."""
    weights = supernet_digest(session.run)
    path = work / f"beside-{weights[:16]}.json"
    known: dict[str, dict[str, float]] = read(path)
    with scorers(session) as scorer:
        for name in BESIDE:
            asked = scorer(session.config.measure.model_copy(update={"name": name, "combine": "sum"}))
            column = known.setdefault(name, {})
            missing = [genotype for genotype in genotypes if session.space.format(genotype) not in column]
            for genotype, outcome in zip(missing, asked.scores(missing), strict=True):
                if not isinstance(outcome, Scored):
                    raise SystemExit(f"{name} of {session.space.format(genotype)}: {outcome}")
                column[session.space.format(genotype)] = outcome.value
            write_json(path, known)
    return [np.array([known[name][session.space.format(genotype)] for genotype in genotypes]) for name in BESIDE]


def ways(sigmas: Sequence[float], alpha: float, beside: Sequence[Array]) -> dict[str, Way]:
    """The measures: values (G,) on a subset of images and draws."""

    def flatness(losses: Losses, images: NDArray[np.int64], draws: NDArray[np.int64]) -> Array:
        losses_GT = losses.noisy_GKTN[..., images][:, draws].mean(axis=(1, 3), dtype=np.float64)
        return np.array([_or_nan(losses_T, sigmas, alpha) for losses_T in losses_GT])

    def perturbed(losses: Losses, images: NDArray[np.int64], draws: NDArray[np.int64]) -> Array:
        return -losses.noisy_GKTN[:, :, -1, images][:, draws].mean(axis=(1, 2), dtype=np.float64)

    def together(losses: Losses, images: NDArray[np.int64], draws: NDArray[np.int64]) -> Array:
        noisy_G = perturbed(losses, images, draws)
        return log_rank_sum([np.nan_to_num(noisy_G, nan=-math.inf), *beside])

    def steady(losses: Losses, images: NDArray[np.int64], draws: NDArray[np.int64]) -> Array:
        return losses.right_GKN[..., images][:, draws].mean(axis=(1, 2), dtype=np.float64)

    return {
        "accuracy": Way(lambda found, images, _: found.correct_GN[:, images].mean(axis=1, dtype=np.float64), 1, False),
        "loss": Way(lambda found, images, _: -found.clean_GN[:, images].mean(axis=1, dtype=np.float64), 1, False),
        "flatness": Way(flatness, len(sigmas)),
        f"perturbed_loss(sigma={sigmas[-1]:g})": Way(perturbed, 1),
        "perturbed_accuracy": Way(steady, 1, calibrates=False),
        "the default order": Way(together, 1),
    }


def _or_nan(losses_T: Array, sigmas: Sequence[float], alpha: float) -> float:
    try:
        return flatness_value(losses_T, sigmas, alpha)
    except ValueError:  # the loss does not change between the levels, or is not finite
        return math.nan


@dataclass(frozen=True)
class Budget:
    """What a measure says at one budget: its values (G,) on every random subset of images and draws."""

    images: int
    draws: int
    cost: int
    values: list[Array]

    def against(self, truth_G: Array) -> dict[str, Any]:
        """Mean and standard deviation of τ over the subsets; values without any order say nothing, τ = 0."""
        taus = [agreement(values_G, truth_G) or 0.0 for values_G in self.values]
        return {
            "images": self.images,
            "draws": self.draws,
            "cost": self.cost,
            "tau": float(np.mean(taus)),
            "tau_standard_deviation": float(np.std(taus, ddof=1)) if len(taus) > 1 else None,
            "subsets": len(taus),
            "not_scored": max(int(np.isnan(values_G).sum()) for values_G in self.values),
        }


def budgets(measure: Way, losses: Losses, subsets: int) -> list[Budget]:
    """One measure at every budget, cheapest first."""
    _, draws, _, images = losses.noisy_GKTN.shape
    found = []
    for drawn in sorted({k for k in DRAWS if k < draws} | {draws}) if measure.noisy else [1]:
        for taken in sorted({n for n in IMAGES if n < images} | {images}):
            whole = taken == images and (drawn == draws or not measure.noisy)
            values = []
            for subset in range(1 if whole else subsets):
                rng = numpy_rng(0, "scoring budget", taken, drawn, subset)
                values.append(measure.values(losses, rng.permutation(images)[:taken], rng.permutation(draws)[:drawn]))
            found.append(Budget(taken, drawn if measure.noisy else 0, taken * drawn * measure.levels, values))
    return sorted(found, key=lambda budget: (budget.cost, budget.images))


def enough(rows: Sequence[dict[str, Any]], full: dict[str, Any], calibration: int) -> dict[str, Any]:
    """The cheapest budget whose mean τ comes within `WITHIN` of a full one's, and how many times cheaper it is.

    `ratio_with_calibration` counts the calibration images, which every budget of most measures needs, on both sides.
    """
    best = next(row for row in rows if row["tau"] >= full["tau"] - WITHIN)
    ratio = full["cost"] / best["cost"]
    return {
        "full": full,
        "smallest": best,
        "ratio": ratio,
        "ratio_with_calibration": (full["cost"] + calibration) / (best["cost"] + calibration),
        "reached": ratio >= NEEDED,
    }


def judged(
    losses: Losses, truths: dict[str, Array], session: Session, subsets: int, beside: Sequence[Array]
) -> dict[str, dict[str, Any]]:
    """By truth column and measure: every budget, and what is enough for all images and draws, or all and one draw."""
    config = session.config.measure
    own = Flatness(config).options
    calibration = min(config.calibration_images, len(session.data.train))
    found: dict[str, dict[str, Any]] = {column: {} for column in truths}
    for name, measure in ways(own.sigmas, own.alpha, beside).items():
        tried = budgets(measure, losses, subsets)
        for column, truth_G in truths.items():
            rows = [budget.against(truth_G) for budget in tried]
            whole = [row for row in rows if row["images"] == session.scored_images]
            found[column][name] = {
                "budgets": rows,
                "against_all_images_and_draws": enough(rows, whole[-1], calibration * measure.calibrates),
                "against_all_images_and_one_draw": enough(rows, whole[0], calibration * measure.calibrates),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", type=Path, required=True, help="run directory with a trained supernet")
    parser.add_argument("--truth", type=Path, default=SHARED / "nas" / "nasbench201_cifar10.csv.gz")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--sample-seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=max(IMAGES), help="largest number of search images")
    parser.add_argument("--draws", type=int, default=max(DRAWS), help="largest number of noise draws")
    parser.add_argument("--subsets", type=int, default=20, help="random subsets per budget")
    parser.add_argument("--work", type=Path, default=Path("runs") / "scoring_budget")
    parser.add_argument("--out", type=Path, default=RESULTS / "scoring_budget.json")
    arguments = parser.parse_args()
    with Run.open(arguments.supernet, read_only=True) as run:
        measure = run.config.measure.model_copy(
            update={"images": arguments.images, "noise_images": None, "draws": arguments.draws}
        )
        run.config = run.config.model_copy(update={"measure": measure})
        session = Session(run, Monitor())
        truth = read_truth(arguments.truth, session.space)
        chosen = truth.sample(arguments.sample, arguments.sample_seed)
        genotypes = [truth.genotypes[place] for place in chosen]
        with single_thread():
            losses = kept(session, genotypes, arguments.work)
        truths = {column: values_N[chosen] for column, values_N in truth.columns.items()}
        columns = judged(losses, truths, session, arguments.subsets, exact(session, genotypes, arguments.work))
        results = read(arguments.out) or {"benchmark": "scoring_budget", "supernets": {}}
        results["supernets"][run.path.name] = {
            "supernet": session.config.supernet.model_dump(mode="json", include={"channels", "cells", "epochs"}),
            "weights": supernet_digest(run),
            "seed": session.config.seed,
            "genotypes": len(genotypes),
            "sample_seed": arguments.sample_seed,
            "truth": truth.digest,
            "images": session.scored_images,
            "draws": arguments.draws,
            "sigmas": list(Flatness(measure).options.sigmas),
            "alpha": Flatness(measure).options.alpha,
            "calibration_images": measure.calibration_images,
            "columns": columns,
        }
        save(arguments.out, results, session.compute)
    for column, found in columns.items():
        for name, facts in found.items():
            for which in ("against_all_images_and_draws", "against_all_images_and_one_draw"):
                told = facts[which]
                full, least = told["full"], told["smallest"]
                print(
                    f"{column:13s} {name:26s} full tau {full['tau']:.4f} at {full['cost']:,}; enough: "
                    f"{least['images']:,} images, {least['draws']} draws, tau {least['tau']:.4f}, "
                    f"{told['ratio']:.0f} times cheaper"
                )


if __name__ == "__main__":
    main()
