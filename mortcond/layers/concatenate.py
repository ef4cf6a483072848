"""Branches side by side. Comes in: several (..., width). Goes out: (..., sum of the widths)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Concatenate(Layer):
    """Joins its inputs along their columns, in their order."""

    kind = "concatenate"
    keras_names = ("Concatenate",)

    def width(self, *widths: int, hours: int) -> int:
        return sum(widths)

    def forward(self, ops: Any, weights: dict[str, Any], *inputs: Any) -> Any:
        return ops.concatenate(inputs)

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.concatenate(origins)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        fields.take("axis", -1)  # the graph's matter: only there it is known which axis is the last
        return cls()

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Concatenate(name=name)
