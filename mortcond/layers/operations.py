"""The operations that layers are written in, for numpy: the reference that every other set of them must equal.

Comes in, goes out: arrays (stays, width), or (stays, hours, width). A layer says its arithmetic once, with `+ - * /`
and the functions below; TensorFlow, LiteRT and ONNX have a set of their own with the same names, so the same lines
train the layer and write its graphs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

HOURS = 1  # the axis of the hours


class Operations:
    """What follows from the others, for sets that have no better form of it."""

    def rectify(self, x: Any) -> Any:
        """Return the ReLU of a value that nothing else reads: a graph may make it part of what gave x."""
        return self.relu(x)

    def measured_mean(self, x: Any, mask_columns: Sequence[int]) -> Any:
        """Return the mean of each feature over the hours in which its mask is 1; -1: over all hours, as where none is.

        mask_columns: for each feature, the column of its mask.
        """
        columns = np.array(mask_columns)
        own = (columns >= 0).astype(np.float32)
        mask = self.columns(x, np.maximum(columns, 0)) * own + (1 - own)  # (stays, hours, features)
        measured_hours = self.sum(mask)
        mean_of_measured = self.sum(x * mask) / self.maximum(measured_hours, 1.0)
        return self.choose(self.positive(measured_hours), mean_of_measured, self.mean(x))


class NumpyOperations(Operations):
    """numpy, in the precision of what comes in."""

    # Along the last axis.

    def linear(self, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """Return x @ kernel + bias; x: (..., inputs), kernel: (inputs, outputs)."""
        product = x @ kernel
        return product if bias is None else product + bias

    def concatenate(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts, axis=-1)

    def split(self, x: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
        """Cut x into parts of the given widths."""
        return np.split(x, np.cumsum(widths)[:-1], axis=-1)

    def columns(self, x: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        """Return some columns of x, in the given order; one may come several times."""
        return x[..., np.asarray(indices, int)]

    # Number by number.

    def sigmoid(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * (1 + np.tanh(0.5 * x))  # the same function, without overflow

    def tanh(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def relu(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def exp(self, x: np.ndarray) -> np.ndarray:
        return np.exp(x)

    def log(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)

    def sqrt(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)

    def absolute(self, x: np.ndarray) -> np.ndarray:
        return np.abs(x)

    def maximum(self, x: np.ndarray, other: Any) -> np.ndarray:
        return np.maximum(x, other)

    def minimum(self, x: np.ndarray, other: Any) -> np.ndarray:
        return np.minimum(x, other)

    def choose(self, condition: np.ndarray, x: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return x where the condition, 0 or 1, is 1, and `other` where it is 0."""
        return np.where(condition > 0, x, other)

    def positive(self, x: np.ndarray) -> np.ndarray:
        """Return 1 where x > 0, else 0."""
        return (x > 0).astype(x.dtype)

    # Over the hours.

    def mean(self, x: np.ndarray) -> np.ndarray:
        return x.mean(HOURS)

    def sum(self, x: np.ndarray) -> np.ndarray:
        return x.sum(HOURS)

    def least(self, x: np.ndarray) -> np.ndarray:
        return x.min(HOURS)

    def largest(self, x: np.ndarray) -> np.ndarray:
        return x.max(HOURS)

    def deviation(self, x: np.ndarray) -> np.ndarray:
        """Return the standard deviation (of the population) over the hours."""
        return x.std(HOURS)

    def hour(self, x: np.ndarray, index: int) -> np.ndarray:
        """Return one hour, (stays, width); -1 is the last."""
        return x[:, index]

    def hours_of(self, x: np.ndarray) -> int:
        """Return how many hours x has."""
        return x.shape[HOURS]

    def as_hours(self, x: np.ndarray) -> np.ndarray:
        """Return (stays, width) as (stays, 1, width), to be taken for every hour."""
        return x[:, None]

    def flatten(self, x: np.ndarray) -> np.ndarray:
        """Return the hours side by side, (stays, hours * width)."""
        return x.reshape(len(x), -1)

    def differs(self, x: np.ndarray, value: float) -> np.ndarray:
        """Return 1 for each hour in which any number is other than `value`, else 0: (stays, hours)."""
        return np.any(x != value, axis=-1).astype(x.dtype)

    def scan(
        self,
        step: Callable[..., tuple[np.ndarray, ...]],
        x: np.ndarray,
        widths: Sequence[int],
        counts: np.ndarray | None,
        backwards: bool,
    ) -> np.ndarray:
        """Step through the hours, and return the first state after each, (stays, hours, width of the first state).

        Parameters
        ----------
        step
            (x of an hour, *states) -> states.
        x
            (stays, hours, width).
        widths
            Of each state; all begin as zeros.
        counts
            (stays, hours): 0 where an hour is skipped and the states stay as they are; None: every hour counts.
        backwards
            From the last hour to the first; hour t of the result is then what the hours from t on gave.
        """
        states = [np.zeros((len(x), width), x.dtype) for width in widths]
        after = np.empty((*x.shape[:2], widths[0]), x.dtype)
        for hour in range(x.shape[1])[:: -1 if backwards else 1]:
            stepped = step(x[:, hour], *states)
            if counts is not None:
                now = counts[:, hour, None] > 0
                stepped = [np.where(now, new, old) for new, old in zip(stepped, states, strict=True)]
            states = list(stepped)
            after[:, hour] = states[0]
        return after


NUMPY = NumpyOperations()
