"""The linear floor: logistic regression on each feature's summaries, as a Network that every later command takes.

Comes in: the training split. Goes out: a Network of one dense layer on the full summary (see `network.summarise`).
"""

from dataclasses import dataclass

import numpy as np

from mortcond.core.console import Console
from mortcond.models.network import DenseLayer, Network, summarise

STRENGTHS = tuple(10.0**exponent for exponent in (-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5, 0))  # C: inverse penalty
FOLDS = 5


@dataclass(frozen=True)
class Fitted:
    """The chosen logistic regression."""

    network: Network
    strength: float  # C of scikit-learn, the inverse of the penalty
    auroc_by_strength: dict[float, float]  # mean over the folds inside the training split


def fit_linear(X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int, console: Console) -> Fitted:
    """Fit a logistic regression, its penalty chosen by cross-validation inside the training split.

    Parameters
    ----------
    X
        (stays, hours, features), scaled.
    y
        (stays,): 1 died.
    groups
        (stays,): the patient of each stay; a patient's stays are never on both sides of a fold.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.preprocessing import StandardScaler

    summaries = summarise(X.astype(np.float64), "full", ())  # (stays, 6 * features)
    deaths = int(min(y.sum(), len(y) - y.sum()))
    folds = max(2, min(FOLDS, deaths))
    scores = {strength: [] for strength in STRENGTHS}
    with console.progress("Training linear", total=folds + 1) as bar:
        for learn, held in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(summaries, y, groups):
            scaler = StandardScaler().fit(summaries[learn])
            inside, outside = scaler.transform(summaries[learn]), scaler.transform(summaries[held])
            for strength in STRENGTHS if len(np.unique(y[held])) == len(np.unique(y[learn])) == 2 else ():
                model = LogisticRegression(C=strength, max_iter=2000).fit(inside, y[learn])
                scores[strength].append(roc_auc_score(y[held], model.decision_function(outside)))
            bar.advance()
        means = {strength: float(np.mean(values)) if values else 0.5 for strength, values in scores.items()}
        best = max(means, key=lambda strength: (means[strength], -strength))
        scaler = StandardScaler().fit(summaries)
        model = LogisticRegression(C=best, max_iter=2000).fit(scaler.transform(summaries), y)
        bar.advance()
    return Fitted(_folded(model, scaler, X.shape), best, means)


def _folded(model, scaler, shape: tuple[int, ...]) -> Network:
    """Put the standardisation of the summaries into the weights: w / s, and b - w m / s."""
    weights = model.coef_[0] / scaler.scale_
    bias = model.intercept_ - np.sum(weights * scaler.mean_)
    output = DenseLayer(weights[:, None].astype(np.float32), bias.astype(np.float32), "sigmoid")
    return Network("linear", shape[2], shape[1], (), (output,), summary="full")
