"""A dense layer, over the features of a stay or of each hour. Comes in: (..., inputs). Goes out: (..., units)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.layers.activations import activation
from mortcond.layers.base import Channels, Layer, Slot


@dataclass(frozen=True)
class Dense(Layer):
    """activation(x kernel + bias)."""

    kernel: np.ndarray  # (inputs, units)
    bias: np.ndarray  # (units,)
    activation: str = "relu"  # of layers.activations

    kind = "dense"
    affine = True

    @property
    def units(self) -> int:
        return self.kernel.shape[1]

    def width(self, *widths: int, hours: int) -> int:
        return self.units

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return activation(ops, self.activation, self.sums(ops, weights, x))

    def sums(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        """Return x before the activation: of the last layer, the logit."""
        return ops.linear(x, weights["kernel"], weights["bias"])

    def channels(self) -> tuple[Channels, ...]:
        makers = Slot.of_blocks("kernel", 1, self.units), Slot.of_blocks("bias", 0, self.units)
        return (Channels("", "units", self.units, makers, rectified=self.activation == "relu"),)

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        return (Slot("kernel", 0, positions),)

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Dense(self.units, activation=KERAS_NAMES.get(self.activation, self.activation), name=name)


KERAS_NAMES = {"linear": None}
