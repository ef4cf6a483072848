"""What no patient has is told, with its stay, by every command that reads records; with extended it is left out."""

import numpy as np
import pytest
from table_forms import prepare

from mortcond.variables import load
from mortcond.variables.plausible import ranges

HEAD = "stay_id,hours,variable,value\n"


def folder_of(tmp_path, rows: str = "", ages: dict[int, object] | None = None):
    folder = tmp_path / "in"
    folder.mkdir()
    events = "".join(f"{s},{h}.5,Heart Rate,{70 + s + h % 7}\n" for s in range(1, 9) for h in range(0, 48, 3))
    (folder / "events.csv").write_text(HEAD + events + rows)
    known = dict.fromkeys(range(1, 9), 60) | (ages or {})
    listed = "".join(f"{s},{s},{s % 2},{age},{'train' if s < 6 else 'test'}\n" for s, age in known.items())
    (folder / "stays.csv").write_text("stay_id,subject_id,died,age,split\n" + listed)
    return folder


def test_which_variables_have_a_range_to_compare_with():
    table = load("paper76")
    assert {table[i].name for i in ranges(table)} == {variable.name for variable in table if variable.kind == "number"}
    assert ranges(load("extended")) == {}


def test_a_value_far_out_is_warned_of_and_named(tmp_path):
    folder = folder_of(tmp_path, "3,1,Heart Rate,9999999\n3,2,Heart Rate,0\n4,2,pH,735\n5,60,Heart Rate,7777\n")
    result, _ = prepare(folder, tmp_path / "w")
    told = next(text for text in result["warnings"] if "plausible ranges" in text)
    assert (
        "Heart Rate: 2 values of 1 stay outside 10 to 350 1/min, such as 9,999,999 in stay 3 (extended leaves it"
        in told
    )
    assert "pH: 1 value of 1 stay outside 6.5 to 8, such as 735 in stay 4 (extended reads it as 7.35)" in told
    assert "7,777" not in told  # after the window
    result, data = prepare(folder, tmp_path / "w", variables="extended")
    assert not any("plausible ranges" in text for text in result["warnings"])
    assert any(
        "Heart Rate: 3 implausible values (outside 10 to 350 1/min) left out" in note for note in result["notes"]
    )
    assert data.train.X[:, :, data.feature_names.index("Heart Rate")].max() < 100


@pytest.mark.parametrize("value", ["1.7976931348623157e+308", "-1e39", "1e400", "4e15"])
@pytest.mark.parametrize("scale", [True, False])
def test_a_value_beyond_float32_never_comes_into_a_data_set(tmp_path, value, scale):
    plain, _ = prepare(folder_of(tmp_path), tmp_path / "w", scale=scale)
    (tmp_path / "in").rename(tmp_path / "before")
    result, data = prepare(folder_of(tmp_path, f"3,1,Heart Rate,{value}\n"), tmp_path / "w2", scale=scale)
    assert all(np.isfinite(data.split(name).X).all() for name in ("train", "val", "test"))
    place = f"events.csv, row {2 + 8 * 16}, column value"
    assert any("which no patient has, left out" in note and place in note for note in result["notes"])
    assert plain["splits"] == result["splits"]


def test_an_age_that_nobody_has_is_unknown(tmp_path):
    result, data = prepare(
        folder_of(tmp_path, ages={2: 9_999_999, 7: 131, 8: -1}), tmp_path / "w", variables="extended"
    )
    assert "3 ages outside 0 to 130 years count as unknown: 9,999,999 in stay 2." in result["warnings"]
    assert np.isnan(data.test.age[data.test.stay_id == 7]).all()
    assert data.train.X[:, :, data.feature_names.index("static->age")].max() <= 65
