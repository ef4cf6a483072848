"""The hours side by side. Comes in: (stays, hours, width). Goes out: (stays, hours * width)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Flatten(Layer):
    """Puts all hours of a stay into one row, the first hour first."""

    kind = "flatten"
    keras_names = ("Flatten",)
    hours_out = False

    def width(self, *widths: int, hours: int) -> int:
        return hours * widths[0]

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.flatten(x)

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.tile(origins[0], hours)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        fields.must("data_format", "channels_last", None)
        return cls()

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Flatten(name=name)
