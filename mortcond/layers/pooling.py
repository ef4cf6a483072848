"""Mean or maximum over the hours. Comes in: (stays, hours, width). Goes out: (stays, width)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields

KERAS_CLASSES = {"mean": "GlobalAveragePooling1D", "max": "GlobalMaxPooling1D"}


@dataclass(frozen=True)
class Pooling(Layer):
    """Takes all hours together, whether they count or not."""

    how: str  # of KERAS_CLASSES

    kind = "pooling"
    keras_names = tuple(KERAS_CLASSES.values())
    hours_out = False

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.mean(x) if self.how == "mean" else ops.largest(x)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        fields.must("data_format", "channels_last", None)
        fields.must("keepdims", False)
        return cls(next(how for how, name in KERAS_CLASSES.items() if name == fields.kind))

    def to_keras(self, keras: Any, name: str) -> Any:
        return getattr(keras.layers, KERAS_CLASSES[self.how])(name=name)
