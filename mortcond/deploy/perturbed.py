"""Stays that nobody had: real ones, changed at random, on which a rounded file must still say what its network says.

Comes in: scaled stays. Goes out: others like them, further out and in other combinations. A new patient is not among
the known ones; what rounding does between and beyond them is seen only where one looks.
"""

import numpy as np

STAYS = 1024  # at most
NOISE = 0.3  # standard deviations of a feature, in each hour
STRETCH = 0.3  # of all values of a stay's feature, about their mean over all stays
SWAPPED = 0.2  # share of the features taken from another stay


def perturbed(X: np.ndarray, seed: int) -> np.ndarray:
    """Return changed stays, (at most STAYS, hours, features) float32; X: (stays, hours, features), scaled.

    A fifth of each stay's features comes from another stay, with all their hours; what takes other values than 0 and 1
    is stretched and gets noise. Masks and categories stay 0 or 1, and hours without a measurement stay so.
    """
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(X), min(STAYS, len(X)), replace=False)
    found = X[rows].copy()
    other = X[rng.permutation(rows)]
    swapped = rng.random((len(rows), 1, X.shape[2])) < SWAPPED
    found = np.where(swapped, other, found)
    free = ((found != 0) & (found != 1)).any(axis=(0, 1))  # (features,)
    stretch = 1 + STRETCH * rng.normal(size=(len(rows), 1, X.shape[2]))
    moved = found * stretch + NOISE * rng.normal(size=found.shape)
    empty = (X[rows] == 0).all(axis=2, keepdims=True)  # hours that Masking skips
    return np.where(free & ~empty, moved, np.where(empty, 0, found)).astype(np.float32)
