"""One hour of all. Comes in: (stays, hours, width). Goes out: (stays, width)."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Hour(Layer):
    """The values of one hour, such as the last of a sequence: what `x[:, -1]` says in Keras and PyTorch."""

    index: int  # -1 is the last

    kind = "hour"
    keras_names = ("Hour",)
    hours_out = False

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.hour(x, self.index)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        index = int(fields.take("index"))
        if not -fields.hours <= index < fields.hours:
            fields.refuse(f"takes hour {index} of {fields.hours}", "Check the window.")
        return cls(index)

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import Hour as KerasHour

        return KerasHour(self.index, name=name)
