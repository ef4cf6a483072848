"""An activation on its own, where no layer before could take it up. Comes in, goes out: (..., width)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.activations import activation, keras_activation
from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields

SLOPE = 0.2  # of leaky_relu here


@dataclass(frozen=True)
class Activation(Layer):
    """One of `layers.activations`, number by number."""

    activation: str

    kind = "activation"
    keras_names = ("Activation", "ReLU", "LeakyReLU", "ELU")

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        # Others may read x as it is: `rectify` is for what nothing else reads.
        return ops.relu(x) if self.activation == "relu" else activation(ops, self.activation, x)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        if fields.kind == "ReLU":
            fields.must("negative_slope", 0.0, None)
            fields.must("threshold", 0.0, None)
            fields.must("max_value", None, 6.0)
            return cls("relu" if fields.take("max_value") is None else "relu6")
        if fields.kind == "LeakyReLU":
            slope = fields.take("negative_slope", fields.take("alpha", 0.3))
            if not np.isclose(slope, SLOPE):
                fields.refuse(f"has a slope of {slope}; known is {SLOPE}", "Use relu, or a slope of 0.2.")
            return cls("leaky_relu")
        if fields.kind == "ELU":
            fields.must("alpha", 1.0)
            return cls("elu")
        return cls(fields.activation("activation", "linear"))

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Activation(keras_activation(self.activation), name=name)
