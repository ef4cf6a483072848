"""Initial weights as Keras draws them. Comes in: a generator and a shape. Goes out: an array, float32."""

from collections.abc import Sequence

import numpy as np


def glorot_uniform(generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return numbers uniform within sqrt(6 / (inputs + outputs)) of 0 (Glorot and Bengio 2010, eq. 16)."""
    bound = np.sqrt(6 / sum(shape))
    return generator.uniform(-bound, bound, shape).astype(np.float32)


def orthogonal(generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return a matrix whose rows, or columns where they are fewer, are orthonormal (Saxe et al. 2013)."""
    q, r = np.linalg.qr(generator.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diag(r))  # else not every rotation is as likely
    return (q if shape[0] >= shape[1] else q.T).astype(np.float32)
