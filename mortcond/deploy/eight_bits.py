"""Matrices of exported files in 8 bits: a scale an output, rounded so that what they give on real stays changes least.

Comes in: a network and stays, scaled, of the training split. Goes out: `EightBits`, which the writers ask for each
matrix. The rounding is that of `quantize` (`deploy.rounding`).
"""

from dataclasses import dataclass, field

import numpy as np

from mortcond.deploy.rounding import INT8_LIMIT, quantise_rows
from mortcond.layers.operations import NumpyOperations
from mortcond.network import Network, evaluate

AT_ONCE = 256  # stays
NEAR_WHOLE = 1e-3  # of a step: float32 keeps a weight more exactly


@dataclass
class EightBits:
    """Rounds matrices; without moments each weight to its nearest step."""

    moments: dict[bytes, np.ndarray] = field(default_factory=dict)  # of what a matrix multiplies, by any of its columns
    steps: tuple[float, ...] = ()  # of which the columns of matrices from a file of 8 bits are multiples

    def of(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a matrix, (inputs, outputs), as int8 of that shape, and the step of each output, (outputs,) float32.

        A matrix may be made of columns of several that multiply the same.
        """
        kept = self._kept(matrix) if self.steps else None
        if kept is not None:
            return kept
        known = (self.moments.get(_key(column)) for column in matrix.T)
        moments = next((found for found in known if found is not None), None)
        stored, quantization = quantise_rows(np.ascontiguousarray(matrix.T, np.float32), moments)
        return stored.T, quantization.scale

    def _kept(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a matrix as it is stored in the file that it came from; None: it is no multiple of known steps."""
        steps = np.array(self.steps)
        chosen = [_step_of(column, steps) for column in matrix.T.astype(np.float64)]
        if any(step is None for step in chosen):
            return None
        scale = np.array(chosen)
        return np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32)


def _step_of(column: np.ndarray, steps: np.ndarray) -> float | None:
    """Return the largest step of which a column holds INT8_LIMIT times at most, all of them whole; None: there is none.

    Where several fit, as for a column of zeros, they give the same numbers.
    """
    whole = column[None] / steps[:, None]
    fits = (np.abs(whole - np.rint(whole)) < NEAR_WHOLE).all(1) & (np.abs(np.rint(whole)) <= INT8_LIMIT).all(1)
    return float(steps[fits].max()) if fits.any() else None


def learn(network: Network, stays: np.ndarray) -> EightBits:
    """Return what rounds the matrices of a network by these stays, (stays, hours, features)."""
    recorder = _Recorder()
    weights = network.arrays()
    for start in range(0, len(stays), AT_ONCE):
        evaluate(network, recorder, weights, stays[start : start + AT_ONCE].astype(np.float32))
    return EightBits(recorder.moments)


class _Recorder(NumpyOperations):
    """numpy that notes the second moments of all that is multiplied with a matrix."""

    def __init__(self):
        self.moments: dict[bytes, np.ndarray] = {}

    def linear(self, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        own = self.moments.get(_key(kernel[:, 0]))
        if own is None:
            own = np.zeros((len(kernel), len(kernel)))
            self.moments |= {_key(column): own for column in kernel.T}
        own += rows.T @ rows
        return super().linear(x, kernel, bias)


def _key(column: np.ndarray) -> bytes:
    return np.ascontiguousarray(column, np.float32).tobytes()
