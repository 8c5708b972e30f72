"""Surrogates: models that predict an objective from the encoding of a genotype, and how well they order it.

Array names: N scored genotypes, Q asked for, D numbers of an encoding (`Space.encode`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowland.core.seeds import derive

Array = NDArray[np.float64]
Predictor = Callable[[Array], Array]
"""Encodings (Q, D) → predicted values (Q)."""

FOLDS = 5
"""Folds of cross-validation; fewer where a fold would have fewer than `FOLD_SIZE` points."""

FOLD_SIZE = 4

_TREES = 50
_SMOOTHING = (0.0, 1e-6, 1e-3, 1.0)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kendall's τ between predictions and values left out, over the folds of a cross-validation.

    Attributes:
        mean: Mean over folds; a fold in which either side is constant counts 0.
        std: Standard deviation over folds.
    """

    mean: float
    std: float

    @property
    def cautious(self) -> float:
        """Mean − std, by which MSuNAS (Lu et al., 2020) switches between models."""
        return self.mean - self.std


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted model of one objective.

    Attributes:
        kind: `rbf`, `cart`, `mlp` or `gp`.
        predict: Encodings (Q, D) → values (Q).
        agreement: Cross-validated agreement of every kind tried; empty where there are too few points.
    """

    kind: str
    predict: Predictor
    agreement: Mapping[str, Agreement]

    @property
    def tau(self) -> Agreement | None:
        """Agreement of the kind chosen; None where there were too few points."""
        return self.agreement.get(self.kind)


def fit(kind: str, x_ND: Array, y_N: Array, seed: int) -> Surrogate:
    """Fit a model of `y_N`; a function of its arguments alone.

    Args:
        kind: `rbf`: cubic radial basis functions with a linear tail; `cart`: bagged regression trees; `mlp`: a
            multi-layer perceptron; `gp`: a Gaussian process; `adaptive`: the kind with the greatest mean − std of τ.
        x_ND: Encodings, at least one; repeated ones are averaged.
        y_N: Values, finite.
        seed: Decides folds, trees and initial weights.

    Returns:
        The model, with its cross-validated τ.

    Raises:
        ValueError: There is no point, or a value is not finite.
    """
    if not len(x_ND) or not np.isfinite(y_N).all():
        raise ValueError(f"a surrogate needs finite values of at least one genotype, got {len(x_ND)}")
    kinds = list(KINDS) if kind == "adaptive" else [kind]
    agreement = {each: found for each in kinds if (found := _cross_validated(each, x_ND, y_N, seed)) is not None}
    best = max(agreement, key=lambda each: agreement[each].cautious) if agreement else kinds[0]
    return Surrogate(best, fitted(best, x_ND, y_N, derive(seed, best)), agreement)


def _cross_validated(kind: str, x_ND: Array, y_N: Array, seed: int) -> Agreement | None:
    from scipy.stats import kendalltau

    folds = min(FOLDS, len(y_N) // FOLD_SIZE)
    if folds < 2:
        return None
    # The same folds for every kind, so that kinds compare.
    order_N = np.random.default_rng(derive(seed, "folds")).permutation(len(y_N))
    taus: list[float] = []
    for fold, held in enumerate(np.array_split(order_N, folds)):
        rest = np.setdiff1d(order_N, held)
        predicted = fitted(kind, x_ND[rest], y_N[rest], derive(seed, kind, fold))(x_ND[held])
        tau = 0.0
        if np.ptp(predicted) > 0.0 and np.ptp(y_N[held]) > 0.0:
            tau = float(kendalltau(predicted, y_N[held]).statistic)
        taus.append(tau)
    return Agreement(float(np.mean(taus)), float(np.std(taus)))


def fitted(kind: str, x_ND: Array, y_N: Array, seed: int) -> Predictor:
    """Fit a model of the normal scores of the values of different encodings.

    Values have outliers (networks that did not learn) which a model of the values themselves would mostly explain. On
    NAS-Bench-201's test errors normal scores raise the τ of 120 random genotypes from 0.39 to 0.63 (rbf), 0.43 to 0.54
    (cart), 0.52 to 0.63 (mlp) and 0.44 to 0.63 (gp).

    Returns:
        Encodings (Q, D) → predicted values (Q,); a constant where the values are.
    """
    x_ND, groups_N = np.unique(x_ND, axis=0, return_inverse=True)
    groups_N = groups_N.ravel()
    y_N = np.bincount(groups_N, weights=y_N) / np.bincount(groups_N)
    if np.ptp(y_N) <= 1e-12 * max(1.0, float(np.abs(y_N).max())):
        centre = float(y_N.mean())
        return lambda x_QD: np.full(len(x_QD), centre)
    # Columns that never vary say nothing, and their coefficients would be arbitrary.
    varies_D = np.ptp(x_ND, axis=0) > 0.0
    scores_N, values = _normal_scores(y_N)
    model = KINDS[kind](x_ND[:, varies_D], scores_N, seed)
    return lambda x_QD: values(model(x_QD[:, varies_D]))


def _normal_scores(y_N: Array) -> tuple[Array, Predictor]:
    """Turn values that are not all equal into normal scores.

    It is linear between neighbours; beyond the ends it goes on with the mean slope of the outer tenth, so that a model
    can tell what it predicts to be better than everything seen.

    Returns:
        Φ⁻¹((rank − ½)/N) (N,), and the increasing function that leads back.
    """
    from scipy.stats import norm, rankdata

    scores_N: Array = norm.ppf((rankdata(y_N) - 0.5) / len(y_N))
    y_U, first_U = np.unique(y_N, return_index=True)
    z_U = scores_N[first_U]
    tenth = max(1, len(y_U) // 10)
    below = (y_U[tenth] - y_U[0]) / (z_U[tenth] - z_U[0])
    above = (y_U[-1] - y_U[-1 - tenth]) / (z_U[-1] - z_U[-1 - tenth])

    def values(z_Q: Array) -> Array:
        beyond = below * np.minimum(z_Q - z_U[0], 0.0) + above * np.maximum(z_Q - z_U[-1], 0.0)
        return np.asarray(np.interp(z_Q, z_U, y_U) + beyond, dtype=np.float64)

    return scores_N, values


def _rbf(x_ND: Array, y_N: Array, seed: int) -> Predictor:
    """Interpolation Σ cᵢ‖x − xᵢ‖³ + linear tail, in the principal components of the encodings.

    One-hot encodings are linearly dependent, which a linear tail cannot bear; rotated to the components in which the
    points vary, distances are the same. At most N/3 components are kept, so that the tail cannot explain every point by
    itself. Where the system is singular it is smoothed, as little as gives a finite solution that fits the points.

    Returns:
        Encodings (Q, D) → predicted values (Q,).

    Raises:
        LinAlgError: no smoothing gives a finite solution.
    """
    from scipy.interpolate import RBFInterpolator

    del seed
    centre_D = x_ND.mean(axis=0)
    _, singular, components = np.linalg.svd(x_ND - centre_D, full_matrices=False)
    kept = min(int((singular > 1e-9 * singular[0]).sum()), max(1, len(x_ND) // 3))
    rotation = components[:kept].T
    points = (x_ND - centre_D) @ rotation
    degree = 1 if len(points) > kept else 0
    for smoothing in _SMOOTHING:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # scipy: a cubic kernel wants a linear tail
                model = RBFInterpolator(points, y_N, kernel="cubic", degree=degree, smoothing=smoothing)
        except np.linalg.LinAlgError:
            if smoothing == _SMOOTHING[-1]:
                raise
            continue
        # A nearly singular system is solved without a word, but not by what it was asked for.
        if np.abs(model(points) - y_N).max() < (1e-3 if smoothing == 0.0 else np.abs(y_N).max()):
            break
    return lambda x_QD: np.asarray(model((x_QD - centre_D) @ rotation), dtype=np.float64)


def _cart(x_ND: Array, y_N: Array, seed: int) -> Predictor:
    """Mean of 50 regression trees, each grown on a bootstrap sample with all columns at every split (bagging)."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(n_estimators=_TREES, max_features=1.0, random_state=seed % 2**32, n_jobs=1)
    model.fit(x_ND, y_N)
    return lambda x_QD: np.asarray(model.predict(x_QD), dtype=np.float64)


def _mlp(x_ND: Array, y_N: Array, seed: int) -> Predictor:
    """Two hidden layers of 64 ReLU units with an L2 penalty, trained by L-BFGS."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    layers = (64, 64)
    model = MLPRegressor(hidden_layer_sizes=layers, solver="lbfgs", alpha=1.0, max_iter=100, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early only regularises
        model.fit(x_ND, y_N)
    return lambda x_QD: np.asarray(model.predict(x_QD), dtype=np.float64)


def _gp(x_ND: Array, y_N: Array, seed: int) -> Predictor:
    """Posterior mean of a Gaussian process: Matérn 5/2 and white noise, fitted by marginal likelihood."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(3.0, (0.1, 100.0), nu=2.5) + WhiteKernel(0.1, (1e-6, 2.0))
    model = GaussianProcessRegressor(kernel, alpha=1e-8, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound is what bounds are for
        model.fit(x_ND, y_N)
    return lambda x_QD: np.asarray(model.predict(x_QD), dtype=np.float64)


KINDS: Mapping[str, Callable[[Array, Array, int], Predictor]] = {"rbf": _rbf, "cart": _cart, "mlp": _mlp, "gp": _gp}
