"""Which hours count, as by Keras' Masking. Comes in: (stays, hours, features). Goes out: 0 or 1, (stays, hours)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Masking(Layer):
    """An hour counts where any of its features is other than `value` (paper, section II-E: 0)."""

    value: float = 0.0

    kind = "masking"
    keras_names = ("Masking",)
    hours_out = True

    def width(self, *widths: int, hours: int) -> int:
        return 0

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.differs(x, self.value)

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.zeros(0, int)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        return cls(float(fields.take("mask_value", 0.0)))

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Masking(self.value, name=name)
