"""What dense and linear networks see of a stay. Comes in: (stays, hours, features). Goes out: (stays, summaries)."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class MeasuredMean(Layer):
    """The mean of each feature over the hours in which its variable was measured (paper, section III-B).

    A feature whose variable never was measured, or that has no mask of its own, is averaged over all hours.
    """

    mask_columns: tuple[int, ...]  # for each feature, the column that says whether it was measured; -1: none

    kind = "measured_mean"
    keras_names = ("MeasuredMean",)
    hours_out = False

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.measured_mean(x, self.mask_columns)

    def without(self, *kept: np.ndarray) -> Self:
        place = {int(old): new for new, old in enumerate(kept[0])}
        return replace(self, mask_columns=tuple(place.get(self.mask_columns[old], -1) for old in kept[0]))

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        columns = tuple(int(column) for column in fields.take("mask_columns"))
        if len(columns) != fields.width or any(not -1 <= column < fields.width for column in columns):
            fields.refuse(f"has masks that are no columns of {fields.width}", "Check that the file is complete.")
        return cls(columns)

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import MeasuredMean as KerasMeasuredMean

        return KerasMeasuredMean(list(self.mask_columns), name=name)


@dataclass(frozen=True)
class FullSummary(Layer):
    """Mean, last, minimum, maximum, standard deviation and change (last - first) of each feature over all hours.

    The six lie side by side in this order: (stays, 6 * features).
    """

    kind = "full_summary"
    keras_names = ("FullSummary",)
    hours_out = False
    NUMBERS: ClassVar[int] = 6

    def width(self, *widths: int, hours: int) -> int:
        return self.NUMBERS * widths[0]

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        first, last = ops.hour(x, 0), ops.hour(x, -1)
        ends = ops.least(x), ops.largest(x)
        return ops.concatenate([ops.mean(x), last, *ends, ops.deviation(x), last - first])

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.tile(origins[0], self.NUMBERS)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        return cls()

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import FullSummary as KerasFullSummary

        return KerasFullSummary(name=name)
