"""The linear floor: logistic regression on each feature's summaries, as a Network that every later command takes.

Comes in: the training split. Goes out: a Network of one dense layer on the full summary (see `layers.summaries`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mortcond.archs import FLOOR, Inputs, shaped, untrained
from mortcond.core.console import Console
from mortcond.network import Network
from mortcond.scores import auroc
from mortcond.training.walk import Walk

STRENGTHS = tuple(10.0**exponent for exponent in (-4, -3.5, -3, -2.5, -2, -1.5, -1))  # C: inverse penalty
FOLDS = 5
LEAST_SPREAD = 1e-4  # of a summary over the stays, in units of the scaled feature; less is rounding


@dataclass(frozen=True)
class Fitted:
    """The chosen logistic regression."""

    network: Network
    strength: float  # C of scikit-learn, the inverse of the penalty
    auroc_by_strength: dict[float, float]  # mean over the folds inside the training split


def fit_linear(
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    seed: int,
    console: Console,
    network: Network | None = None,
) -> Fitted:
    """Fit a logistic regression, its penalty chosen by cross-validation inside the training split.

    Parameters
    ----------
    X
        (stays, hours, features), scaled.
    y
        (stays,): 1 died.
    groups
        (stays,): the patient of each stay; a patient's stays are never on both sides of a fold.
    network
        A linear network without weights, which says what it sees of a stay; None: the full summary.
    """
    network = network or _untrained(X.shape)
    summaries = summaries_of(X, network)
    parts = list(folds(y, groups, seed))
    scores = {strength: [] for strength in STRENGTHS}
    with console.progress("Training linear", total=len(parts) + 1) as bar:
        for learn, held in parts:
            for strength in STRENGTHS:
                model = logistic(strength).fit(summaries[learn], y[learn])
                scores[strength].append(auroc(y[held], model.decision_function(summaries[held])))
            bar.advance()
        means = {strength: float(np.mean(values)) if values else 0.5 for strength, values in scores.items()}
        best = max(means, key=lambda strength: (means[strength], -strength))
        model = logistic(best).fit(summaries, y)
        bar.advance()
    return Fitted(_folded(model, network), best, means)


def summaries_of(X: np.ndarray, network: Network | None = None) -> np.ndarray:
    """Return what a linear network sees of stays, (stays, summaries), those that hardly vary as 0; see `fit_linear`.

    What never changes within a stay has a standard deviation that is nothing but rounding. Standardised, it would get
    a weight of tens of thousands, which a hospital where it does change would feel.
    """
    (summaries,) = Walk(network or _untrained(X.shape)).prepare(X).values()
    summaries[:, summaries.std(axis=0, dtype=np.float64) < LEAST_SPREAD] = 0
    return summaries


def folds(y: np.ndarray, groups: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows to learn from and those held out, of which each has both outcomes; a patient is on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = int(min(y.sum(), len(y) - y.sum()))
    splitter = StratifiedGroupKFold(max(2, min(FOLDS, fewest)), shuffle=True, random_state=seed)
    for learn, held in splitter.split(y[:, None], y, groups):
        if len(np.unique(y[learn])) == len(np.unique(y[held])) == 2:
            yield learn, held


def logistic(strength: float):
    """Return scikit-learn's logistic regression on standardised columns, not yet fitted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-3, max_iter=1000))


def _folded(model, empty: Network) -> Network:
    """Put the standardisation of the summaries into the weights: w / s, and b - w m / s."""
    scaler, regression = model
    weights = regression.coef_[0] / scaler.scale_
    bias = regression.intercept_ - np.sum(weights * scaler.mean_)
    kernel, bias = weights[:, None].astype(np.float32), bias.astype(np.float32)
    return empty.with_layers({empty.output.name: replace(empty.output.layer, kernel=kernel, bias=bias)})


def _untrained(shape: tuple[int, ...]) -> Network:
    """Return the floor's network for stays of (stays, hours, features)."""
    return untrained(FLOOR, shaped(FLOOR), Inputs(shape[2], shape[1]))
