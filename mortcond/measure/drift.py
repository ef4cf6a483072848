"""Drift: how the stays that are measured differ from those that a network learned from, variable by variable.

Comes in: two data sets of the same columns; of the older one only its description where its stays are not at hand. Goes
out: a row a variable: the share of hours in which it was measured and its median there, then and now, and how far its
mean lies from the old one in old standard deviations.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.dataset import Dataset, InputSpec, Split
from mortcond.dataset.spec import mask_columns

LARGE = 0.25  # of a standard deviation: a difference that balance tables call large (Stuart 2010)
SHARE = 2.0  # times as often, or as rarely, measured


@dataclass(frozen=True)
class Shift:
    """One variable, then (where it was learned from) and now."""

    variable: str
    unit: str
    measured: float | None  # share of the hours; None: it has no mask column
    measured_then: float | None  # None: not known
    median: float | None  # over the hours in which it was measured, in its unit; None: never measured
    median_then: float | None
    shift: float  # of the mean of its column, in standard deviations of the training stays
    large: bool


def shifts(now: Dataset, split: Split, then: Split | None) -> list[Shift]:
    """Return a row for each number, the largest shift first; none where the data set does not describe its columns.

    Parameters
    ----------
    now, split
        The data set that is measured, and the split of it.
    then
        The training split of the older data set, scaled alike; None: not at hand. The shift needs it not: scaled
        training columns have mean 0.
    """
    record = now.meta.get("inputs")
    if not record or not len(split):
        return []
    spec, masks = InputSpec.from_dict(record), mask_columns(now.feature_names)
    found = []
    for place, column in enumerate(spec.columns):
        variable = spec.variables[column.variable]
        if column.part in ("value", "static") and column.category < 0 and not variable.categories:
            found.append(_shift(spec, place, masks[place], split, then))
    return sorted(found, key=lambda row: -abs(row.shift))


def _shift(spec: InputSpec, place: int, mask: int, split: Split, then: Split | None) -> Shift:
    variable = spec.variables[spec.columns[place].variable]
    measured, median = _seen(spec, place, mask, split)
    measured_then, median_then = _seen(spec, place, mask, then) if then is not None else (None, None)
    mean_then = float(then.X[:, :, place].mean(dtype=np.float64)) if then is not None else 0.0
    shift = float(split.X[:, :, place].mean(dtype=np.float64)) - mean_then
    rare = measured_then is not None and max(measured, measured_then) > SHARE * min(measured, measured_then)
    return Shift(
        variable.name, variable.unit, measured, measured_then, median, median_then, shift, abs(shift) > LARGE or rare
    )


def _seen(spec: InputSpec, place: int, mask: int, split: Split) -> tuple[float | None, float | None]:
    """Return the share of hours in which a column's variable was measured, and its median there in its unit."""
    values = split.X[:, :, place]
    if mask < 0:
        return None, _in_units(spec, place, float(np.median(values[:, 0])))
    known = split.X[:, :, mask] > 0
    median = _in_units(spec, place, float(np.median(values[known]))) if known.any() else None
    return float(known.mean()), median


def _in_units(spec: InputSpec, place: int, value: float) -> float:
    raw = value * spec.std[place] + spec.mean[place]
    column = spec.columns[place]
    log = spec.scaled and spec.variables[column.variable].scale == "log" and column.scaled
    return float(np.expm1(raw)) if log else float(raw)


def in_words(rows: list[Any]) -> str | None:
    """Name the variables that differ most, in a sentence; None where none differs much. rows: as in results.json."""
    large = [row for row in rows if row["large"]]
    if not large:
        return None
    named = ", ".join(f"{row['variable']} ({row['shift']:+.2f} SD)" for row in large[:4])
    more = f" and {len(large) - 4} more" if len(large) > 4 else ""
    return f"Inputs differ from the training stays: {named}{more} of {len(rows)} variables."
