"""Some columns of what comes in, in a given order. Comes in: (..., width). Goes out: (..., columns chosen)."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer


@dataclass(frozen=True)
class Columns(Layer):
    """Selects columns, such as one variable's values and its mask in a channel-wise network."""

    columns: tuple[int, ...]

    kind = "columns"

    def width(self, *widths: int, hours: int) -> int:
        return len(self.columns)

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.columns(x, self.columns)

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return origins[0][list(self.columns)]

    def without(self, *kept: np.ndarray) -> Self:
        place = {int(old): new for new, old in enumerate(kept[0])}
        return replace(self, columns=tuple(place[column] for column in self.columns if column in place))

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import Columns as KerasColumns

        return KerasColumns(list(self.columns), name=name)
