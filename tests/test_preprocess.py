"""preprocess, end to end: what it writes, its options, and what it says of input that cannot be used."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mimic3_tables import Hospital, write_table

from mortcond import dataset
from mortcond.commands.preprocess import preprocess, render
from mortcond.core.artifacts import sha256
from mortcond.core.console import Console
from mortcond.core.errors import InputError, MortcondError, UsageError
from mortcond.core.session import Session
from mortcond.dataset import InputSpec


def hospital(patients: int = 12, shift: float = 0) -> Hospital:
    """Patients 1, 2, ... of whom every third dies; heart rates that differ from patient to patient."""
    made = Hospital()
    for subject in range(1, patients + 1):
        ids = {"subject": subject, "hadm": subject * 100, "icustay": subject * 1000}
        died = {"deathtime": "2130-01-05 00:00:00"} if subject % 3 == 0 else {}
        made.stay(**ids, gender="FM"[subject % 2], **died)
        for hour in range(0, 48, 6):
            made.chart(211, 60 + 3 * subject + hour + shift, hours=hour + 0.5, **ids)
        made.chart(184, "None", **ids)
    return made


@pytest.fixture
def folder(tmp_path):
    return hospital().write(tmp_path / "in")


def session(workspace, **facts) -> Session:
    return Session(workspace=workspace, console=Console(quiet=True), **facts)


def run(workspace, source, **options):
    return preprocess(session(workspace), source, **options)


# What it writes


def test_data_set(folder, tmp_path):
    result = run(tmp_path / "w", folder)
    data = dataset.load(tmp_path / "w" / "dataset.npz")
    assert result["path"] == str(tmp_path / "w" / "dataset.npz")
    assert [len(data.split(name)) for name in dataset.SPLITS] == [result["splits"][n]["stays"] for n in dataset.SPLITS]
    assert sum(len(data.split(name)) for name in dataset.SPLITS) == 12
    assert data.train.X.shape[1:] == (48, 76)
    assert data.meta["prevalence"] == data.train.y.mean()
    assert data.meta["source"] == str(folder)
    assert data.meta["manifest"]["kind"] == "dataset"
    assert len(data.meta["manifest"]["inputs"]["source"]["sha256"]) == 64
    assert data.meta["attrition"][0]["stays"] == 12
    assert "Glucose" in data.meta["never_measured"]
    assert "Heart Rate" not in data.meta["never_measured"]
    assert set(data.train.sex) <= {"F", "M"}
    assert (data.train.icu_type == "MICU").all()
    np.testing.assert_allclose(data.train.age, 50.03, atol=0.01)
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["dataset.npz"]


def test_splits_share_no_patient_and_outcomes_go_with_stays(folder, tmp_path):
    run(tmp_path, folder)
    data = dataset.load(tmp_path / "dataset.npz")
    subjects = [set(data.split(name).subject_id) for name in dataset.SPLITS]
    assert len(set.union(*subjects)) == sum(map(len, subjects))
    for name in dataset.SPLITS:
        split = data.split(name)
        np.testing.assert_array_equal(split.y, split.subject_id % 3 == 0)
        np.testing.assert_array_equal(split.stay_id, split.subject_id * 1000)


def test_the_same_input_gives_the_same_arrays(folder, tmp_path):
    run(tmp_path / "a", folder)
    run(tmp_path / "b", folder, threads=1)
    first, second = np.load(tmp_path / "a" / "dataset.npz"), np.load(tmp_path / "b" / "dataset.npz")
    assert first.files == second.files
    for name in set(first.files) - {"meta"}:
        np.testing.assert_array_equal(first[name], second[name])


def test_values_of_the_test_split_do_not_move_the_scaling(tmp_path):
    listed = tmp_path / "testset.csv"
    listed.write_text("".join(f"{patient},{int(patient > 8)}\n" for patient in range(1, 13)))
    made = hospital()
    run(tmp_path / "a", made.write(tmp_path / "in"), split_file=listed)
    for row in made.rows["CHARTEVENTS"]:
        if int(row["SUBJECT_ID"]) > 8 and row["ITEMID"] == "211":
            row["VALUE"] = "999"
    run(tmp_path / "b", made.write(tmp_path / "other"), split_file=listed)
    first, second = (dataset.load(tmp_path / name / "dataset.npz") for name in "ab")
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)
    np.testing.assert_array_equal(first.train.X, second.train.X)
    assert (first.test.X != second.test.X).any()


def test_scaling_is_that_of_the_training_split(folder, tmp_path):
    run(tmp_path / "scaled", folder)
    run(tmp_path / "plain", folder, scale=False)
    scaled, plain = (dataset.load(tmp_path / name / "dataset.npz") for name in ("scaled", "plain"))
    place = scaled.feature_names.index("Heart Rate")
    rows = plain.train.X[:, :, place].astype(np.float64)
    np.testing.assert_allclose([scaled.mean[place], scaled.std[place]], [rows.mean(), rows.std()], rtol=1e-6)
    np.testing.assert_allclose(
        scaled.test.X[:, :, place], (plain.test.X[:, :, place] - rows.mean()) / rows.std(), atol=1e-5
    )
    unscaled = [i for i, name in enumerate(scaled.feature_names) if "->" in name]
    assert (scaled.mean[unscaled] == 0).all()
    assert (scaled.std[unscaled] == 1).all()
    np.testing.assert_array_equal(scaled.train.X[:, :, unscaled], plain.train.X[:, :, unscaled])
    assert (plain.std == 1).all()


def test_apply_uses_the_old_variables_and_scaling_and_puts_all_in_test(folder, tmp_path):
    run(tmp_path / "old", folder, derive="delta")
    other = hospital(5, shift=7).write(tmp_path / "other")
    result = run(tmp_path / "new", other, apply=tmp_path / "old" / "dataset.npz")
    old, new = (dataset.load(tmp_path / name / "dataset.npz") for name in ("old", "new"))
    assert result["splits"]["test"]["stays"] == len(new.test) == 5
    assert len(new.train) == len(new.val) == 0
    assert new.feature_names == old.feature_names
    np.testing.assert_array_equal(new.mean, old.mean)
    assert new.meta["inputs"] == old.meta["inputs"]
    assert new.meta["manifest"]["inputs"]["apply"]["path"].endswith("dataset.npz")


def test_apply_to_the_same_records_gives_the_same_rows(folder, tmp_path):
    run(tmp_path / "old", folder)
    run(tmp_path / "new", folder, apply=tmp_path / "old" / "dataset.npz")
    old, new = (dataset.load(tmp_path / name / "dataset.npz") for name in ("old", "new"))
    place = {stay: i for i, stay in enumerate(new.test.stay_id)}
    for name in dataset.SPLITS:
        split = old.split(name)
        np.testing.assert_array_equal(new.test.X[[place[stay] for stay in split.stay_id]], split.X)


def test_batches_give_what_preprocess_writes(folder, tmp_path):
    run(tmp_path, folder, derive="delta,min,max,mean")
    data = dataset.load(tmp_path / "dataset.npz")
    spec = InputSpec.from_dict(json.loads(json.dumps(data.meta["inputs"])))
    found = list(dataset.batches(folder, spec, session(tmp_path), batch_stays=5))
    assert [len(batch.stay_id) for batch in found] == [5, 5, 2]
    rows = {stay: x for batch in found for stay, x in zip(batch.stay_id, batch.X, strict=True)}
    for name in dataset.SPLITS:
        for stay, x in zip(data.split(name).stay_id, data.split(name).X, strict=True):
            np.testing.assert_array_equal(rows[stay], x)
    assert found[0].measured[0, spec.variables.names.index("Heart Rate")] == 8


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_folders_with_any_name(tmp_path, ending):
    folder = hospital().write(tmp_path / "ward's [1] *data?", ending=ending)
    assert run(tmp_path / "my [2] work's", folder)["splits"]["train"]["stays"] > 0


def test_what_is_shown(folder, tmp_path):
    from rich.console import Console as RichConsole

    result = run(tmp_path, folder)
    console = RichConsole(width=100, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    for part in render(result):
        console.print(part)
    shown = console.export_text()
    assert "no transfer" in shown
    assert "Never measured: Capillary refill rate" in shown
    assert any("train split is too small (" in text for text in result["warnings"])
    json.dumps(result, allow_nan=False)


def test_without_source_the_sample_is_used(tmp_path, sample_data, capsys):
    if not any(sample_data.glob("*.csv*")):
        pytest.skip("the sample has no tables yet")
    made = Session(workspace=tmp_path, console=Console())
    result = preprocess(made)
    assert "bundled sample" in capsys.readouterr().err
    assert result["splits"]["test"]["stays"] > 0


def test_command_line(folder, tmp_path):
    command = [sys.executable, "-m", "mortcond.cli", "preprocess", str(folder), "-w", str(tmp_path / "w"), "--json"]
    first = subprocess.run([*command, "--no-scale", "--derive", "delta"], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["features"] == 76 + 12
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


# What it refuses


def breaks(tmp_path, folder, pattern, error=InputError, **options):
    """Assert that preprocess refuses the folder with a message of this form and leaves nothing behind."""
    with pytest.raises(error, match=pattern) as caught:
        run(tmp_path / "w", folder, **options)
    assert caught.value.remedy
    left = list((tmp_path / "w").iterdir()) if (tmp_path / "w").exists() else []
    assert left == []


def test_a_source_that_is_not_there(tmp_path):
    breaks(tmp_path, tmp_path / "nowhere", "There is no .*nowhere")


def test_a_source_of_no_known_form(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    breaks(tmp_path, tmp_path / "in", "holds no records of a known form")


@pytest.mark.parametrize("table", ["ADMISSIONS", "PATIENTS", "DIAGNOSES_ICD", "D_ICD_DIAGNOSES", "LABEVENTS"])
def test_a_missing_table(tmp_path, folder, table):
    (folder / f"{table}.csv").unlink()
    breaks(tmp_path, folder, f"has no table {table}")


def test_a_table_twice(tmp_path, folder):
    (folder / "CHARTEVENTS.csv.gz").write_bytes(gzip.compress((folder / "CHARTEVENTS.csv").read_bytes()))
    breaks(tmp_path, folder, r"holds CHARTEVENTS twice: CHARTEVENTS.csv and CHARTEVENTS.csv.gz")


@pytest.mark.parametrize(
    ("table", "column"),
    [("CHARTEVENTS", "ITEMID"), ("LABEVENTS", "VALUE"), ("ICUSTAYS", "INTIME"), ("PATIENTS", "DOB")],
)
def test_a_missing_column(tmp_path, folder, table, column):
    path = folder / f"{table}.csv"
    path.write_text(path.read_text().replace(column, "OTHER", 1))
    breaks(tmp_path, folder, f"{table}.csv has no column {column.lower()}")


@pytest.mark.parametrize("table", ["CHARTEVENTS", "ICUSTAYS"])
@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file(tmp_path, folder, table, content):
    (folder / f"{table}.csv").write_text(content)
    breaks(tmp_path, folder, f"{table}.csv is empty")


def test_a_header_without_rows(tmp_path, folder):
    write_table(folder, "ICUSTAYS", [])
    breaks(tmp_path, folder, "ICUSTAYS.csv has no rows")


def test_events_without_rows(tmp_path, folder):
    write_table(folder, "CHARTEVENTS", [])
    breaks(tmp_path, folder, "No stay of .* dropped: no_events 12")


@pytest.mark.parametrize("table", ["CHARTEVENTS", "ICUSTAYS"])
def test_a_truncated_gzip(tmp_path, table):
    folder = hospital(40).write(tmp_path / "in", ending=".csv.gz")
    path = folder / f"{table}.csv.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    breaks(tmp_path, folder, f"{table}.csv.gz is cut off after row")


def test_a_gzip_that_is_none(tmp_path):
    folder = hospital().write(tmp_path / "in", ending=".csv.gz")
    (folder / "LABEVENTS.csv.gz").write_bytes(b"no gzip at all")
    breaks(tmp_path, folder, r"LABEVENTS.csv.gz cannot be read: Not a gzipped file")


def test_a_damaged_parquet(tmp_path):
    folder = hospital().write(tmp_path / "in", ending=".parquet")
    path = folder / "CHARTEVENTS.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    breaks(tmp_path, folder, r"CHARTEVENTS.parquet cannot be read")


def replace(path, old: bytes, new: bytes) -> int:
    """Replace the first occurrence of some bytes in a file; return the row that has it."""
    content = path.read_bytes()
    place = content.index(old)
    path.write_bytes(content[:place] + new + content[place + len(old) :])
    return content[:place].count(b"\n") + 1


@pytest.mark.parametrize(
    ("table", "old"), [("CHARTEVENTS", b",None,"), ("ICUSTAYS", b",MICU,"), ("D_ICD_DIAGNOSES", b"4019")]
)
def test_a_byte_that_is_no_utf8(tmp_path, folder, table, old):
    row = replace(folder / f"{table}.csv", old, old[:-2] + b"\xb0" + old[-1:])
    breaks(tmp_path, folder, f"{table}.csv, row {row}: a byte that is no UTF-8")


def test_a_row_with_too_few_columns(tmp_path, folder):
    row = replace(folder / "CHARTEVENTS.csv", b",None,", b"\n")
    breaks(tmp_path, folder, f"CHARTEVENTS.csv, row {row}: .* columns, not 10")


def test_a_quote_that_never_closes(tmp_path, folder):
    replace(folder / "CHARTEVENTS.csv", b",None,", b',"None,')
    breaks(tmp_path, folder, r"CHARTEVENTS.csv, row \d+: ")


@pytest.mark.parametrize(("column", "value"), [("SUBJECT_ID", "x7"), ("HADM_ID", "1oo"), ("ICUSTAY_ID", "?")])
def test_text_where_an_id_belongs(tmp_path, column, value):
    made = hospital()
    made.rows["CHARTEVENTS"][5][column] = value
    breaks(tmp_path, made.write(tmp_path / "in"), f"CHARTEVENTS.csv, row 7, column {column}: .* is no number")


@pytest.mark.parametrize("value", ["2130-02-30 00:00:00", "yesterday", "2130-13-01 00:00:00", "01/02/2130"])
def test_an_impossible_time_of_an_event(tmp_path, value):
    made = hospital()
    made.rows["CHARTEVENTS"][5]["CHARTTIME"] = value
    breaks(tmp_path, made.write(tmp_path / "in"), "CHARTEVENTS.csv, row 7, column CHARTTIME: .* is no date")


@pytest.mark.parametrize(
    ("table", "column", "value", "fault"),
    [
        ("ICUSTAYS", "INTIME", "2130-02-30 12:00:00", "row 4, column INTIME: '2130-02-30 12:00:00' is no date"),
        ("ICUSTAYS", "INTIME", "", "row 4, column INTIME: '' is no date"),
        ("ICUSTAYS", "LOS", "long", "row 4, column LOS: 'long' is no number"),
        ("ICUSTAYS", "OUTTIME", "2129-01-01 00:00:00", "row 4: OUTTIME is before INTIME"),
        ("ICUSTAYS", "ICUSTAY_ID", "1000", "row 4: ICUSTAY_ID 1000 is there a second time"),
        ("ICUSTAYS", "SUBJECT_ID", "3.5", "row 4, column SUBJECT_ID: '3.5' is no whole number"),
        ("PATIENTS", "DOB", "2140-01-01 00:00:00", "row 4: DOB is after"),
        ("PATIENTS", "SUBJECT_ID", "1", "row 4: SUBJECT_ID 1 is there a second time"),
        ("ADMISSIONS", "DEATHTIME", "never", "row 4, column DEATHTIME: 'never' is no date"),
        ("ADMISSIONS", "HADM_ID", "100", "row 4: HADM_ID 100 is there a second time"),
    ],
)
def test_a_fault_in_a_small_table(tmp_path, table, column, value, fault):
    made = hospital()
    made.rows[table][2][column] = value
    breaks(tmp_path, made.write(tmp_path / "in"), rf"{table}\.csv, {fault}")


def test_an_empty_cohort(tmp_path):
    made = Hospital()
    for subject in range(1, 4):
        ids = {"subject": subject, "hadm": subject * 100, "icustay": subject * 1000}
        made.stay(**ids, dob="2125-01-01 00:00:00").chart(211, "80", **ids)
    breaks(tmp_path, made.write(tmp_path / "in"), "No stay of .* dropped: age_lt_18 3")


def test_a_split_without_training_stays(tmp_path, folder):
    listed = tmp_path / "all.csv"
    listed.write_text("".join(f"{patient},1\n" for patient in range(1, 13)))
    breaks(tmp_path, folder, "No stay of 12 is in the training split", split_file=listed)


@pytest.mark.parametrize(
    ("options", "error", "pattern"),
    [
        ({"derive": "slope"}, UsageError, "--derive slope"),
        ({"variables": "nothing"}, InputError, "There is no table of variables nothing"),
        ({"format": "hl7"}, UsageError, "--format hl7 is unknown"),
        ({"memory_limit": "much"}, UsageError, "--memory-limit much"),
    ],
)
def test_options_that_make_no_sense(tmp_path, folder, options, error, pattern):
    breaks(tmp_path, folder, pattern, error, **options)


def test_apply_takes_no_options_of_its_own(tmp_path, folder):
    run(tmp_path / "old", folder)
    with pytest.raises(UsageError, match="--apply takes these from the old data set or model: --variables"):
        run(tmp_path / "w", folder, variables="extended", apply=tmp_path / "old" / "dataset.npz")


def test_apply_of_something_else(tmp_path, folder):
    breaks(tmp_path, folder, "ICUSTAYS.csv is no data set", apply=folder / "ICUSTAYS.csv")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_tables_are_read_or_refused_never_a_crash(tmp_path_factory, data):
    workspace = tmp_path_factory.mktemp("fuzz")
    folder = hospital(4).write(workspace / "in")
    path = folder / f"{data.draw(st.sampled_from(['CHARTEVENTS', 'ICUSTAYS', 'PATIENTS', 'LABEVENTS']))}.csv"
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, max(0, len(content) - 1)))
    length = data.draw(st.integers(0, 30))
    content[start : start + length] = data.draw(st.binary(max_size=30) | st.text(max_size=12).map(str.encode))
    path.write_bytes(bytes(content))
    fault = None
    try:
        run(workspace / "w", folder)
    except MortcondError as error:
        fault = error
    assert (workspace / "w" / "dataset.npz").exists() == (fault is None)
    assert fault is None or (fault.exit_code == 3 and fault.problem)


def test_interrupted_while_writing_nothing_is_left(tmp_path, folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("mortcond.dataset.npz.write_stays", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "w", folder)
    assert list((tmp_path / "w").iterdir()) == []


def test_the_same_records_give_the_same_bytes_whatever_the_clock_and_the_threads(tmp_path):
    made = hospital()
    for hour in range(1, 30):  # parts of a sum, whose order must not matter
        for part, item in enumerate((40055, 43175, 40069, 40094)):
            made.output(item, 0.1 * (part + 1) + hour / 7, hours=float(hour))
    folder, digests = made.write(tmp_path / "in"), set()
    for number, threads in enumerate((1, 2, 2)):
        where = session(tmp_path / f"w{number}")
        result = preprocess(where, folder, variables="extended", threads=threads, memory_limit=f"{600 + number}MB")
        digests.add(sha256(Path(result["path"])))
    assert len(digests) == 1
