"""Batch normalisation as it is after training: a factor and a shift a column. Comes in, goes out: (..., width)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer, Slot


@dataclass(frozen=True)
class Normalisation(Layer):
    """x * factor + shift: gamma / sqrt(variance + epsilon), beta - mean gamma / sqrt(...) (Ioffe and Szegedy 2015)."""

    factor: np.ndarray  # (width,)
    shift: np.ndarray  # (width,)

    kind = "normalisation"

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return x * weights["factor"] + weights["shift"]

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        return Slot("factor", 0, positions), Slot("shift", 0, positions)

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(epsilon=0.0, name=name)

    def keras_weights(self) -> list[np.ndarray]:
        zeros, ones = np.zeros_like(self.shift), np.ones_like(self.shift)
        return [self.factor, self.shift, zeros, ones]  # gamma, beta, mean, variance

    def with_keras_weights(self, weights: Sequence[np.ndarray]) -> Self:
        gamma, beta, mean, variance = weights
        factor = gamma / np.sqrt(variance)
        return type(self)(factor, beta - mean * factor)
