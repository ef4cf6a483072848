"""Events of any hospital: the same patients as CSV, CSV.gz and Parquet; what is checked, ignored and refused."""

import random
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_forms import assert_same, column, compress, prepare, tensor, to_parquet

from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.tables import Request, detect, events
from mortcond.variables import load

EVENTS = """stay_id,hours,variable,value
7,0.5,Heart Rate,80
7,1.5,Heart Rate,90.5
7,1.5,Heart Rate,70
7,2,Glascow coma scale eye opening,Spontaneously
7,3.25,Glascow coma scale total,14
7,4,Capillary refill rate,1
8,47.9,Temperature,38.25
8,48,pH,7.25
8,49,pH,6.9
9,60,Heart Rate,100
10,1,Heart Rate,101
8,5,Hair colour,grey
8,6,Heart Rate,
8,7,Heart Rate,NaN
"""
STAYS = """stay_id,subject_id,died,age,sex,icu_type,split
7,70,1,64.5,F,medical,train
8,80,0,,M,,test
9,90,0,40,,surgical,val
"""


def write(folder: Path, table: str = EVENTS, stays: str | None = STAYS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.csv").write_text(table)
    if stays is not None:
        (folder / "stays.csv").write_text(stays)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "plain")


@pytest.fixture
def read(tmp_path):
    """Read a source to (records, events as {(stay, hours, variable): value})."""

    def call(source: Path, variables="paper76", **options):
        scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        table = load(variables)
        records = events.read(source, table, Request(scratch, console=Console(quiet=True), **options))
        rows = duckdb.connect().execute(f"SELECT * FROM read_parquet('{records.events}')").fetchall()
        return records, {(stay, round(hours, 4), table[index].name): value for stay, hours, index, value in rows}

    return call


def test_every_form_gives_the_same_tensor(tmp_path, folder):
    expected = tensor(folder, tmp_path / "w")
    assert expected["stay_id"].tolist() == [7, 8]
    zipped = write(tmp_path / "zipped")
    compress(zipped / "events.csv")
    compress(zipped / "stays.csv")
    typed = write(tmp_path / "typed", EVENTS.replace("8,7,Heart Rate,NaN\n", ""))
    to_parquet(
        typed / "events.csv", {"stay_id": "BIGINT", "hours": "DOUBLE", "variable": "VARCHAR", "value": "VARCHAR"}
    )
    kinds = {"stay_id": "INTEGER", "subject_id": "BIGINT", "died": "BOOLEAN", "age": "DOUBLE", "sex": "VARCHAR"}
    to_parquet(typed / "stays.csv", kinds | {"icu_type": "VARCHAR", "split": "VARCHAR"})
    shouting = write(
        tmp_path / "shouting", EVENTS.replace("stay_id,hours,variable,value", "STAY_ID,Hours,VARIABLE,Value")
    )
    lines = EVENTS.splitlines()
    parts = write(tmp_path / "parts", "\n".join(lines[:6]))
    (parts / "events.csv").rename(parts / "events_1.csv")
    (parts / "events_2.csv").write_text("\n".join(lines[:1] + lines[6:]))
    elsewhere = write(tmp_path / "elsewhere")
    (elsewhere / "stays.csv").rename(tmp_path / "my stays.csv")
    (elsewhere / "events.csv").rename(elsewhere / "measurements.csv")
    forms = [(zipped, {}), (typed, {}), (shouting, {}), (parts, {}), (folder / "events.csv", {})]
    forms.append((elsewhere / "measurements.csv", {"outcomes": tmp_path / "my stays.csv"}))
    for source, options in forms:
        assert detect(source) == "events", source
        assert_same(expected, tensor(source, tmp_path / "w", **options))


def test_values_and_ties(tmp_path, read, folder):
    _, found = read(folder)
    assert found[7, 1.5, "Heart Rate"] == 90.5  # the larger of two at one time
    eye = load("paper76")[load("paper76").names.index("Glascow coma scale eye opening")]
    assert found[7, 2.0, "Glascow coma scale eye opening"] == eye.categories.index("Spontaneously")
    names = load("paper76").feature_names
    data = tensor(folder, tmp_path / "w")
    assert column(data, names, "Capillary refill rate->1.0", 7) == [0] * 3 + [1] * 45  # 1 is the category 1.0
    assert column(data, names, "Glascow coma scale total->14", 7) == [0] * 3 + [1] * 45
    assert column(data, names, "pH", 8)[46:] == pytest.approx([7.4, 7.25])  # 48 h is in, 49 h is not
    assert sum(column(data, names, "mask->Heart Rate", 8)) == 0  # empty and NaN are missing


def test_splits_facts_and_attrition(tmp_path, folder):
    result, data = prepare(folder, tmp_path)
    assert (data.train.stay_id.tolist(), data.test.stay_id.tolist()) == ([7], [8])
    assert (data.train.subject_id[0], data.train.age[0], data.train.sex[0], data.train.y[0]) == (70, 64.5, "F", 1)
    assert data.train.icu_type[0] == "medical"
    assert [(step["step"], step["stays"]) for step in result["attrition"]] == [("start", 3), ("no_events_in_window", 2)]
    assert any("Hair colour (1)" in note for note in result["notes"])
    assert any("1 of 4 stays with events are not in the table of stays" in note for note in result["notes"])


def test_optional_columns_may_be_absent(read, tmp_path):
    records, _ = read(write(tmp_path / "short", stays="stay_id,subject_id,died\n7,7,1\n8,8,0\n"))
    assert records.stays.age.isna().all()
    assert (records.stays.sex == "").all()


def test_prediction_needs_no_stays(read, tmp_path):
    records, _ = read(write(tmp_path / "new", stays=None), labels=False)
    assert records.stays.stay_id.tolist() == [7, 8, 10]
    assert records.stays.died.tolist() == [0, 0, 0]
    records, _ = read(write(tmp_path / "known", stays="stay_id,subject_id\n7,70\n8,80\n"), labels=False)
    assert records.stays.subject_id.tolist() == [70, 80]


EXTENDED = """stay_id,hours,variable,value
7,1,Urine output,50
7,1,Urine output,30
7,1,Urine output,0
7,2,Glascow coma scale eye opening,2 to pain
7,2,Glascow coma scale motor response,5 localises pain
7,2,Glascow coma scale verbal response,1.0 ET/Trach
7,3,Fraction inspired oxygen,40
7,4,pH,735
7,5,Temperature,98.6
7,6,Troponin T,<0.01
7,7,Heart Rate,5000
7,8,Mechanical ventilation,1
8,1,Heart Rate,80
"""


def test_extended_cleans(read, tmp_path):
    records, found = read(write(tmp_path / "extended", EXTENDED), "extended")
    assert found[7, 1.0, "Urine output"] == 80
    assert found[7, 2.0, "Glascow coma scale total"] == 2 + 5 + 1
    assert found[7, 3.0, "Fraction inspired oxygen"] == 0.4
    assert found[7, 4.0, "pH"] == 7.35
    assert found[7, 5.0, "Temperature"] == pytest.approx(37)
    assert found[7, 6.0, "Troponin T"] == 0.01
    assert found[7, 8.0, "Mechanical ventilation"] == 1
    assert (7, 7.0, "Heart Rate") not in found
    assert any("Heart Rate: 1 implausible" in note for note in records.notes)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_never_matters(read, tmp_path, folder, seed):
    head, *rows = EVENTS.splitlines()
    random.Random(seed).shuffle(rows)
    shuffled = write(tmp_path / f"shuffled{len(list(tmp_path.iterdir()))}", "\n".join([head, *rows]))
    assert read(shuffled)[1] == read(folder)[1]


BAD_TEXTS = [
    (
        "events.csv",
        "Heart Rate,80",
        "Heart Rate,fast",
        r"events\.csv, row 2, column value: 'fast' is no number \(Heart Rate\)",
    ),
    ("events.csv", "Spontaneously", "Sleepy", r"events\.csv, row 5, column value: 'Sleepy' is no category of Glascow"),
    ("events.csv", "7,0.5,", "7,soon,", r"events\.csv, row 2, column HOURS: 'soon' is no number"),
    ("events.csv", "7,0.5,", "7,,", r"events\.csv, row 2: a row without stay_id, hours or variable"),
    ("events.csv", "7,0.5,", "7,nan,", r"events\.csv, row 2: a row without stay_id, hours or variable"),
    ("events.csv", "7,0.5,", "NA,0.5,", r"events\.csv, row 2: a row without stay_id, hours or variable"),
    ("events.csv", "7,0.5,", "7,inf,", r"events\.csv, row 2, column HOURS: 'inf' is no number"),
    ("events.csv", "7,0.5,", "x7,0.5,", r"events\.csv, row 2, column STAY_ID: 'x7' is no number"),
    ("events.csv", "7,0.5,", "7.5,0.5,", r"events\.csv, row 2, column STAY_ID: '7.5' is no whole number"),
    ("events.csv", "0.5,Heart Rate", "0.5,", r"events\.csv, row 2: a row without stay_id, hours or variable"),
    ("events.csv", "Heart Rate,80", "Heart Rate,80,1", r"events\.csv, row 2: 5 columns, not 4"),
    ("events.csv", "hours,", "when,", r"events\.csv has no column hours; it has stay_id, when"),
    ("stays.csv", "died", "dead", r"stays\.csv has no column died"),
    ("stays.csv", "7,70,1", "7,70,yes", r"stays\.csv, row 2, column died: 'yes' is neither 0 nor 1"),
    ("stays.csv", "7,70,1", "7,,1", r"stays\.csv, row 2, column subject_id: '' is no whole number"),
    ("stays.csv", "8,80", "7,80", r"stays\.csv, row 2, column stay_id: '7' is there twice"),
    ("stays.csv", "64.5", "old", r"stays\.csv, row 2, column age: 'old' is no number"),
    ("stays.csv", "64.5,F", "64.5,X", r"stays\.csv, row 2, column sex: 'X' is neither F nor M"),
    ("stays.csv", "medical,train", "medical,holdout", r"stays\.csv, row 2, column split: 'holdout' is none of train"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD_TEXTS)
def test_bad_texts_are_named_with_file_row_and_column(read, folder, name, old, new, message):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read(folder, strict=True)
    assert error.value.remedy


def test_unusable_tables(read, tmp_path, folder):
    with pytest.raises(InputError, match="no row has a variable of paper76"):
        read(write(tmp_path / "unknown", "stay_id,hours,variable,value\n7,1,Hair colour,grey\n"))
    with pytest.raises(InputError, match="no row has a variable of paper76"):
        read(write(tmp_path / "rowless", "stay_id,hours,variable,value\n"))
    with pytest.raises(InputError, match="no stay_id is in both tables"):
        read(write(tmp_path / "strangers", stays="stay_id,subject_id,died\n1,1,0\n"))
    with pytest.raises(InputError, match=r"stays\.csv holds no stay"):
        read(write(tmp_path / "stayless", stays="stay_id,subject_id,died\n"))
    with pytest.raises(InputError, match="has no table stays"):
        read(write(tmp_path / "alone", stays=None))
    with pytest.raises(InputError, match="There is no table of stays"):
        read(folder, outcomes=tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"events\.csv is empty"):
        read(write(tmp_path / "empty", ""))
    late = write(tmp_path / "late", "stay_id,hours,variable,value\n7,50,Heart Rate,80\n")
    with pytest.raises(InputError, match=r"No stay of .* is in the cohort; dropped: no_events_in_window 3"):
        preprocess(Session(workspace=tmp_path / "w", console=Console(quiet=True)), late)


def test_damaged_files(read, tmp_path):
    cut = write(tmp_path / "cut", EVENTS.splitlines()[0] + "\n" + "7,1,Heart Rate,80\n" * 5000)
    compress(cut / "events.csv")
    packed = cut / "events.csv.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"events\.csv\.gz"):
        read(cut)
    latin = write(tmp_path / "latin")
    (latin / "events.csv").write_bytes(EVENTS.replace("grey", "gr\xe9y").encode("latin1"))
    with pytest.raises(InputError, match=r"events\.csv, row 13: a byte that is no UTF-8"):
        read(latin)
    false = write(tmp_path / "false")
    (false / "events.csv").rename(false / "events.parquet")
    with pytest.raises(InputError, match=r"events\.parquet cannot be read"):
        read(false)
