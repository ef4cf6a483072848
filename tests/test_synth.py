"""synth: the bundled sample is what the command makes, the same seed makes the same bytes, and the faults are in."""

import csv
import gzip
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond.cli import app
from mortcond.commands.synth import synth
from mortcond.core.console import Console
from mortcond.core.errors import UsageError
from mortcond.core.session import Session
from mortcond.synth import Hospital, blocks, csvbytes, write
from mortcond.synth.charting import Vocabulary, items
from mortcond.synth.tables import COLUMNS

SAMPLE = Hospital(stays=1600, seed=0, events_per_stay=95, hours=49, form="csv")  # as sample_data/README.md says
SMALL = Hospital(stays=150, seed=5, events_per_stay=120, hours=60)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    """A small hospital as CSV."""
    folder = tmp_path_factory.mktemp("hospital")
    write(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def sample(sample_data) -> dict[str, list[dict[str, str]]]:
    """The bundled sample's tables, as dictionaries."""
    return {name: _rows(sample_data / f"{name}.csv.gz") for name in COLUMNS}


def _rows(path: Path) -> list[dict[str, str]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(content.decode().splitlines()))


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")


def test_the_sample_is_what_the_command_in_its_readme_makes(sample_data, tmp_path):
    readme = (sample_data / "README.md").read_text()
    command = re.search(r"mortcond synth (.*) -o", readme).group(1)
    assert command == "--stays 1600 --events-per-stay 95 --hours 49 --write-as csv.gz --seed 0"
    assert "No patient is in these tables" in readme
    write(tmp_path, SAMPLE)
    for name in COLUMNS:
        kept = gzip.decompress((sample_data / f"{name}.csv.gz").read_bytes())
        assert kept == (tmp_path / f"{name}.csv").read_bytes(), f"{name} differs from sample_data"


def test_the_sample_holds_nothing_else_and_is_small(sample_data):
    names = {path.name for path in sample_data.iterdir()}
    assert names == {f"{name}.csv.gz" for name in COLUMNS} | {"README.md"}
    assert sum(path.stat().st_size for path in sample_data.iterdir()) <= 3_000_000


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_the_same_seed_gives_the_same_bytes(form, tmp_path):
    hospital = replace(SMALL, stays=20, form=form)
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, hospital)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {f"{name}.{form}" for name in COLUMNS}


def test_another_seed_gives_another_hospital(hospital, tmp_path):
    write(tmp_path, replace(SMALL, seed=6))
    assert (tmp_path / "CHARTEVENTS.csv").read_bytes() != (hospital / "CHARTEVENTS.csv").read_bytes()


def test_a_larger_hospital_begins_the_same():
    small, large = (next(blocks(replace(SMALL, stays=n)))[0] for n in (128, 300))
    assert np.array_equal(small.entered, large.entered)
    assert np.array_equal(small.died, large.died)


def test_ids_are_unique_over_blocks():
    stays = [block for block, _ in blocks(Hospital(stays=700))]
    ids = np.concatenate([block.icustay_id for block in stays])
    assert len(ids) == len(set(ids)) == 700
    for name in ("subject_id", "hadm_id"):
        parts = [set(getattr(block, name)) for block in stays]
        assert len(set.union(*parts)) == sum(map(len, parts))


def test_headers_are_those_of_the_full_mimic(hospital):
    for name, columns in COLUMNS.items():
        first = (hospital / f"{name}.csv").open().readline().rstrip("\n")
        assert first == ",".join(f'"{column}"' for column in columns.split())


def test_row_numbers_run_on_and_every_line_is_whole(hospital):
    for name, columns in COLUMNS.items():
        with (hospital / f"{name}.csv").open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        assert {len(row) for row in rows} == {len(columns.split())}
        assert [row[0] for row in rows] == [str(n + 1) for n in range(len(rows))]


def test_every_event_belongs_to_somebody(sample):
    patients = {row["SUBJECT_ID"] for row in sample["PATIENTS"]}
    admissions = {row["HADM_ID"]: row["SUBJECT_ID"] for row in sample["ADMISSIONS"]}
    known = {row["ITEMID"] for row in sample["D_ITEMS"] + sample["D_LABITEMS"]}
    for table in ("CHARTEVENTS", "LABEVENTS", "OUTPUTEVENTS"):
        for row in sample[table]:
            assert row["SUBJECT_ID"] in patients
            assert row["ITEMID"] in known
            assert not row["HADM_ID"] or admissions[row["HADM_ID"]] == row["SUBJECT_ID"]


def test_each_system_has_its_own_items(sample):
    system = {row["ICUSTAY_ID"]: row["DBSOURCE"] for row in sample["ICUSTAYS"]}
    of_item = {str(item.itemid): item.system for item in items() if item.table != "lab"}
    assert set(system.values()) == {"carevue", "metavision"}
    for row in sample["CHARTEVENTS"]:
        assert not row["ICUSTAY_ID"] or system[row["ICUSTAY_ID"]] == of_item[row["ITEMID"]]


def test_times_are_in_order(sample):
    for row in sample["ADMISSIONS"]:
        assert _time(row["ADMITTIME"]) < _time(row["DISCHTIME"])
    admission = {row["HADM_ID"]: row for row in sample["ADMISSIONS"]}
    left: dict[str, datetime] = {}
    for stay in sample["ICUSTAYS"]:
        entered, subject = _time(stay["INTIME"]), stay["SUBJECT_ID"]
        assert _time(admission[stay["HADM_ID"]]["ADMITTIME"]) <= entered
        assert 2100 <= entered.year < 2210
        assert entered > left.get(subject, datetime.min)
        left[subject] = _time(stay["OUTTIME"])
        if stay["LOS"]:
            assert (left[subject] - entered).total_seconds() / 86400 == pytest.approx(float(stay["LOS"]), abs=6e-5)


def test_the_dead_stay_dead(sample):
    died = [row for row in sample["ADMISSIONS"] if row["HOSPITAL_EXPIRE_FLAG"] == "1"]
    last = {row["SUBJECT_ID"]: row["HADM_ID"] for row in sample["ADMISSIONS"]}
    birth = {row["SUBJECT_ID"]: row for row in sample["PATIENTS"]}
    assert 0.10 <= len(died) / len(sample["ADMISSIONS"]) <= 0.16
    for row in died:
        assert last[row["SUBJECT_ID"]] == row["HADM_ID"]
        assert birth[row["SUBJECT_ID"]]["DOD_HOSP"][:10] == row["DEATHTIME"][:10]
    assert any(_time(row["DEATHTIME"]) > _time(row["DISCHTIME"]) for row in died)
    assert any(row["DOD"] and not row["DOD_HOSP"] for row in sample["PATIENTS"])


FAULTS = {
    "no admission": lambda row: not row["HADM_ID"],
    "no stay": lambda row: not row["ICUSTAY_ID"],
    "flagged as an error": lambda row: row["ERROR"] == "1",
    "text for a number": lambda row: row["VALUE"] in ("ERROR", ">500", "UNABLE TO REPORT"),
    "no value": lambda row: not row["VALUE"],
    "Fahrenheit": lambda row: row["ITEMID"] in ("678", "223761"),
    "Celsius": lambda row: row["ITEMID"] in ("677", "676", "223762"),
    "pounds": lambda row: row["ITEMID"] == "3581" and row["VALUEUOM"] == "lb",
    "ounces": lambda row: row["ITEMID"] == "3582" and row["VALUEUOM"] == "oz",
    "inches": lambda row: row["ITEMID"] == "1394" and row["VALUEUOM"] == "inches",
    "FiO2 fraction in torr": lambda row: row["VALUEUOM"] == "torr" and float(row["VALUE"]) <= 1,
    "FiO2 fraction without unit": lambda row: row["ITEMID"] == "223835" and float(row["VALUE"]) <= 1,
    "FiO2 percent": lambda row: row["ITEMID"] == "223835" and float(row["VALUE"]) > 1,
    "eye opening None": lambda row: row["ITEMID"] == "220739" and row["VALUE"] == "None",
    "intubated": lambda row: row["VALUE"] in ("1.0 ET/Trach", "No Response-ETT"),
    "impossible pressure": lambda row: row["ITEMID"] in ("51", "455") and float(row["VALUE"]) > 400,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_real_faults_are_in(fault, sample):
    found = sum(FAULTS[fault](row) for row in sample["CHARTEVENTS"])
    assert 0 < found < len(sample["CHARTEVENTS"]) / 5


def test_rows_occur_twice_and_under_the_wrong_stay(sample):
    plain = [tuple(value for name, value in row.items() if name != "ROW_ID") for row in sample["CHARTEVENTS"]]
    assert 0 < len(plain) - len(set(plain)) < 0.02 * len(plain)
    admission = {row["ICUSTAY_ID"]: row["HADM_ID"] for row in sample["ICUSTAYS"]}
    named = [row for row in sample["CHARTEVENTS"] if row["HADM_ID"] and row["ICUSTAY_ID"]]
    assert any(admission[row["ICUSTAY_ID"]] != row["HADM_ID"] for row in named)


def test_children_the_very_old_transfers_and_several_stays_are_in(sample):
    birth = {row["SUBJECT_ID"]: _time(row["DOB"]) for row in sample["PATIENTS"]}
    ages = [(_time(row["INTIME"]) - birth[row["SUBJECT_ID"]]).days / 365.25 for row in sample["ICUSTAYS"]]
    assert any(0 <= age < 18 for age in ages)
    assert any(299 < age < 315 for age in ages)
    assert not any(91 < age < 299 for age in ages)
    assert any(row["FIRST_CAREUNIT"] != row["LAST_CAREUNIT"] for row in sample["ICUSTAYS"])
    assert len({row["HADM_ID"] for row in sample["ICUSTAYS"]}) < len(sample["ICUSTAYS"])
    assert len(sample["PATIENTS"]) < len(sample["ADMISSIONS"])
    diagnosed = {row["HADM_ID"] for row in sample["DIAGNOSES_ICD"]}
    assert any(row["HADM_ID"] not in diagnosed for row in sample["ADMISSIONS"])


def test_the_density_is_the_one_asked_for(tmp_path):
    made = write(tmp_path, Hospital(stays=128, events_per_stay=5400))
    assert made["rows"]["CHARTEVENTS"] == pytest.approx(128 * 5400, rel=0.05)
    ids = {row["ITEMID"] for row in _rows(tmp_path / "D_ITEMS.csv")}
    assert {"211", "220045", "190", "220048"} <= ids


def test_parquet_has_types_and_the_same_rows(hospital, tmp_path):
    import duckdb

    write(tmp_path, replace(SMALL, form="parquet"))
    with duckdb.connect() as connection:
        table = connection.execute(f"SELECT * FROM '{tmp_path}/CHARTEVENTS.parquet' ORDER BY ROW_ID").fetchall()
        names = [column[0] for column in connection.execute(f"DESCRIBE '{tmp_path}/CHARTEVENTS.parquet'").fetchall()]
    rows = _rows(hospital / "CHARTEVENTS.csv")
    assert len(table) == len(rows)
    for row, typed in list(zip(rows, table, strict=True))[::97]:
        entry = dict(zip(names, typed, strict=True))
        assert entry["CHARTTIME"] == _time(row["CHARTTIME"])
        assert (entry["VALUE"] or "") == row["VALUE"]
        assert entry["VALUENUM"] == (float(row["VALUENUM"]) if row["VALUENUM"] else None)


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=50))
def test_numbers_are_written_as_python_writes_them(values):
    lines = b"".join(csvbytes.lines([csvbytes.numbers(np.array(values))])).decode()
    assert lines.splitlines() == [str(value) for value in values]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_texts_come_back_through_a_csv_reader(values):
    column = csvbytes.texts(values)
    written = b"".join(csvbytes.lines([csvbytes.numbers(np.arange(len(values))), column])).decode()
    assert [row[1] for row in csv.reader(written.splitlines(keepends=True))] == values


def test_long_columns_are_written_in_parts():
    values = np.arange(csvbytes.ROWS_AT_ONCE * 2 + 5)
    assert b"".join(csvbytes.lines([csvbytes.numbers(values)])) == b"".join(b"%d\n" % value for value in values)


def test_numbers_out_of_range_stay_in_the_vocabulary():
    vocabulary = Vocabulary()
    code = vocabulary.encode("1", np.array([-3.0, 36.64, 1e9]))
    assert vocabulary.number[code].tolist() == [b"0.0", b"36.6", b"999.9"]
    code = vocabulary.encode("motor_metavision", np.array([-1.0, 5.0, 9.0]))
    assert vocabulary.value[code].tolist() == [b'"No response"', b'"Obeys Commands"', b'"Obeys Commands"']


def test_command_says_the_numbers_and_refuses_to_replace(tmp_path, capsys):
    out = tmp_path / "made"
    arguments = ["synth", "--stays", "30", "--hours", "50", "-o", str(out)]
    assert _call([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["path"] == str(out)
    assert result["stays"] == result["rows"]["ICUSTAYS"] == 30
    assert result["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert _call(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert _call([*arguments, "--overwrite"]) == 0
    assert "no patient is in it" in capsys.readouterr().out


def _call(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        app(arguments)
    return stop.value.code


@pytest.mark.parametrize("wrong", [{"stays": 0}, {"write_as": "xlsx"}, {"hours": 0}, {"events_per_stay": -1}])
def test_wrong_options_are_named(wrong, tmp_path):
    with pytest.raises(UsageError, match=r"stays|xlsx|hours|events"):
        synth(Session(console=Console(quiet=True)), **{"stays": 5, "out": tmp_path / "x"} | wrong)
    assert not list(tmp_path.iterdir())


def test_a_negative_seed_is_named(tmp_path):
    with pytest.raises(UsageError, match="--seed is -1"):
        synth(Session(seed=-1, console=Console(quiet=True)), out=tmp_path / "x")


def test_neither_synth_nor_fetch_needs_tensorflow():
    code = "import sys, mortcond.commands.synth, mortcond.commands.fetch; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device", "disk")

    monkeypatch.setattr("mortcond.commands.synth.write", fail)
    with pytest.raises(OSError, match="No space"):
        synth(Session(console=Console(quiet=True)), stays=5, out=tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_signal_can_be_learnt_and_is_not_trivial(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    write(tmp_path, Hospital(stays=3000, seed=11, events_per_stay=95, hours=49))
    assert _call(["preprocess", str(tmp_path), "-q", "-o", str(tmp_path / "dataset.npz")]) == 0
    with np.load(tmp_path / "dataset.npz") as data:
        x, y, patient = (
            np.concatenate([data[f"{name}_{split}"] for split in ("train", "val", "test")])
            for name in ("X", "y", "subject_id")
        )
    x = np.clip(x, -6, 6)
    auroc = {}
    for name, part in {"all": x, "masks": x[:, :, -17:]}.items():
        summary = np.hstack([part.mean(1), part[:, -1] - part[:, 0]])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=2000))
        folds = GroupKFold(5, shuffle=True, random_state=0)
        auroc[name] = cross_val_score(model, summary, y, groups=patient, cv=folds, scoring="roc_auc").mean()
    assert 0.80 <= auroc["all"] <= 0.90
    assert 0.65 <= auroc["masks"] <= auroc["all"] - 0.03
    assert 0.11 <= y.mean() <= 0.17
