"""Matrices in 8 bits: each weight rounded so that what the matrix gives on real stays changes least.

Comes in: a float matrix and, where there are stays to learn it from, the second moments of what it multiplies. Goes
out: int8 weights and their scale.

Rounding every weight to its nearest step is best where the inputs have nothing to do with each other. The features of a
stay have: what one weight loses, the weights of like inputs can make up for. So the columns are rounded one after the
other, and each time the columns that are left are moved by what makes the sum of squared errors of the products least:
GPTQ (Frantar et al. 2023, arXiv:2210.17323, eq. 2 and 3, with the largest moments first). Not a byte is added.
"""

import numpy as np

from mortcond.deploy.graph import Quantization

INT8_LIMIT = 127  # symmetric: -127 to 127, as LiteRT asks of weights
SCALE_STEPS = 1 << 14  # of a scale's mantissa
DAMPING = 0.01  # of the mean moment, added to each: inputs that hardly vary must not take large changes (ibid., step 3)


def quantise(
    rows: np.ndarray, moments: np.ndarray | None = None, like: Quantization | None = None
) -> tuple[np.ndarray, Quantization]:
    """Return a matrix in int8 and its one scale; symmetric around 0, and weights of zero stay zero.

    Parameters
    ----------
    rows
        (outputs, inputs) float.
    moments
        (inputs, inputs): the sum over observations of the inputs' products with each other; None: round to nearest.
    like
        A scale to use again, where it is large enough.
    """
    scale = _scale(np.abs(rows).max(initial=0))
    if like is not None and like.scale[0] >= scale:
        scale = float(like.scale[0])
    steps = rows.astype(np.float64) / scale
    stored = _nearest(steps)
    if moments is not None:
        patterns, group = np.unique(rows != 0, axis=0, return_inverse=True)
        group = group.reshape(-1)  # numpy 2.0.0 keeps an axis of length 1
        for index, kept in enumerate(patterns):  # a block of zeros is no weight: it takes no part
            if kept.any():
                own = np.ix_(group == index, kept)
                stored[own] = _compensated(steps[own], moments[np.ix_(kept, kept)])
    return stored.astype(np.int8), Quantization(np.array([scale], np.float32))


def quantise_rows(rows: np.ndarray, moments: np.ndarray | None = None) -> tuple[np.ndarray, Quantization]:
    """Return a matrix in int8 and a scale a row: `quantise`, with every row stretched to the same range first."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    factors = np.where(largest > 0, largest, 1.0)
    stored, common = quantise(rows / factors, moments)
    return stored, Quantization((common.scale[0] * factors[:, 0]).astype(np.float32))


def scale_of(array: np.ndarray) -> Quantization:
    """Return the scale that all of an array fits."""
    return Quantization(np.array([_scale(np.abs(array).max(initial=0))], np.float32))


def _scale(largest: float) -> float:
    """Return the step, a little rounded up: matrices whose ranges are equal but for rounding get equal scales."""
    if not largest > 0:
        return 1.0
    mantissa, exponent = np.frexp(largest / INT8_LIMIT)
    return float(np.ldexp(np.ceil(mantissa * SCALE_STEPS - 1e-3) / SCALE_STEPS, exponent))


def _nearest(steps: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(steps), -INT8_LIMIT, INT8_LIMIT)


def _compensated(steps: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return (outputs, inputs) whole numbers near `steps`, column after column, each error passed on to the rest."""
    order = np.argsort(-np.diag(moments), kind="stable")
    moments = moments[np.ix_(order, order)].astype(np.float64)
    damping = DAMPING * np.diag(moments).mean()
    if not damping > 0:  # the inputs were never other than 0
        return _nearest(steps)
    inverse = np.linalg.inv(moments + damping * np.eye(len(moments)))
    factor = np.linalg.cholesky(inverse).T  # upper: row j says how an error in column j is passed on
    left, rounded = steps[:, order], np.empty_like(steps)
    for column in range(len(order)):
        rounded[:, order[column]] = whole = _nearest(left[:, column])
        error = (left[:, column] - whole) / factor[column, column]
        left[:, column + 1 :] -= np.outer(error, factor[column, column + 1 :])
    return rounded
