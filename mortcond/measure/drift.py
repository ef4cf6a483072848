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
    shift: float | None  # of its column's mean, in standard deviations of the training stays; None: they are not known
    large: bool


def shifts(now: Dataset, split: Split, then: Split | None) -> list[Shift]:
    """Return a row for each number, the largest shift first; none where the data set does not describe its columns.

    Parameters
    ----------
    now, split
        The data set that is measured, and the split of it.
    then
        The training split of the older data set, prepared alike; None: not at hand. The shift of a scaled column needs
        it not: in training that has mean 0 and standard deviation 1.
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
    return sorted(found, key=lambda row: -abs(row.shift or 0.0))


def _shift(spec: InputSpec, place: int, mask: int, split: Split, then: Split | None) -> Shift:
    variable = spec.variables[spec.columns[place].variable]
    measured, median = _seen(spec, place, mask, split)
    measured_then, median_then = _seen(spec, place, mask, then) if then is not None else (None, None)
    shift = _in_deviations(spec, place, split, then)
    rare = measured_then is not None and max(measured, measured_then) > SHARE * min(measured, measured_then)
    large = rare or abs(shift or 0.0) > LARGE
    return Shift(variable.name, variable.unit, measured, measured_then, median, median_then, shift, large)


def _in_deviations(spec: InputSpec, place: int, split: Split, then: Split | None) -> float | None:
    """Return how far a column's mean lies from that in training, in standard deviations of training."""
    own = float(split.X[:, :, place].mean(dtype=np.float64))
    scaled = spec.scaled and spec.columns[place].scaled
    if then is None or not len(then):
        return own if scaled else None
    old = then.X[:, :, place]
    deviation = 1.0 if scaled else float(old.std(dtype=np.float64))
    return (own - float(old.mean(dtype=np.float64))) / deviation if deviation else None


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


def _how(row: Any) -> str:
    """Say how a variable differs: by its mean, else by how often it is measured."""
    if row["shift"] is not None and abs(row["shift"]) > LARGE:
        return f"{row['shift']:+.2f} SD"
    return f"measured in {100 * row['measured']:.0f} % of hours, in training in {100 * row['measured_then']:.0f} %"


def in_words(rows: list[Any]) -> str | None:
    """Name the variables that differ most, in a sentence; None where none differs much. rows: as in results.json."""
    large = [row for row in rows if row["large"]]
    if not large:
        return None
    named = ", ".join(f"{row['variable']} ({_how(row)})" for row in large[:4])
    more = f" and {len(large) - 4} more" if len(large) > 4 else ""
    differ = f"These stays are not like the training stays in {named}{more} of {len(rows)} variables"
    return f"{differ}. That alone is no sign of lost accuracy: the scores on these stays tell what it did."
