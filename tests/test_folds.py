"""Folds of a data set: by patient, and with everything that is learnt learnt from the training part."""

from dataclasses import replace

import numpy as np
import pytest

from mortcond.core.errors import InputError
from mortcond.dataset import Dataset, InputSpec, Split, folds
from mortcond.variables.table import Variable, Variables

HOURS = 4
TABLE = Variables(
    "own",
    "0",
    (
        Variable("Lactate", "number", scale="log"),
        Variable("Heart Rate", "number", normal=80.0),
        Variable("Urine output", "number", aggregate="sum"),
        Variable("age", "static"),
    ),
)
DERIVE = ("max",)


def dataset(stays: int = 240) -> Dataset:
    """Return a data set of which half of the lactates and some ages are unknown; its own scaling is far off."""
    rng = np.random.default_rng(0)
    columns = TABLE.columns(DERIVE)
    place = {column.name: index for index, column in enumerate(columns)}
    X = np.zeros((stays, HOURS, len(columns)))
    measured = rng.random((stays, HOURS)) < 0.3
    lactate = np.log1p(rng.uniform(1, 9, (stays, HOURS)))
    last = np.maximum.accumulate(np.where(measured, np.arange(HOURS), -1), axis=1)
    X[:, :, place["Lactate"]] = np.where(last >= 0, np.take_along_axis(lactate, np.maximum(last, 0), 1), 5.0)
    X[:, :, place["max->Lactate"]] = np.where(last >= 0, np.maximum.accumulate(np.where(measured, lactate, 0), 1), 5.0)
    X[:, :, place["mask->Lactate"]] = measured
    X[:, :, place["Heart Rate"]] = rng.normal(80, 10, (stays, HOURS))
    X[:, :, place["mask->Heart Rate"]] = 1
    poured = rng.random((stays, HOURS)) < 0.5
    X[:, :, place["Urine output"]] = np.where(poured, 100.0, -50.0)
    X[:, :, place["mask->Urine output"]] = poured
    age = np.where(rng.random(stays) < 0.2, np.nan, rng.uniform(20, 90, stays)).astype(np.float32)
    X[:, :, place["static->age"]] = np.where(np.isnan(age), 5.0, age)[:, None]
    scaled = np.array([column.scaled for column in columns])
    mean, std = np.where(scaled, 3.0, 0.0), np.where(scaled, 7.0, 1.0)
    spec = InputSpec(TABLE, HOURS, DERIVE, (9.0, 80.0, 9.0, 5.0), mean, std, 0.25)
    X = ((X - mean) / std).astype(np.float32)
    died = (rng.random(stays) < 0.25).astype(np.uint8)
    ids, nobody = np.arange(stays), np.full(stays, "")
    whole = Split(X, died, ids, ids // 2, age, nobody, nobody)
    cut = {"train": slice(0, 160), "val": slice(160, 200), "test": slice(200, stays)}
    parts = {n: Split(**{k: getattr(whole, k)[rows] for k in Split.__dataclass_fields__}) for n, rows in cut.items()}
    meta = {"inputs": spec.to_dict(), "prevalence": 0.25}
    return Dataset(**parts, feature_names=spec.feature_names, mean=mean, std=std, meta=meta)


@pytest.fixture
def everything() -> folds.Whole:
    return folds.whole(dataset())


def parts_of(everything: folds.Whole, fold: int = 0) -> Dataset:
    number = folds.assign(everything.stays.y, everything.stays.subject_id, 4, 0)
    return folds.cut(everything, number, fold, 0)


def test_all_stays_are_there_once_in_their_order(everything):
    assert everything.stays.stay_id.tolist() == list(range(240))


def test_a_patient_is_in_one_fold_and_deaths_are_spread(everything):
    stays = everything.stays
    number = folds.assign(stays.y, stays.subject_id, 4, 0)
    assert set(number) == {0, 1, 2, 3}
    assert all(len(set(number[stays.subject_id == patient])) == 1 for patient in set(stays.subject_id))
    shares = [stays.y[number == fold].mean() for fold in range(4)]
    assert max(shares) - min(shares) < 0.05
    assert (number != folds.assign(stays.y, stays.subject_id, 4, 1)).any()


def test_a_fold_holds_every_stay_once_and_no_patient_twice(everything):
    data = parts_of(everything)
    ids = [set(getattr(data, name).subject_id.tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 120
    assert sum(len(getattr(data, name)) for name in ("train", "val", "test")) == 240


def test_scaling_is_that_of_the_training_part(everything):
    data = parts_of(everything)
    names = list(data.feature_names)
    scaled = [names.index(name) for name in ("Lactate", "Heart Rate", "max->Lactate", "static->age")]
    X = data.train.X[:, :, scaled].astype(np.float64)
    assert X.mean(axis=(0, 1)) == pytest.approx(np.zeros(4), abs=1e-5)
    assert X.std(axis=(0, 1)) == pytest.approx(np.ones(4), abs=1e-4)
    assert set(np.unique(data.train.X[:, :, names.index("mask->Lactate")])) == {0, 1}
    heart = names.index("Heart Rate")
    raw = data.test.X[:, :, heart] * data.std[heart] + data.mean[heart]  # in units again
    original = everything.stays.X[data.test.stay_id][:, :, heart] * 7 + 3
    assert raw == pytest.approx(original, abs=1e-3)


def test_normal_values_are_the_training_parts_own(everything):
    data = parts_of(everything)
    names = list(data.feature_names)
    value, largest, mask = (names.index(name) for name in ("Lactate", "max->Lactate", "mask->Lactate"))
    train = data.train.X.astype(np.float64)
    median = np.median(train[:, :, value][train[:, :, mask] > 0])
    for part in (data.train, data.val, data.test):
        unseen = np.maximum.accumulate(part.X[:, :, mask], axis=1) == 0
        assert unseen.any()
        assert part.X[:, :, value][unseen] == pytest.approx(np.full(unseen.sum(), median), abs=1e-5)
        same = median * data.std[value] + data.mean[value]
        filled = part.X[:, :, largest][unseen].astype(np.float64) * data.std[largest] + data.mean[largest]
        assert filled == pytest.approx(np.full(unseen.sum(), same), abs=1e-4)
    urine, poured = names.index("Urine output"), names.index("mask->Urine output")
    gaps = data.test.X[:, :, poured] == 0  # a sum is not carried on: every gap has the normal value
    assert len(np.unique(data.test.X[:, :, urine][gaps])) == 1
    age = names.index("static->age")
    known = train[~np.isnan(data.train.age), 0, age]
    assert data.test.X[np.isnan(data.test.age), :, age] == pytest.approx(np.median(known), abs=1e-5)


def test_nothing_of_the_held_out_stays_reaches_the_training_part(everything):
    before = parts_of(everything)
    X = everything.stays.X.copy()
    X[before.test.stay_id] *= 50
    after = parts_of(replace(everything, stays=replace(everything.stays, X=X)))
    assert np.array_equal(before.train.X, after.train.X)
    assert np.array_equal(before.val.X, after.val.X)
    assert not np.array_equal(before.test.X, after.test.X)


def test_a_fold_without_validation_learns_from_all_others(everything):
    number = folds.assign(everything.stays.y, everything.stays.subject_id, 4, 0)
    data = folds.cut(everything, number, 0, 0, validation=False)
    assert set(data.train.stay_id) == set(np.flatnonzero(number != 0))
    assert len(data.val) == 0
    assert data.train.X[:, :, 0].mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)


def test_all_stays_are_scaled_by_all_and_their_data_set_says_how():
    data = dataset()
    found = folds.all_stays(data)
    assert (len(found.train), len(found.val), len(found.test)) == (240, 0, 0)
    names = list(found.feature_names)
    heart = names.index("Heart Rate")
    raw = np.concatenate([part.X for part in (data.train, data.val, data.test)])[:, :, heart] * 7.0 + 3.0
    assert (found.mean[heart], found.std[heart]) == pytest.approx((raw.mean(), raw.std()), rel=1e-5)
    assert found.train.X[:, :, heart] == pytest.approx((raw - raw.mean()) / raw.std(), abs=1e-4)
    spec = InputSpec.from_dict(found.meta["inputs"])
    assert np.array_equal(spec.mean, found.mean)
    assert np.array_equal(spec.std, found.std)
    assert spec.normals == InputSpec.from_dict(data.meta["inputs"]).normals
    assert spec.prevalence == found.meta["prevalence"] == found.train.y.mean()
    assert found.meta["split_rule"] == "every stay in train"


def test_validation_stays_decide_no_scaling(everything):
    before = parts_of(everything)
    X = everything.stays.X.copy()
    X[before.val.stay_id] *= 50
    assert np.array_equal(before.train.X, parts_of(replace(everything, stays=replace(everything.stays, X=X))).train.X)


def test_a_data_set_without_a_table_of_variables_is_scaled_anew():
    data = dataset()
    bare = folds.whole(replace(data, meta={"prevalence": 0.2}))
    assert parts_of(bare).train.X[:, :, 0].mean() == pytest.approx(0, abs=1e-5)


def test_too_few_deaths_for_the_folds_are_refused():
    died = np.zeros(100, np.uint8)
    died[:7] = 1
    with pytest.raises(InputError, match=r"7 deaths are too few for 5 folds"):
        folds.assign(died, np.arange(100), 5, 0)
