"""Small data sets that a network can learn from, for the tests of models and training."""

import numpy as np

from mortcond.dataset import Dataset, Split

HOURS, VALUES, FEATURES = 6, 4, 7  # three of the values have a mask
NAMES = ("a", "b", "c", "static->age", "mask->a", "mask->b", "mask->c")
MASKS = (4, 5, 6, -1, -1, -1, -1)


def split(count: int, seed: int) -> Split:
    """Return stays whose deaths follow the mean of the first value; some hours of some were not measured at all."""
    generator = np.random.default_rng(seed)
    X = generator.normal(0, 1, (count, HOURS, FEATURES)).astype(np.float32)
    X[:, :, VALUES:] = X[:, :, VALUES:] > 0
    risk = 1 / (1 + np.exp(-4 * X[:, :, 0].mean(1)))
    y = (generator.random(count) < risk).astype(np.uint8)
    y[:2] = 0, 1
    X[0, 0], X[1, 2:4], X[2, -2:], X[3] = 0, 0, 0, 0  # at the start, in the middle, at the end, all of it
    ids = np.arange(count) + 1000 * seed
    return Split(X, y, ids, ids, np.full(count, 60, np.float32), np.full(count, ""), np.full(count, ""))


def dataset(train: int = 46, val: int = 40, test: int = 40) -> Dataset:
    splits = (split(count, seed) for seed, count in enumerate((train, val, test), 1))
    return Dataset(*splits, NAMES, np.zeros(FEATURES), np.ones(FEATURES), {"prevalence": 0.5})
