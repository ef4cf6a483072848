"""Drift of the inputs: what is measured how often, medians in units, shifts in standard deviations."""

from dataclasses import replace

import numpy as np
import pytest
from test_folds import dataset

from mortcond.measure import drift
from mortcond.measure.records import plain


def test_the_same_stays_do_not_drift():
    data = dataset()
    rows = drift.shifts(data, data.train, data.train)
    assert {row.variable for row in rows} == {"Lactate", "Heart Rate", "Urine output", "age"}
    assert all(row.shift == 0 and not row.large for row in rows)
    assert drift.in_words(plain(rows)) is None


def test_a_shift_is_told_in_standard_deviations_and_units():
    data = dataset()
    names = list(data.feature_names)
    heart = names.index("Heart Rate")
    X = data.test.X.copy()
    X[:, :, heart] += 2.0  # two of the old standard deviations, of 7 beats each
    rows = drift.shifts(data, replace(data.test, X=X), data.train)
    assert rows[0].variable == "Heart Rate"
    assert rows[0].shift == pytest.approx(2, abs=0.3)
    assert rows[0].median - rows[0].median_then == pytest.approx(14, abs=3)
    assert rows[0].large
    said = drift.in_words(plain(rows))
    assert "Heart Rate (+" in said
    assert "no sign of lost accuracy" in said


def test_what_is_measured_less_often_is_told_also_where_its_mean_stays():
    data = dataset()
    mask = list(data.feature_names).index("mask->Lactate")
    X = data.test.X.copy()
    X[:, 2:, mask] = 0
    row = next(r for r in drift.shifts(data, replace(data.test, X=X), data.train) if r.variable == "Lactate")
    assert row.measured < 0.2 < row.measured_then
    assert row.large
    assert "Lactate (measured in" in drift.in_words(plain([replace(row, shift=0.0)]))


def test_columns_that_are_not_scaled_are_held_against_their_own_spread():
    """In units a shift of 2 beats is no shift of 2 deviations; without the training stays it is not known."""
    data = dataset()
    heart = list(data.feature_names).index("Heart Rate")
    unscaled = replace(data, meta=data.meta | {"inputs": data.meta["inputs"] | {"scaled": False}})
    scale = np.ones(data.train.X.shape[2], np.float32)
    scale[heart] = 7.0
    then = replace(data.train, X=data.train.X * scale)
    moved = replace(then, X=then.X + np.eye(len(scale), dtype=np.float32)[heart] * 2.0)
    row = next(r for r in drift.shifts(unscaled, moved, then) if r.variable == "Heart Rate")
    assert row.shift == pytest.approx(2.0 / then.X[:, :, heart].std(), rel=1e-3)
    assert next(r for r in drift.shifts(unscaled, moved, None) if r.variable == "Heart Rate").shift is None


def test_a_logarithmic_variable_has_its_median_in_its_unit():
    data = dataset()
    row = next(r for r in drift.shifts(data, data.test, None) if r.variable == "Lactate")
    assert 3 < row.median < 7  # drawn from 1 to 9
    assert (row.measured_then, row.median_then) == (None, None)


def test_a_data_set_that_does_not_describe_itself_gives_no_rows():
    data = dataset()
    assert drift.shifts(replace(data, meta={}), data.test, None) == []
    empty = replace(data.test, **{name: getattr(data.test, name)[:0] for name in data.test.__dataclass_fields__})
    assert drift.shifts(data, empty, None) == []
    assert np.isfinite([row.shift for row in drift.shifts(data, data.test, data.train)]).all()
