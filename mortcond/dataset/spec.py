"""The input specification: everything that turns raw events into X. Comes in: JSON. Goes out: `InputSpec`, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.variables import Column, Variables


@dataclass(frozen=True)
class InputSpec:
    """What a model must know to read raw records; it travels in data sets and in the metadata of `.tflite` files."""

    variables: Variables
    window_hours: int
    derive: tuple[str, ...]  # of variables.DERIVED
    normals: tuple[float, ...]  # for each variable, its value before the first measurement; a category's index
    mean: np.ndarray  # (features,), 0 where a column is not scaled
    std: np.ndarray  # (features,), 1 where a column is not scaled
    prevalence: float  # share of deaths among the stays of the training split
    scaled: bool = True  # False: X in the units of the variables, mean 0 and std 1 throughout

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.variables.columns(self.derive)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def to_dict(self) -> dict[str, Any]:
        record = {"variables": self.variables.to_dict(), "window_hours": self.window_hours}
        record |= {"derive": list(self.derive), "normals": list(self.normals), "prevalence": self.prevalence}
        record |= {"scaled": self.scaled}
        return record | {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "feature_names": list(self.feature_names),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "InputSpec":
        """Read what `to_dict` gave, also after a trip through JSON.

        Raises InputError where a part is missing or the parts contradict each other.
        """
        try:
            spec = cls(
                variables=Variables.from_dict(record["variables"]),
                window_hours=int(record["window_hours"]),
                derive=tuple(record["derive"]),
                normals=tuple(record["normals"]),
                mean=np.array(record["mean"], np.float64),
                std=np.array(record["std"], np.float64),
                prevalence=float(record["prevalence"]),
                scaled=bool(record.get("scaled", True)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"The description of the inputs is broken ({error!r}).", "Make the file again.") from None
        if not len(spec.mean) == len(spec.std) == len(spec.feature_names):
            raise InputError("The description of the inputs contradicts itself.", "Make the file again.")
        return spec


def mask_columns(feature_names: tuple[str, ...]) -> tuple[int, ...]:
    """Return for each feature the index of its variable's mask column, -1 where it has none (masks, static facts).

    `Heart Rate`, `channel->category` and `delta->Heart Rate` (and so on) have the mask of their variable.
    """
    masks = {name.removeprefix("mask->"): i for i, name in enumerate(feature_names) if name.startswith("mask->")}
    return tuple(masks.get(_channel(name, masks), -1) for name in feature_names)


def _channel(name: str, masks: dict[str, int]) -> str:
    head, _, tail = name.partition("->")
    if head in ("mask", "static"):
        return ""
    return head if head in masks else tail
