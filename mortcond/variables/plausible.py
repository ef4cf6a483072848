"""Values that no patient has, where a table of variables gives no plausible range: found by the ranges of `extended`.

Comes in: variables, and events or the X of a model. Goes out: for which of them there is a range to compare with, and
what of a stay lies outside. Such values count, as in the public benchmark; nobody should overlook them.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from mortcond.variables.cleaning import examine
from mortcond.variables.table import Variable, Variables, load

RANGED = "extended"
TOLERANCE = 1e-4  # of a range, for what float32 and 7 digits of the scaling lose


def ranges(variables: Variables) -> dict[int, Variable]:
    """Return for each number without a range of its own the variable of `extended` with one, of that name and unit."""
    known = _ranged()
    found = {i: known.get((variables[i].name, variables[i].unit)) for i in variables.measured}
    without = {i: other for i, other in found.items() if variables[i].low is None and variables[i].high is None}
    return {i: other for i, other in without.items() if other is not None and variables[i].kind == "number"}


def treatment(ranged: Variable, value: float) -> str:
    """Say what `extended` makes of a value outside its range."""
    read = examine(ranged, repr(value)).value
    return f"{RANGED} leaves it out" if read is None else f"{RANGED} reads it as {read:g}"


def shown(value: float) -> str:
    """Return a value for a message, with the digits that a chart has."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.4g}"


@cache
def _ranged() -> dict[tuple[str, str], Variable]:
    table = (variable for variable in load(RANGED) if variable.kind == "number")
    return {(v.name, v.unit): v for v in table if v.low is not None and v.high is not None}


@dataclass(frozen=True)
class Doubts:
    """The columns of X that can be compared with a range, k of them."""

    names: tuple[str, ...]
    ranged: tuple[Variable, ...]
    columns: np.ndarray  # (k,) of the values
    masks: np.ndarray  # (k,) of their masks
    mean: np.ndarray  # (k,)
    std: np.ndarray  # (k,)
    logged: np.ndarray  # (k,) bool: log(1 + value) before it was scaled
    margin: float  # of the range's width, by which a value may lie outside

    @classmethod
    def of(
        cls, variables: Variables, derive: tuple[str, ...], mean, std, scaled: bool, margin: float = 0.0
    ) -> "Doubts":
        """Return what can be compared in X as `variables.columns(derive)` order it; mean and std of all columns."""
        found, columns = ranges(variables), variables.columns(derive)
        values = {c.variable: place for place, c in enumerate(columns) if c.part == "value" and c.variable in found}
        masks = {c.variable: place for place, c in enumerate(columns) if c.part == "mask"}
        places = np.array(list(values.values()), int)
        return cls(
            names=tuple(variables[i].name for i in values),
            ranged=tuple(replace(found[i]) for i in values),
            columns=places,
            masks=np.array([masks[i] for i in values], int),
            mean=np.asarray(mean, float)[places],
            std=np.asarray(std, float)[places],
            logged=np.array([scaled and variables[i].scale == "log" for i in values], bool),
            margin=margin,
        )

    def of_stays(self, x: np.ndarray) -> list[str]:
        """Return for each stay what lies outside, "" where nothing does; x: (stays, hours, features), scaled."""
        values = x[:, :, self.columns].astype(float) * self.std + self.mean  # (stays, hours, k)
        values = np.where(self.logged, np.expm1(np.minimum(values, 700)), values)
        low = np.array([variable.low for variable in self.ranged])
        high = np.array([variable.high for variable in self.ranged])
        slack = (TOLERANCE + self.margin) * (high - low) + TOLERANCE * self.std
        outside = ((values < low - slack) | (values > high + slack)) & (x[:, :, self.masks] > 0.5)
        return [self._told(values[stay], outside[stay]) if outside[stay].any() else "" for stay in range(len(x))]

    def _told(self, values: np.ndarray, outside: np.ndarray) -> str:
        told = []
        for k in np.flatnonzero(outside.any(axis=0)):
            worst = float(max(values[outside[:, k], k], key=abs))
            variable = self.ranged[k]
            told.append(f"{self.names[k]} {shown(worst)} is outside {variable.low:g} to {variable.high:g}")
        return "; ".join(told)
