"""A dense layer, over the features of a stay or of each hour. Comes in: (..., inputs). Goes out: (..., units)."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.activation import Activation
from mortcond.layers.activations import activation, keras_activation
from mortcond.layers.base import Channels, Layer, Slot
from mortcond.layers.initial import glorot_uniform
from mortcond.layers.keras_fields import Fields
from mortcond.layers.normalisation import Normalisation, into_kernel


@dataclass(frozen=True)
class Dense(Layer):
    """activation(x kernel + bias)."""

    kernel: np.ndarray  # (inputs, units)
    bias: np.ndarray  # (units,)
    activation: str = "relu"  # of layers.activations

    kind = "dense"
    affine = True
    keras_names = ("Dense",)

    @property
    def units(self) -> int:
        return self.kernel.shape[1]

    def drawn(self, generator: np.random.Generator) -> Self:
        kernel = glorot_uniform(generator, self.kernel.shape)
        return replace(self, kernel=kernel, bias=np.zeros_like(self.bias, np.float32))

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

    def matrices(self) -> dict[str, tuple[str, str | None]]:
        return {"kernel": ("x", "bias")}

    def then(self, following: Layer) -> Self | None:
        if self.activation != "linear":
            return None
        if isinstance(following, Activation):
            return replace(self, activation=following.activation)
        if isinstance(following, Normalisation):
            bias = self.bias * following.factor + following.shift
            return replace(self, kernel=self.kernel * following.factor, bias=bias)
        return self._then_dense(following) if isinstance(following, Dense) else None

    def _then_dense(self, following: Self) -> Self | None:
        """Return both in one, where that has no more weights."""
        kernel = self.kernel.astype(float) @ following.kernel
        if kernel.size > self.kernel.size + following.kernel.size:
            return None
        bias = self.bias.astype(float) @ following.kernel + following.bias
        return Dense(kernel.astype(np.float32), bias.astype(np.float32), following.activation)

    def after(self, leading: Layer) -> Self | None:
        return into_kernel(leading, self)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        units = int(fields.take("units"))
        weights = weights if fields.take("use_bias", True) else [*weights, np.zeros(units)]
        arrays = fields.arrays(weights, (fields.width, units), (units,))
        return cls(*arrays, fields.activation("activation", "linear"))

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Dense(self.units, activation=keras_activation(self.activation), name=name)
