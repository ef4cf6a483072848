"""Some columns of what comes in, in a given order. Comes in: (..., width). Goes out: (..., columns chosen)."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Columns(Layer):
    """Selects columns, such as one variable's values and its mask in a channel-wise network."""

    columns: tuple[int, ...]

    kind = "columns"
    keras_names = ("Slice", "Columns")

    def width(self, *widths: int, hours: int) -> int:
        return len(self.columns)

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.columns(x, self.columns)

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return origins[0][list(self.columns)]

    def without(self, *kept: np.ndarray) -> Self:
        place = {int(old): new for new, old in enumerate(kept[0])}
        return replace(self, columns=tuple(place[column] for column in self.columns if column in place))

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        name = (
            "columns" if fields.kind == "Columns" else "indices"
        )  # a custom layer of the public benchmark: x[:, :, i]
        columns = tuple(int(index) for index in fields.take(name))
        if not all(0 <= column < fields.width for column in columns):
            fields.refuse(f"takes columns that are not among {fields.width}", "Check the shape of the network.")
        return cls(columns)

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import Columns as KerasColumns

        return KerasColumns(list(self.columns), name=name)
