"""Building a data set. Comes in: `Records` and the variables, or an existing specification. Goes out: `dataset.npz`.

The events are gone through twice, in chunks of stays: once over the training split for normal values and scaling, once
to write X. Memory stays the same however many stays there are.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.dataset import npz
from mortcond.dataset.features import Moments, chunks, scaled, scaling, unscaled
from mortcond.dataset.spec import InputSpec
from mortcond.tables import Records
from mortcond.tables.scan import connect, csv_sql, parquet_sql
from mortcond.variables import Variables

WINDOW_HOURS = 48


def fit_spec(
    records: Records, train: np.ndarray, variables: Variables, derive: tuple[str, ...], scale: bool, console: Console
) -> InputSpec:
    """Return the input specification whose normal values, scaling and prevalence come from the training stays alone.

    Parameters
    ----------
    train
        (stays,) bool: which of `records.stays` are in the training split.
    derive
        The derived columns, of variables.DERIVED.
    scale
        Whether X is to be standardised.

    Raises
    ------
    InputError
        There is no training stay.
    """
    stays = records.stays[train]
    if stays.empty:
        raise InputError(f"No stay of {len(train)} is in the training split.", "Add stays, or give a --split-file.")
    features = len(variables.columns(derive))
    spec = InputSpec(
        variables=variables,
        window_hours=WINDOW_HOURS,
        derive=derive,
        normals=normal_values(records.events, stays, variables),
        mean=np.zeros(features),
        std=np.ones(features),
        prevalence=float(stays.died.mean()),
        scaled=scale,
    )
    if not scale:
        return spec
    moments = Moments(features)
    with console.progress("Scaling", total=len(stays)) as bar:
        for chunk, grid in chunks(records.events, stays, spec):
            moments.add(unscaled(grid, chunk, spec))
            bar.advance(len(chunk))
    mean, std = scaling(moments, variables, derive)
    return replace(spec, mean=mean, std=std)


def normal_values(events: Path, train: pd.DataFrame, variables: Variables) -> tuple[float, ...]:
    """Return the value of each variable before its first measurement: the table's, else the training stays' median.

    A variable that no training stay ever measured gets 0.
    """
    wanted = [i for i in variables.measured if variables[i].normal_value is None]
    medians = _medians(events, train.stay_id.to_numpy(), wanted) if wanted else {}
    for index, variable in enumerate(variables):
        if variable.kind == "static" and not variable.categories:
            medians[index] = float(np.nan_to_num(train[variable.name].median()))
    known = (variable.normal_value for variable in variables)
    return tuple(medians.get(i, 0.0) if value is None else float(value) for i, value in enumerate(known))


def write(
    path: Path,
    records: Records,
    split: np.ndarray,
    spec: InputSpec,
    console: Console,
    finish: Callable[[np.ndarray], dict[str, Any]],
) -> None:
    """Write the data set.

    Parameters
    ----------
    split
        (stays,) the name of the split of each of `records.stays`.
    finish
        Called with (variables,) hours measured over all stays, returns `meta`.
    """
    measured = np.zeros(len(spec.variables), np.int64)
    with npz.writer(path) as file, console.progress("Writing", total=len(split)) as bar:
        for name in npz.SPLITS:
            stays = records.stays[split == name]
            shape = (len(stays), spec.window_hours, len(spec.columns))
            npz.write_x(file, name, shape, _X(records.events, stays, spec, measured, bar))
            npz.write_stays(file, name, _per_stay(stays))
        _write_dropped(file, records.dropped)
        npz.write_common(file, spec.feature_names, spec.mean, spec.std, finish(measured))


def _X(events: Path, stays: pd.DataFrame, spec: InputSpec, measured: np.ndarray, bar) -> Iterator[np.ndarray]:
    for chunk, grid in chunks(events, stays, spec):
        measured += grid.mask.sum(axis=(0, 1))
        yield scaled(unscaled(grid, chunk, spec), spec)
        bar.advance(len(chunk))


def _per_stay(stays: pd.DataFrame) -> dict[str, Any]:
    arrays = {name: stays[name].to_numpy() for name in ("stay_id", "subject_id", "age", "sex", "icu_type")}
    return arrays | {"y": stays.died.to_numpy()}


def _write_dropped(file: zipfile.ZipFile, dropped: pd.DataFrame) -> None:
    npz.write_array(file, "dropped_stay_id", dropped.stay_id.to_numpy(np.int64))
    npz.write_array(file, "dropped_reason", dropped.reason.to_numpy().astype("U"))


def _medians(events: Path, stay_ids: np.ndarray, wanted: list[int]) -> dict[int, float]:
    """Return the median of all measurements of each wanted variable in the given stays."""
    train = pd.DataFrame({"stay_id": stay_ids})
    listed = events.with_name("train_stays.csv")
    train.to_csv(listed, index=False)
    sql = f"""
        SELECT e.variable, median(e.value) FROM {parquet_sql(events)} e
        JOIN {csv_sql(listed, {"stay_id": "BIGINT"})} t ON t.stay_id = e.stay_id
        WHERE e.variable IN ({", ".join(map(str, wanted))}) AND e.hours >= 0 AND e.hours <= {WINDOW_HOURS}
        GROUP BY e.variable
    """
    with connect(events.parent, memory_limit="500MB", threads=1) as connection:
        return dict(connection.execute(sql).fetchall())
