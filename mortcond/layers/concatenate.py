"""Branches side by side. Comes in: several (..., width). Goes out: (..., sum of the widths)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.layers.base import Layer


@dataclass(frozen=True)
class Concatenate(Layer):
    """Joins its inputs along their columns, in their order."""

    kind = "concatenate"

    def width(self, *widths: int, hours: int) -> int:
        return sum(widths)

    def forward(self, ops: Any, weights: dict[str, Any], *inputs: Any) -> Any:
        return ops.concatenate(inputs)

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.concatenate(origins)

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Concatenate(name=name)
