"""The input specification: everything that turns raw events into X. Comes in: JSON. Goes out: `InputSpec`, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core import forms
from mortcond.core.dataset_file import MOST_HOURS
from mortcond.core.errors import InputError
from mortcond.variables import DERIVED, Column, Variables

_FORM = {"variables": dict, "window_hours": int, "derive": list[str], "normals": list[float | None]}
_FORM |= {"mean": list[float], "std": list[float], "prevalence": float | None}


@dataclass(frozen=True)
class InputSpec:
    """What a model must know to read raw records; it travels in data sets and in the metadata of `.tflite` files."""

    variables: Variables
    window_hours: int
    derive: tuple[str, ...]  # of variables.DERIVED
    normals: tuple[float, ...]  # for each variable, its value before the first measurement; a category's index
    mean: np.ndarray  # (features,), 0 where a column is not scaled
    std: np.ndarray  # (features,), 1 where a column is not scaled
    prevalence: float | None  # share of deaths among the stays of the training split; None: nobody knows
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
            forms.fit_keys(record, _FORM, optional={"scaled": bool})
            spec = cls(
                variables=Variables.from_dict(record["variables"]),
                window_hours=record["window_hours"],
                derive=tuple(record["derive"]),
                normals=tuple(record["normals"]),
                mean=np.array(record["mean"], np.float64),
                std=np.array(record["std"], np.float64),
                prevalence=record["prevalence"],
                scaled=record.get("scaled", True),
            )
            fault = spec._fault()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"The description of the inputs is broken ({error!r}).", "Make the file again.") from None
        if fault:
            raise InputError(f"The description of the inputs contradicts itself: {fault}.", "Make the file again.")
        return spec

    def _fault(self) -> str:
        if not len(self.mean) == len(self.std) == len(self.feature_names):
            return f"{len(self.mean)} means and {len(self.std)} deviations for {len(self.feature_names)} features"
        if len(self.normals) != len(self.variables):
            return f"{len(self.normals)} normal values for {len(self.variables)} variables"
        if not 1 <= self.window_hours <= MOST_HOURS:
            return f"a window of {self.window_hours} hours"
        if set(self.derive) - set(DERIVED):
            return f"derived columns {', '.join(self.derive)}"
        return "" if (self.std > 0).all() else "a standard deviation that is not above 0"


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
