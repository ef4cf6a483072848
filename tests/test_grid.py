"""The hourly grid: bins, the last value of an hour, gaps."""

import json

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond.grid import gridded, hourly
from mortcond.variables import Variable, Variables

VARIABLES = Variables("test", "", (Variable("HR", "number"), Variable("Urine", "number", aggregate="sum")))


def grid_of(rows, stays=(1,), hours=48):
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    names, kinds = ("stay_id", "hours", "variable", "value"), ("i8", "f8", "i4", "f8")
    events = {name: np.array(list(values), kind) for name, values, kind in zip(names, columns, kinds, strict=True)}
    return gridded(np.array(stays), events, VARIABLES, hours)


def test_bins_equal_those_of_the_public_reference(test_data):
    expected = json.loads((test_data / "reference" / "boundary_bins.json").read_text())
    for hours, bin_ in expected.items():
        grid = grid_of([(1, float(hours), 0, 80)])
        assert np.flatnonzero(grid.mask[0, :, 0]).tolist() == [bin_], hours


@pytest.mark.parametrize("hours", [-1e-6, -0.1, 48.000001, 48.5, 1e9])
def test_outside_the_window(hours):
    assert not grid_of([(1, hours, 0, 80)]).mask.any()


def test_last_value_of_the_hour_whatever_the_order_of_rows():
    rows = [(1, 0.9, 0, 3.0), (1, 0.1, 0, 1.0), (1, 0.5, 0, 2.0)]
    assert grid_of(rows).values[0, 0, 0] == grid_of(rows[::-1]).values[0, 0, 0] == 3


def test_sums_within_the_hour():
    grid = grid_of([(1, 0.5, 1, 100.0), (1, 1.0, 1, 50.0), (1, 1.5, 1, 7.0)])
    assert grid.values[0, :3, 1].tolist() == [150, 7, 0]


def test_events_of_other_stays_are_left_out():
    grid = grid_of([(1, 0.5, 0, 80.0), (2, 0.5, 0, 99.0), (9, 0.5, 0, 99.0)], stays=(1, 5))
    assert grid.mask.sum() == 1


def test_gaps():
    grid = grid_of([(1, 1.5, 0, 80.0), (1, 3.5, 0, 95.0), (1, 1.5, 1, 100.0)], hours=6)
    filled = grid.filled(np.array([86.0, 0.0]), np.array([True, False]))
    assert filled[0, :, 0].tolist() == [86, 80, 80, 95, 95, 95]
    assert filled[0, :, 1].tolist() == [0, 100, 0, 0, 0, 0]


EVENTS = st.lists(st.tuples(st.integers(0, 48 * 3600), st.integers(0, 200)), max_size=40, unique_by=lambda e: e[0])


@given(EVENTS)
def test_as_the_reference_says_it(events):
    """The same by the plain words of the specification, one row after the other."""
    values, last = [86.0] * 48, 86.0
    measured = {}
    for seconds, value in sorted(events):
        measured[0 if seconds == 0 else (seconds - 1) // 3600] = float(value)
    for hour in range(48):
        last = measured.get(hour, last)
        values[hour] = last
    grid = grid_of([(1, seconds / 3600, 0, value) for seconds, value in events])
    assert grid.filled(np.array([86.0, 0.0]), np.array([True, False]))[0, :, 0].tolist() == values
    assert np.flatnonzero(grid.mask[0, :, 0]).tolist() == sorted(measured)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunks_do_not_matter(tmp_path, chunk):
    path = tmp_path / "events.parquet"
    rows = "SELECT 10 * (i % 7) AS stay_id, i / 3.0 AS hours, CAST(i % 2 AS INTEGER) AS variable, i * 1.0 AS value"
    duckdb.sql(f"{rows} FROM range(100) r(i) ORDER BY stay_id").write_parquet(str(path))
    stays = np.arange(0, 70, 10)
    whole = next(hourly(path, stays, VARIABLES, 48))
    parts = list(hourly(path, stays, VARIABLES, 48, chunk_stays=chunk))
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), whole.values)
    np.testing.assert_array_equal(np.concatenate([part.mask for part in parts]), whole.mask)
