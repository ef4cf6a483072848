"""Features, scaling, the input specification, and the data set on disk."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond import dataset
from mortcond.core.errors import InputError
from mortcond.dataset import Dataset, InputSpec, Split, mask_columns
from mortcond.dataset.features import Moments, scaled, scaling, unscaled
from mortcond.grid import Grid
from mortcond.variables import Variable, Variables, load

TABLE = Variables(
    "test",
    "0" * 64,
    (
        Variable("HR", "number", normal=86.0),
        Variable("Lactate", "number", normal=1.0, scale="log"),
        Variable("Eye", "category", normal="b", categories=("a", "b"), spellings=(("a",), ("b",))),
        Variable("sex", "static", categories=("F", "M"), spellings=(("F",), ("M",))),
        Variable("age", "static"),
    ),
)
STAYS = pd.DataFrame({"stay_id": [1, 2], "age": [70.0, np.nan], "sex": ["M", ""], "icu_type": ["MICU", ""]})


def spec_of(derive=(), scale=True, variables=TABLE) -> InputSpec:
    features = len(variables.columns(derive))
    normals = tuple(60.0 if v.normal_value is None else v.normal_value for v in variables)
    return InputSpec(variables, 48, derive, normals, np.zeros(features), np.ones(features), 0.1, scale)


def grid_of(**measured) -> Grid:
    """Two stays; measured: variable -> {(stay, hour): value}."""
    values, mask = np.zeros((2, 48, len(TABLE))), np.zeros((2, 48, len(TABLE)), bool)
    for name, cells in measured.items():
        for (stay, hour), value in cells.items():
            values[stay, hour, TABLE.names.index(name)] = value
            mask[stay, hour, TABLE.names.index(name)] = True
    return Grid(values, mask)


def columns_of(spec: InputSpec, grid: Grid) -> dict[str, np.ndarray]:
    X = unscaled(grid, STAYS, spec)
    return {name: X[:, :, i] for i, name in enumerate(spec.feature_names)}


# Features


def test_values_categories_and_masks():
    X = columns_of(spec_of(), grid_of(HR={(0, 1): 100.0}, Eye={(0, 2): 0}))
    assert X["HR"][0, :3].tolist() == [86, 100, 100]
    assert X["Eye->a"][0, :4].tolist() == [0, 0, 1, 1]
    assert X["Eye->b"][0, :4].tolist() == [1, 1, 0, 0]
    assert X["mask->HR"][0, :3].tolist() == [0, 1, 0]
    assert (X["HR"][1] == 86).all()


def test_facts_of_a_stay_are_the_same_in_every_hour():
    X = columns_of(spec_of(), grid_of())
    assert (X["static->age"][0] == 70).all()
    assert (X["static->age"][1] == 60).all()  # unknown: the normal value
    assert (X["static->sex->M"][0] == 1).all()
    assert (X["static->sex->F"] == 0).all()
    assert (X["static->sex->M"][1] == 0).all()


def test_derived_columns():
    X = columns_of(spec_of(("delta", "min", "max", "mean"), scale=False), grid_of(HR={(0, 2): 90.0, (0, 4): 60.0}))
    np.testing.assert_allclose(np.expm1(X["delta->HR"][0, :6]), [0, 1, 0, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(np.expm1(X["delta->HR"][1]), np.arange(48), atol=1e-9)
    assert X["min->HR"][0, :6].tolist() == [86, 86, 90, 90, 60, 60]
    assert X["max->HR"][0, :6].tolist() == [86, 86, 90, 90, 90, 90]
    assert X["mean->HR"][0, :6].tolist() == [86, 86, 90, 90, 75, 75]


def test_log_scale_comes_before_standardising_and_not_without_it():
    grid = grid_of(Lactate={(0, 0): 7.0})
    assert columns_of(spec_of(), grid)["Lactate"][0, 0] == np.log(8)
    assert columns_of(spec_of(("max",)), grid)["max->Lactate"][0, 0] == np.log(8)
    assert columns_of(spec_of(scale=False), grid)["Lactate"][0, 0] == 7


@given(st.integers(1, 9), st.integers(0, 1000))
def test_moments_do_not_depend_on_chunks(chunk, seed):
    X = np.random.default_rng(seed).normal(1000, 0.5, (20, 4, 3))
    moments = Moments(3)
    for start in range(0, 20, chunk):
        moments.add(X[start : start + chunk])
    np.testing.assert_allclose(moments.mean, X.reshape(-1, 3).mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, X.reshape(-1, 3).std(0), rtol=1e-9)


def test_a_column_that_never_changes_is_only_shifted():
    moments = Moments(1)
    moments.add(np.full((3, 2, 1), 81.1))
    assert moments.std.tolist() == [1]


def test_categories_and_masks_are_not_scaled():
    moments = Moments(len(TABLE.columns()))
    moments.add(np.random.default_rng(0).normal(5, 2, (30, 48, len(TABLE.columns()))))
    mean, std = scaling(moments, TABLE, ())
    is_scaled = [name in ("HR", "Lactate", "static->age") for name in TABLE.feature_names]
    np.testing.assert_array_equal(mean != 0, is_scaled)
    np.testing.assert_array_equal(std != 1, is_scaled)
    spec = replace(spec_of(), mean=mean, std=std)
    assert scaled(np.ones((1, 48, len(mean))), spec).dtype == np.float32


# The input specification


def test_spec_travels_through_json():
    spec = spec_of(("delta",))
    back = InputSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert back.to_dict() == spec.to_dict()
    assert back.variables == TABLE


@pytest.mark.parametrize("change", [{"mean": [0.0]}, {"variables": None}, {"window_hours": "x"}, {"derive": None}])
def test_a_broken_spec_is_refused(change):
    with pytest.raises(InputError, match="description of the inputs"):
        InputSpec.from_dict(spec_of().to_dict() | change)


def test_mask_columns():
    names = spec_of(("delta",)).feature_names
    masks = dict(zip(names, mask_columns(names), strict=True))
    assert masks["HR"] == masks["delta->HR"] == names.index("mask->HR")
    assert masks["Eye->a"] == masks["Eye->b"] == names.index("mask->Eye")
    assert masks["mask->HR"] == masks["static->age"] == masks["static->sex->F"] == -1
    paper = mask_columns(load("paper76").feature_names)
    assert paper[59:] == (-1,) * 17
    assert sorted(set(paper[:59])) == list(range(59, 76))


# On disk


def split_of(stays: int, features: int, seed: int = 0) -> Split:
    random = np.random.default_rng(seed)
    return Split(
        X=random.normal(size=(stays, 48, features)).astype(np.float32),
        y=random.integers(0, 2, stays).astype(np.uint8),
        stay_id=np.arange(stays),
        subject_id=np.arange(stays) + 100 * seed,
        age=np.full(stays, np.nan, np.float32),
        sex=np.array(["F", ""] * stays)[:stays],
        icu_type=np.array(["MICU"] * stays, "U8"),
    )


@pytest.fixture
def stored(tmp_path):
    splits = [split_of(n, 3, seed) for seed, n in enumerate((5, 2, 0))]
    data = Dataset(*splits, ("a", "b", "mask->a"), np.zeros(3), np.ones(3), {"source": "test", "prevalence": 0.1})
    dataset.save(tmp_path / "dataset.npz", data)
    return tmp_path / "dataset.npz", data


def test_what_is_saved_is_loaded(stored):
    path, data = stored
    back = dataset.load(path)
    assert back.feature_names == data.feature_names
    assert back.meta == data.meta
    assert back.path == path
    for name in dataset.SPLITS:
        for key, array in vars(data.split(name)).items():
            np.testing.assert_array_equal(getattr(back.split(name), key), array)


def test_it_opens_with_numpy_alone(stored):
    with np.load(stored[0], allow_pickle=False) as file:
        assert file["X_train"].dtype == np.float32
        assert file["y_train"].dtype == np.uint8
        assert file["stay_id_train"].dtype == file["subject_id_train"].dtype == np.int64
        assert json.loads(str(file["meta"]))["source"] == "test"


def test_the_same_data_give_the_same_bytes(stored, tmp_path):
    dataset.save(tmp_path / "again.npz", stored[1])
    assert (tmp_path / "again.npz").read_bytes() == stored[0].read_bytes()


def test_only_the_splits_asked_for_are_read(stored):
    data = dataset.load(stored[0], splits=("val",))
    assert data.train is None
    assert len(data.val) == 2
    with pytest.raises(InputError, match="has no split 'train'"):
        data.split("train")
    with pytest.raises(InputError, match="has no split 'dev'"):
        data.split("dev")


def test_no_data_set(tmp_path):
    with pytest.raises(InputError, match="There is no data set"):
        dataset.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", X=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", feature_names=np.array([{}], object))
    for name in ("text", "other", "pickled"):
        with pytest.raises(InputError, match=f"{name}.npz is no data set"):
            dataset.load(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(stored, share):
    content = stored[0].read_bytes()
    stored[0].write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="is no data set"):
        dataset.load(stored[0])


@pytest.mark.parametrize(
    "change",
    [
        {"X": np.zeros((5, 48, 9), np.float32)},
        {"X": np.zeros((4, 48, 3), np.float32)},
        {"X": np.full((5, 48, 3), np.nan, np.float32)},
        {"y": np.full(5, 2, np.uint8)},
    ],
)
def test_a_file_that_contradicts_itself(stored, change):
    path, data = stored
    dataset.save(path, replace(data, train=replace(data.train, **change)))
    with pytest.raises(InputError, match="is no data set"):
        dataset.load(path)
