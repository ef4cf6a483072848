"""The ensemble to learn from: a linear model and boosted trees, each stay judged by models that never saw it.

Comes in: the training split. Goes out: a risk for each of its stays, the soft targets of `training.training.fit`.

A model's risks of its own training stays say little more than the outcomes do. Cross-fitted ones tell how surprising an
outcome was, so that a small network need not learn the surprises by heart (distillation, Hinton et al. 2015).
"""

import hashlib

import numpy as np

from mortcond.core.console import Console
from mortcond.training.linear import fit_linear, folds, logistic, summaries_of

TREES = {  # fewer leaves and features a split than by default: there are few patients
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_leaf_nodes": 12,
    "l2_regularization": 5.0,
    "max_features": 0.3,
    "early_stopping": False,
}
_known: dict[str, np.ndarray] = {}  # of this process: pruning in steps asks for the same risks again and again


def cross_fitted(X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int, console: Console) -> np.ndarray:
    """Return the risk of each training stay by models of the stays of other patients, (stays,) float32.

    Parameters
    ----------
    X
        (stays, hours, features), scaled.
    y
        (stays,): 1 died.
    groups
        (stays,): the patient of each stay.
    """
    digest = hashlib.blake2b(np.ascontiguousarray(X))
    digest.update(repr((seed, y.tobytes(), groups.tobytes())).encode())
    if digest.hexdigest() not in _known:
        _known[digest.hexdigest()] = _cross_fitted(X, y, groups, seed, console)
    return _known[digest.hexdigest()]


def _cross_fitted(X, y, groups, seed, console) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier

    strength = fit_linear(X, y, groups, seed, console).strength
    summaries = summaries_of(X)
    parts = list(folds(y, groups, seed + 1))
    logits = np.full(len(y), np.log(y.mean()) - np.log1p(-y.mean()))  # where no fold can judge: too few deaths
    with console.progress("Teacher", total=len(parts)) as bar:
        for learn, held in parts:
            trees = HistGradientBoostingClassifier(random_state=seed, **TREES).fit(summaries[learn], y[learn])
            linear = logistic(strength).fit(summaries[learn], y[learn])
            logits[held] = np.mean([model.decision_function(summaries[held]) for model in (trees, linear)], axis=0)
            bar.advance()
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
