"""The tables of MIMIC-III and events of any hospital as other programs save them again: the same to the cell."""

import csv
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from mimic3_tables import Hospital, read, tensor
from table_forms import assert_same
from table_forms import tensor as prepared

from mortcond.core.errors import InputError

IDS = ("ROW_ID", "SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "ITEMID")
FLAGS = ("ERROR", "ISERROR")
TIMES = ("INTIME", "OUTTIME", "ADMITTIME", "DISCHTIME", "DEATHTIME", "DOB", "DOD", "CHARTTIME")


def hospital() -> Hospital:
    """Three patients with flagged values, laboratory values, urine, and rows without an admission or a time."""
    made = Hospital()
    for number in range(1, 4):
        ids = {"subject": 100 + number, "hadm": 2000 + number, "icustay": 300_000 + number}
        made.stay(**ids, dod="2130-01-05 00:00:00" if number == 2 else "")
        for hour in range(0, 40, 5):
            made.chart(220045, 70 + hour + number, hours=hour + 0.25, **ids, error="0")
        made.chart(220045, 240, hours=8.25, **ids, error="1").chart(220739, "Spontaneously", **ids)
        made.chart(220210, "18", hours="", **ids).chart(220045, "", hours=9.5, **ids, error="")
        made.lab(50931, 100 + number, hours=6.0, subject=ids["subject"], hadm=ids["hadm"])
        made.lab(50931, 300, hours=7.0, subject=ids["subject"], hadm="")
        made.output(40055, 50, hours=3.0, **ids).output(40055, 900, hours=4.0, error="1", **ids)
    return made


def changed(made: Hospital, columns: tuple[str, ...], change) -> Hospital:
    """Return the hospital with all cells of some columns changed."""
    cell = {True: change, False: lambda value: value}
    rows = {
        name: [{key: cell[key in columns](value) for key, value in row.items()} for row in table]
        for name, table in made.rows.items()
    }
    return Hospital(rows)


def moved(form: str, hours: float = 0):
    return lambda cell: cell and (datetime.fromisoformat(cell) + timedelta(hours=hours)).strftime(form)


def gaps(mark: str):
    return lambda cell: cell or mark


NUMBERS = (*IDS, *FLAGS)
AGAIN = {
    "pandas: floats beside gaps": (NUMBERS, lambda cell: cell and f"{cell}.0"),
    "R: exponents": (NUMBERS, lambda cell: cell and f"{float(cell):.6e}"),
    "signs and blanks": (NUMBERS, lambda cell: cell and f" +{cell} "),
    "leading zeros": (NUMBERS, lambda cell: cell and f"00{cell}"),
    "flags as words": (FLAGS, {"0": "FALSE", "1": "TRUE", "": ""}.get),
    "PostgreSQL: flags": (FLAGS, {"0": "f", "1": "t", "": "\\N"}.get),
    **{f"gaps as {mark}": ((*NUMBERS, *TIMES, "LOS"), gaps(mark)) for mark in ("NA", "NULL", "\\N", "NaT", "nan", ".")},
    "values missing as NaN": (("VALUE",), gaps("NaN")),
    "a T": (TIMES, moved("%Y-%m-%dT%H:%M:%S")),
    "Spark": (TIMES, moved("%Y-%m-%dT%H:%M:%S.000Z")),
    "pandas: UTC": (TIMES, moved("%Y-%m-%d %H:%M:%S+00:00")),
    "BigQuery": (TIMES, moved("%Y-%m-%d %H:%M:%S UTC")),
    "PostgreSQL: an offset": (TIMES, moved("%Y-%m-%d %H:%M:%S+02", 2)),
    "another offset": (TIMES, moved("%Y-%m-%dT%H:%M:%S.000000-05:30", -5.5)),
    "without seconds": (TIMES, moved("%Y-%m-%d %H:%M")),
    "SAS": (TIMES, moved("%d%b%Y:%H:%M:%S")),
    "slashes": (TIMES, moved("%Y/%m/%d %H:%M:%S")),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = hospital().write(tmp_path_factory.mktemp("plain") / "in")
    found = {name: tensor(read(folder, folder.parent / name, name), name) for name in ("paper76", "extended")}
    rates = found["extended"]["Heart Rate"]
    assert (rates.max(), found["paper76"]["Heart Rate"].max()) == (108, 240)
    assert found["extended"]["Urine output"].max() == 50
    return found


BY_PAPER76 = ("pandas: floats beside gaps", "R: exponents", "gaps as NA", "Spark")


@pytest.mark.parametrize(
    ("case", "variables"), [*((case, "extended") for case in AGAIN), *((case, "paper76") for case in BY_PAPER76)]
)
def test_mimic_tables_saved_again(tmp_path, expected, case, variables):
    folder = changed(hospital(), *AGAIN[case]).write(tmp_path / "in")
    records = read(folder, tmp_path / "s", variables)
    assert records.stays.stay_id.tolist() == [300_001, 300_002, 300_003]
    assert records.stays.died.tolist() == [0, 1, 0]
    found = tensor(records, variables)
    for name, values in expected[variables].items():
        np.testing.assert_array_equal(found[name], values, err_msg=f"{case}: {name}")


PARQUET = {
    "doubles": dict.fromkeys((*NUMBERS, "LOS"), "DOUBLE"),
    "integers": dict.fromkeys(NUMBERS, "INTEGER"),
    "decimals": dict.fromkeys(NUMBERS, "DECIMAL(20, 4)"),
    "booleans": dict.fromkeys(FLAGS, "BOOLEAN"),
    "times": dict.fromkeys(TIMES, "TIMESTAMP"),
    "nanoseconds": dict.fromkeys(TIMES, "TIMESTAMP_NS"),
    "times with a zone": dict.fromkeys(TIMES, "TIMESTAMPTZ"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_mimic_tables_as_parquet_of_other_types(tmp_path, expected, case):
    variables = "paper76" if case == "doubles" else "extended"
    folder = hospital().write(tmp_path / "in")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for path in sorted(folder.glob("*.csv")):
            rows = f"read_csv('{path}', all_varchar = true, header = true)"
            header = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()]
            picked = ", ".join(f'CAST("{name}" AS {PARQUET[case].get(name, "VARCHAR")}) AS "{name}"' for name in header)
            connection.execute(
                f"COPY (SELECT {picked} FROM {rows}) TO '{path.with_suffix('.parquet')}' (FORMAT parquet)"
            )
            path.unlink()
    found = tensor(read(folder, tmp_path / "s", variables), variables)
    for name, values in expected[variables].items():
        np.testing.assert_array_equal(found[name], values, err_msg=f"{case}: {name}")


def test_ids_that_round_to_another_patients_are_refused(tmp_path):
    for wrong in ("2001.4", "2000.6", "2.0014e3"):
        made = hospital().chart(220045, 99, hours=20.5, subject=101, hadm=wrong, icustay="")
        with pytest.raises(InputError, match=r"column HADM_ID: '2.*' is no whole number"):
            read(made.write(tmp_path / wrong), tmp_path / f"s{wrong}")


def test_large_ids_stay_what_they_are(tmp_path):
    first = 9_007_199_254_740_992
    made = Hospital()
    for number in range(3):
        ids = {"subject": first + number, "hadm": first + 10 + number, "icustay": first + 20 + number}
        made.stay(**ids).chart(211, 80 + number, **ids)
    records = read(made.write(tmp_path / "in"), tmp_path / "s")
    assert records.stays.stay_id.tolist() == [first + 20 + number for number in range(3)]
    assert records.stays.subject_id.tolist() == [first + number for number in range(3)]
    assert tensor(records)["Heart Rate"][:, 0].tolist() == [80, 81, 82]


@pytest.mark.parametrize("change", ["DOB", "SUBJECT_ID", "HADM_ID"])
def test_a_gap_in_a_small_table_drops_the_one_stay(tmp_path, change):
    made = hospital()
    made.rows["PATIENTS" if change == "DOB" else "ICUSTAYS"][1][change] = "NA"
    for labels in (True, False):
        records = read(made.write(tmp_path / "in"), tmp_path / f"s{labels}", labels=labels)
        reason = "age_unknown" if change == "DOB" else "no_admission"
        assert records.dropped.to_numpy().tolist() == [[300_002, reason]]
        assert records.stays.stay_id.tolist() == [300_001, 300_003]


def test_times_with_and_without_an_offset_do_not_mix(tmp_path):
    made = hospital()
    made.rows["CHARTEVENTS"] = changed(made, TIMES, moved("%Y-%m-%d %H:%M:%S+02:00", 2)).rows["CHARTEVENTS"]
    with pytest.raises(InputError, match=r"CHARTTIME of .* has an offset from UTC, INTIME of .* has none"):
        read(made.write(tmp_path / "in"), tmp_path / "s")
    made = hospital()
    made.rows["CHARTEVENTS"] = changed(made, TIMES, moved("%Y-%m-%dT%H:%M:%SZ")).rows["CHARTEVENTS"]
    records = read(made.write(tmp_path / "utc"), tmp_path / "s2")
    assert any("is in UTC" in note and "taken for UTC too" in note for note in records.notes)
    assert len(records.stays) == 3


# Events of any hospital

LARGE = 2**53


def events_folder(path: Path, stays, rows, kinds: dict[str, str] | None = None) -> Path:
    """Write events and stays, as CSV or, with the types of their columns, as Parquet."""
    path.mkdir()
    tables = {"events": ("stay_id,hours,variable,value", rows), "stays": ("stay_id,subject_id,died,age,sex", stays)}
    for name, (head, lines) in tables.items():
        with (path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([head.split(","), *lines])
        if kinds:
            picked = ", ".join(f"CAST({c} AS {kinds.get(c, 'VARCHAR')}) AS {c}" for c in head.split(","))
            source = f"read_csv('{path / name}.csv', all_varchar = true, nullstr = 'NA')"
            duckdb.sql(f"SELECT {picked} FROM {source}").write_parquet(str(path / f"{name}.parquet"))
            (path / f"{name}.csv").unlink()
    return path


def test_events_of_neighbouring_large_ids(tmp_path):
    stays = [(LARGE + i, LARGE + i, i % 2, "", "") for i in range(8)]
    rows = [(LARGE + i, 1, "Heart Rate", 60 + i) for i in range(8)] + [(LARGE + 99, 1, "Heart Rate", 199)]
    hashed = [(-(2**63) + 7 * i, 2**63 - 1 - i, i % 2, "", "") for i in range(8)]
    for name, listed, events in (
        ("near", stays, rows),
        ("hashed", hashed, [(stay[0], 1, "Heart Rate", 60 + i) for i, stay in enumerate(hashed)]),
    ):
        for kinds in (None, {"stay_id": "BIGINT", "subject_id": "BIGINT", "hours": "DOUBLE"}):
            folder = events_folder(tmp_path / f"{name}{bool(kinds)}", listed, events, kinds)
            found = prepared(folder, tmp_path / "w")
            assert found["stay_id"].tolist() == sorted(stay[0] for stay in listed)
            place = [name for name in range(found["X"].shape[2]) if found["X"][0, 0, name] == 60]
            assert found["X"][:, 0, place[0]].tolist() == [60 + i for i in range(8)]


def test_events_saved_again(tmp_path):
    stays = [(i, 10 + i, i % 2, 50 + i, "F") for i in range(1, 7)] + [(7, 17, 0, "", "")]
    rows = [(i, hour + 0.5, "Heart Rate", 60 + i + hour) for i in range(1, 8) for hour in range(0, 48, 5)]
    expected = prepared(events_folder(tmp_path / "plain", stays, rows), tmp_path / "w")
    floats = [(f"{a}.0", f"{b}.0", f"{c}.0", d or "NA", e or "NA") for a, b, c, d, e in stays]
    more = [*rows, ("NA", 1, "Heart Rate", 200), (1, "NA", "Heart Rate", 200), (2, 1.75, "Heart Rate", "NULL")]
    forms = [
        events_folder(tmp_path / "floats", floats, [(f"{a}.0" if a != "NA" else a, b, c, d) for a, b, c, d in more]),
        events_folder(tmp_path / "words", [(a, b, bool(c), d, e) for a, b, c, d, e in stays], rows),
        events_folder(tmp_path / "doubles", floats, more, {"stay_id": "DOUBLE", "hours": "DOUBLE", "died": "DOUBLE"}),
    ]
    for form in forms:
        assert_same(expected, prepared(form, tmp_path / "w"))


@pytest.mark.parametrize("wrong", ["P001", "1.5", "1.23457E+11", "9007199254740993.0", "18446744073709551615", "a-b-c"])
def test_ids_that_cannot_be_kept_are_refused(tmp_path, wrong):
    folder = events_folder(tmp_path / "in", [(1, 1, 0, "", ""), (wrong, 2, 1, "", "")], [(1, 1, "Heart Rate", 80)])
    with pytest.raises(InputError, match=r"stays\.csv, row 3, column stay_id: '.*' is no whole number"):
        prepared(folder, tmp_path / "w")
    folder = events_folder(
        tmp_path / "in2", [(1, 1, 0, "", "")], [(1, 1, "Heart Rate", 80), (wrong, 1, "Heart Rate", 8)]
    )
    with pytest.raises(InputError, match=r"events\.csv, row 3, column STAY_ID: '.*' is no (whole )?number"):
        prepared(folder, tmp_path / "w")


@pytest.mark.parametrize("died", ["-1", "2", "0.5", "yes", "", "nan", "dead"])
def test_outcomes_other_than_0_and_1_are_refused(tmp_path, died):
    folder = events_folder(tmp_path / "in", [(1, 1, died, "", ""), (2, 2, 1, "", "")], [(1, 1, "Heart Rate", 80)])
    with pytest.raises(InputError, match=r"stays\.csv, row 2, column died: '.*' is neither 0 nor 1"):
        prepared(folder, tmp_path / "w")
