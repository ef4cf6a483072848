"""grid: events -> an hourly grid of values and a mask, a chunk of stays at a time.

Comes in: the events of `Records`, a Parquet file. Goes out: for each chunk the value of each variable in each hour and
whether it was measured. Hour b holds what was measured in (b, b + 1] hours after admission; hour 0 also what was
measured at 0 (Harutyunyan et al. 2019, as its code runs).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mortcond.variables import Variables

TOLERANCE_HOURS = 1e-6


@dataclass(frozen=True)
class Grid:
    """The hours of a chunk of stays."""

    values: np.ndarray  # (stays, hours, variables) float64; 0 where nothing was measured
    mask: np.ndarray  # (stays, hours, variables) bool: measured in this hour

    def filled(self, normals: np.ndarray, carried: np.ndarray) -> np.ndarray:
        """Return the values with every gap filled: by the last value before it, else by the normal value.

        Parameters
        ----------
        normals
            (variables,) the value of each variable before its first measurement.
        carried
            (variables,) bool; a variable that is not carried forward (a sum) has its normal value in every gap.
        """
        hour = np.arange(self.mask.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(self.mask, hour, -1), axis=1)  # (stays, hours, variables); -1: none yet
        forward = np.take_along_axis(self.values, np.maximum(last, 0), axis=1)
        return np.where(self.mask | (carried & (last >= 0)), forward, normals)


def hourly(
    events: Path, stay_ids: np.ndarray, variables: Variables, window_hours: int, chunk_stays: int = 1024
) -> Iterator[Grid]:
    """Yield the grid of each chunk of `stay_ids` (sorted), in their order."""
    from mortcond.core.duckdb import duckdb  # here, as what is computed of a stay's hours needs none

    with duckdb.connect(config={"threads": 1, "memory_limit": "256MB"}) as connection:
        for start in range(0, len(stay_ids), chunk_stays):
            chunk = stay_ids[start : start + chunk_stays]
            yield gridded(chunk, _events(connection, events, chunk), variables, window_hours)


def gridded(stay_ids: np.ndarray, events: dict[str, np.ndarray], variables: Variables, window_hours: int) -> Grid:
    """Return the grid of some stays.

    Parameters
    ----------
    stay_ids
        (stays,) sorted.
    events
        stay_id, hours, variable, value: one array each; those of other stays and outside the window are left out.
    """
    stay = np.searchsorted(stay_ids, events["stay_id"])
    known = stay_ids[np.minimum(stay, len(stay_ids) - 1)] == events["stay_id"]
    hours = events["hours"]
    kept = known & (hours > -TOLERANCE_HOURS) & (hours < window_hours + TOLERANCE_HOURS)
    order = np.flatnonzero(kept)[np.argsort(hours[kept], kind="stable")]  # the last in an hour is written last
    hour = np.minimum((hours[order] - TOLERANCE_HOURS).astype(np.int64), window_hours - 1)
    place = (stay[order], hour, events["variable"][order])
    shape = (len(stay_ids), window_hours, len(variables))
    values, mask = np.zeros(shape), np.zeros(shape, bool)
    mask[place] = True
    summed = np.array([variable.aggregate == "sum" for variable in variables])[place[2]]
    last = tuple(index[~summed] for index in place)
    values[last] = events["value"][order][~summed]
    np.add.at(values, tuple(index[summed] for index in place), events["value"][order][summed])
    return Grid(values, mask)


def _events(connection, path: Path, chunk: np.ndarray) -> dict[str, np.ndarray]:
    from mortcond.tables.files import parquet_sql

    columns = "stay_id, hours, variable, value"
    sql = f"SELECT {columns} FROM {parquet_sql(path)} WHERE stay_id >= {chunk[0]} AND stay_id <= {chunk[-1]}"
    return connection.execute(sql).fetchnumpy()
