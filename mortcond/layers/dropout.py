"""Dropout: in training a share of the columns is dropped, else nothing is done. Comes in, goes out: (..., width)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Dropout(Layer):
    """Drops columns in training, at random for each stay, and scales the others up (paper, sections II-E to II-G)."""

    rate: float  # share dropped

    kind = "dropout"
    identity = True
    keras_names = ("Dropout",)

    @property
    def drop_rate(self) -> float:
        return self.rate

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return x

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        return cls(float(fields.take("rate")))

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.Dropout(self.rate, name=name)
