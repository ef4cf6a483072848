"""Features: a grid -> the columns of X. Comes in: a grid and the facts of its stays. Goes out: X, scaled or not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mortcond.dataset.spec import InputSpec
from mortcond.grid import Grid, hourly
from mortcond.variables import Column, Variables

CHUNK_STAYS = 512  # some 20 MB of float64 a chunk with 76 features


def chunks(
    events: Path, stays: pd.DataFrame, spec: InputSpec, chunk_stays: int = CHUNK_STAYS
) -> Iterator[tuple[pd.DataFrame, Grid]]:
    """Yield the stays and the grid of each chunk of `stays`, which are sorted by stay_id."""
    grids = hourly(events, stays.stay_id.to_numpy(), spec.variables, spec.window_hours, chunk_stays)
    for start, grid in zip(range(0, len(stays), chunk_stays), grids, strict=True):
        yield stays.iloc[start : start + chunk_stays], grid


def unscaled(grid: Grid, stays: pd.DataFrame, spec: InputSpec) -> np.ndarray:
    """Return (stays, hours, features) float64 in the units of the table of variables, gaps filled.

    stays: the stays of the grid, in its order, with the columns age, sex, icu_type of `Records.stays`.
    """
    parts = _Parts(grid, stays, spec)
    X = np.empty((*grid.mask.shape[:2], len(spec.columns)))
    for index, column in enumerate(spec.columns):
        X[:, :, index] = parts.of(column)
    return X


def scaled(X: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Return X in float32 as a model reads it: standardised; categories and masks as they are."""
    return ((X - spec.mean) / spec.std).astype(np.float32)


class _Parts:
    """The parts of a grid from which columns are taken; each is computed once, when a column first asks for it."""

    def __init__(self, grid: Grid, stays: pd.DataFrame, spec: InputSpec):
        self.grid, self.stays, self.spec = grid, stays, spec
        self.normals = np.array(spec.normals, np.float64)
        self.carried = np.array([variable.aggregate == "last" for variable in spec.variables])
        self.computed: dict[str, np.ndarray] = {}

    def of(self, column: Column) -> np.ndarray:
        """Return the (stays, hours) of a column; a static one (stays, 1)."""
        if column.part == "static":
            return self._static(column)[:, None]
        if column.part not in self.computed:
            self.computed[column.part] = _PARTS[column.part](self)
        values = self.computed[column.part][:, :, column.variable]
        if column.category >= 0:
            return values == column.category
        return self._logged(column, values)

    def _static(self, column: Column) -> np.ndarray:
        variable = self.spec.variables[column.variable]
        facts = self.stays[variable.name]
        if column.category >= 0:
            return (facts.map(variable.category_index) == column.category).to_numpy()
        return self._logged(column, facts.fillna(self.normals[column.variable]).to_numpy())

    def _logged(self, column: Column, values: np.ndarray) -> np.ndarray:
        log = self.spec.scaled and self.spec.variables[column.variable].scale == "log"
        return np.log1p(np.maximum(values, 0)) if log and column.scaled and column.part != "delta" else values

    def value(self) -> np.ndarray:
        return self.grid.filled(self.normals, self.carried)

    def mask(self) -> np.ndarray:
        return self.grid.mask

    def delta(self) -> np.ndarray:
        """log(1 + hours since the last measurement), before the first since admission, at most the window."""
        hour = np.arange(self.spec.window_hours)[:, None]
        last = np.maximum.accumulate(np.where(self.grid.mask, hour, 0), axis=1)
        return np.log1p(hour - last)

    def min(self) -> np.ndarray:
        return self._running(np.minimum, np.inf)

    def max(self) -> np.ndarray:
        return self._running(np.maximum, -np.inf)

    def mean(self) -> np.ndarray:
        total = np.cumsum(np.where(self.grid.mask, self.grid.values, 0), axis=1)
        count = np.cumsum(self.grid.mask, axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), self.normals)

    def _running(self, extreme: np.ufunc, neutral: float) -> np.ndarray:
        running = extreme.accumulate(np.where(self.grid.mask, self.grid.values, neutral), axis=1)
        return np.where(np.isfinite(running), running, self.normals)


_PARTS: dict[str, Callable[[_Parts], np.ndarray]] = {
    "value": _Parts.value,
    "mask": _Parts.mask,
    "delta": _Parts.delta,
    "min": _Parts.min,
    "max": _Parts.max,
    "mean": _Parts.mean,
}


class Moments:
    """Mean and standard deviation of each column, chunk by chunk (Chan, Golub and LeVeque 1979)."""

    def __init__(self, features: int):
        self.count, self.mean, self.squares = 0, np.zeros(features), np.zeros(features)

    def add(self, X: np.ndarray) -> None:
        """Take in (stays, hours, features)."""
        rows = X.reshape(-1, X.shape[2])
        count, mean = len(rows), rows.mean(axis=0)
        difference, total = mean - self.mean, self.count + count
        self.squares += ((rows - mean) ** 2).sum(axis=0) + difference**2 * self.count * count / total
        self.mean += difference * count / total
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """(features,), 1 where a column never changes."""
        std = np.sqrt(self.squares / max(self.count, 1))
        return np.where(std > 1e-9 * np.maximum(1, np.abs(self.mean)), std, 1.0)


def scaling(moments: Moments, variables: Variables, derive: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and std of the columns that are scaled, 0 and 1 for categories and masks.

    They have 7 significant digits, as many as float32: a model's file carries them along, and every X is scaled with
    the very same ones.
    """
    wanted = np.array([column.scaled for column in variables.columns(derive)])
    mean, std = np.where(wanted, moments.mean, 0.0), np.where(wanted, moments.std, 1.0)
    return np.array([significant(value) for value in mean]), np.array([significant(value) for value in std])


def significant(value: float) -> float:
    return float(f"{value:.7g}")
