"""Each column beside what of it lies beyond some knots. Comes in: (stays, width). Goes out: (stays, (1 + knots) width).

A linear layer on them is an additive model of piecewise linear functions, one a column.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer


@dataclass(frozen=True)
class Hinges(Layer):
    """z, and max(z - q, 0) for each quantile q of the training stays; the quantiles are no weights."""

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    knots: tuple[tuple[float, ...], ...] = ()  # for each quantile, where each column has it

    kind = "hinges"

    def width(self, *widths: int, hours: int) -> int:
        return (1 + len(self.quantiles)) * widths[0]

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        knots = self.knots or [0.0] * len(self.quantiles)
        beyond = [ops.maximum(x - np.array(knot, np.float32), 0.0) for knot in knots]
        return ops.concatenate([x, *beyond])

    def fitted(self, x: np.ndarray) -> Self:
        """Return the layer with the quantiles of training stays, (stays, width)."""
        knots = np.quantile(x.astype(np.float64), self.quantiles, axis=0).astype(np.float32)
        return replace(self, knots=tuple(tuple(map(float, row)) for row in knots))

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.tile(origins[0], 1 + len(self.quantiles))

    def without(self, *kept: np.ndarray) -> Self:
        return replace(self, knots=tuple(tuple(row[column] for column in kept[0]) for row in self.knots))

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import Weightless

        return Weightless(self.kind, self.config(), name=name)
