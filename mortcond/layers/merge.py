"""Branches joined number by number. Comes in: several (..., width) of one width. Goes out: (..., width)."""

from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields

KERAS_CLASSES = {"sum": "Add", "product": "Multiply", "mean": "Average"}


@dataclass(frozen=True)
class Merge(Layer):
    """The sum, product or mean of its inputs."""

    how: str  # of KERAS_CLASSES

    kind = "merge"
    keras_names = tuple(KERAS_CLASSES.values())

    def forward(self, ops: Any, weights: dict[str, Any], *inputs: Any) -> Any:
        if self.how == "product":
            return reduce(lambda x, other: x * other, inputs)
        total = reduce(lambda x, other: x + other, inputs)
        return total * (1 / len(inputs)) if self.how == "mean" else total

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        return np.full_like(origins[0], -1)  # a column comes from a channel of each input: from none alone

    def tied(self) -> bool:
        return True  # a channel of one input cannot go without its partners

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        return cls(next(how for how, name in KERAS_CLASSES.items() if name == fields.kind))

    def to_keras(self, keras: Any, name: str) -> Any:
        return getattr(keras.layers, KERAS_CLASSES[self.how])(name=name)
