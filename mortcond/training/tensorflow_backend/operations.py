"""The operations that layers are written in, for TensorFlow; what each does is told in `layers.operations`.

Comes in, goes out: tensors of a known shape.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mortcond.core.tensorflow import tf
from mortcond.layers.operations import HOURS, Operations


class TensorFlowOperations(Operations):
    """TensorFlow, in the precision of what comes in, differentiable."""

    # Along the last axis.

    def linear(self, x: Any, kernel: Any, bias: Any = None) -> Any:
        if x.shape.rank > 2:  # one large product, not one for each stay
            product = tf.reshape(tf.reshape(x, [-1, x.shape[-1]]) @ kernel, [-1, *x.shape[1:-1], kernel.shape[1]])
        else:
            product = x @ kernel
        return product if bias is None else product + bias

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return tf.concat(list(parts), -1)

    def split(self, x: Any, widths: Sequence[int]) -> list[Any]:
        return tf.split(x, list(widths), axis=-1)

    def columns(self, x: Any, indices: Sequence[int]) -> Any:
        return tf.gather(x, np.asarray(indices, np.int32), axis=-1)

    # Number by number.

    def sigmoid(self, x: Any) -> Any:
        return tf.sigmoid(x)

    def tanh(self, x: Any) -> Any:
        return tf.tanh(x)

    def relu(self, x: Any) -> Any:
        return tf.nn.relu(x)

    def exp(self, x: Any) -> Any:
        return tf.exp(x)

    def log(self, x: Any) -> Any:
        return tf.math.log(x)

    def sqrt(self, x: Any) -> Any:
        return tf.sqrt(x)

    def absolute(self, x: Any) -> Any:
        return tf.abs(x)

    def maximum(self, x: Any, other: Any) -> Any:
        return tf.maximum(x, other)

    def minimum(self, x: Any, other: Any) -> Any:
        return tf.minimum(x, other)

    def choose(self, condition: Any, x: Any, other: Any) -> Any:
        return tf.where(condition > 0, x, other)

    def positive(self, x: Any) -> Any:
        return tf.cast(x > 0, x.dtype)

    # Over the hours.

    def mean(self, x: Any) -> Any:
        return tf.reduce_mean(x, HOURS)

    def sum(self, x: Any) -> Any:
        return tf.reduce_sum(x, HOURS)

    def least(self, x: Any) -> Any:
        return tf.reduce_min(x, HOURS)

    def largest(self, x: Any) -> Any:
        return tf.reduce_max(x, HOURS)

    def deviation(self, x: Any) -> Any:
        return tf.math.reduce_std(x, HOURS)

    def hour(self, x: Any, index: int) -> Any:
        return x[:, index]

    def hours_of(self, x: Any) -> int:
        return x.shape[HOURS]

    def as_hours(self, x: Any) -> Any:
        return x[:, None]

    def flatten(self, x: Any) -> Any:
        return tf.reshape(x, [x.shape[0], x.shape[1] * x.shape[2]])

    def differs(self, x: Any, value: float) -> Any:
        return tf.cast(tf.reduce_any(x != value, -1), x.dtype)

    def scan(
        self,
        step: Callable[..., tuple[Any, ...]],
        x: Any,
        widths: Sequence[int],
        counts: Any,
        backwards: bool,
    ) -> Any:
        """Step through the hours one operation after the other, without a loop: small, plain and slow to compile."""
        states, after = [tf.zeros([x.shape[0], width], x.dtype) for width in widths], [None] * x.shape[1]
        for hour in range(x.shape[1])[:: -1 if backwards else 1]:
            stepped = step(x[:, hour], *states)
            if counts is not None:
                now = counts[:, hour, None] > 0
                stepped = [tf.where(now, new, old) for new, old in zip(stepped, states, strict=True)]
            states = list(stepped)
            after[hour] = states[0]
        return tf.stack(after, HOURS)


TENSORFLOW = TensorFlowOperations()
