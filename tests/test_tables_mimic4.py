"""MIMIC-IV: the benchmark's rules as far as they go, every version's form, and the open demo."""

import gzip

import numpy as np
import pandas as pd
import pytest
from mimic3_tables import at, category, read, tensor, text
from mimic4_tables import Hospital4

from mortcond import tables
from mortcond.core.errors import InputError

VERBAL = "Glascow coma scale verbal response"


def records_of(hospital: Hospital4, tmp_path, variables="paper76", form=None, **written):
    return read(hospital.write(tmp_path / "in", **written), tmp_path / "scratch", variables, form=form)


def cells_of(hospital: Hospital4, tmp_path, variables="paper76") -> dict[str, np.ndarray]:
    return tensor(records_of(hospital, tmp_path, variables), variables)


def steps(records) -> dict[str, int]:
    return {step.step: step.dropped for step in records.attrition}


# The demo


@pytest.fixture(scope="module")
def demo(test_data, tmp_path_factory):
    folder = test_data / "mimic4-demo"
    if not folder.is_dir():
        pytest.skip("no MIMIC-IV demo here")
    return read(folder, tmp_path_factory.mktemp("demo4"), form=None)


def test_demo_cohort(demo):
    assert demo.source == "mimic4"
    left = {step.step: (step.stays, step.admissions, step.patients) for step in demo.attrition}
    assert left["start"] == (140, 128, 100)
    assert left["no_events_in_window"] == (54, 54, 47)
    assert demo.stays.died.sum() == 9


def test_demo_heights_are_known_from_admission(demo):
    X = tensor(demo)
    known = X["mask->Height"][:, 0] == 1
    assert known.mean() >= 0.6
    assert (X["Height"][known, 0] > 120).all()
    assert any("charted before ICU admission count as known at hour 0" in note for note in demo.notes)


def test_demo_says_how_many_points_are_ambiguous(demo, test_data):
    charts = pd.read_csv(test_data / "mimic4-demo" / "icu" / "chartevents.csv.gz", dtype=str)
    ones = charts[(charts.itemid == "223900") & (charts.value == "1")]
    note = next(note for note in demo.notes if note.startswith(VERBAL))
    count = int(note.split("points of ")[1].split(" ")[0].replace(",", ""))
    assert 0 < count <= len(ones)
    assert "taken as 'No Response-ETT'" in note


# Versions and folders


@pytest.mark.parametrize(
    "form",
    [{}, {"flat": True}, {"version": "1.0"}, {"ending": ".csv.gz"}, {"ending": ".parquet"}],
    ids=lambda form: str(form) or "2.2",
)
def test_every_version_gives_the_same(form, tmp_path):
    hospital = Hospital4().stay().chart(220045, 88).lab(50931, 140, hours=2.5)
    records = records_of(hospital, tmp_path, **form)
    X = tensor(records)
    assert records.source == "mimic4"
    assert (X["Heart Rate"][0, 0], X["Glucose"][0, 2]) == (88, 140)


def test_a_table_in_two_folders_is_refused(tmp_path):
    hospital = Hospital4().stay().chart(220045, 88)
    hospital.write(tmp_path / "in", flat=True)
    with pytest.raises(InputError, match="both hold a table chartevents"):
        records_of(hospital, tmp_path, form="mimic4")


def test_mimic3_is_not_taken_for_mimic4(test_data):
    assert tables.detect(test_data / "mimic3-demo") == "mimic3"


# The cohort


def test_age_moves_on_from_the_anchor(tmp_path):
    hospital = Hospital4().stay(age=16, year=2128).chart(220045, 88)
    hospital.stay(2, 200, 2000, age=17, year=2130).chart(220045, 90, subject=2, hadm=200, stay=2000)
    records = records_of(hospital, tmp_path)
    assert records.stays.age.tolist() == [18]
    assert records.dropped.to_numpy().tolist() == [[2000, "age_lt_18"]]


def test_a_change_of_care_unit_is_a_transfer(tmp_path):
    hospital = Hospital4().stay(last="Coronary Care Unit (CCU)").stay(2, 200, 2000)
    hospital.chart(220045, 90, subject=2, hadm=200, stay=2000)
    assert steps(records_of(hospital, tmp_path))["icu_transfer"] == 1


@pytest.mark.parametrize(
    ("died", "facts"), [(1, {"deathtime": text(at(50))}), (1, {"dod": "2130-01-05"}), (0, {"dod": "2130-03-01"})]
)
def test_death_is_in_hospital(died, facts, tmp_path):
    records = records_of(Hospital4().stay(**facts).chart(220045, 88), tmp_path)
    assert records.stays.died.tolist() == [died]


@pytest.mark.parametrize(("dictionary", "dropped"), [((), 0), ([("I10", 10)], 0), ([("I10", 9)], 1)])
def test_a_diagnosis_counts_by_code_and_version(dictionary, dropped, tmp_path):
    hospital = Hospital4().stay().chart(220045, 88).stay(2, 200, 2000, code=("4019", 9))
    hospital.chart(220045, 88, subject=2, hadm=200, stay=2000)
    for code, version in dictionary and [*dictionary, ("4019", 9)]:
        hospital.add("d_icd_diagnoses", icd_code=code, icd_version=version)
    records = records_of(hospital, tmp_path)
    assert steps(records)["no_diagnosis"] == dropped
    rule = next(step.rule for step in records.attrition if step.step == "no_diagnosis")
    assert ("there is no d_icd_diagnoses" in rule) == (not dictionary)


# Events


def test_a_warning_is_no_error(tmp_path):
    X = cells_of(Hospital4().stay().chart(220045, 88, warning=1), tmp_path, "extended")
    assert X["Heart Rate"][0, 0] == 88


def test_the_last_height_before_admission_is_known_at_hour_0(tmp_path):
    hospital = Hospital4().stay().chart(226730, 150, hours=-5).chart(226730, 160, hours=-0.01)
    hospital.chart(226730, 190, hours=-6.5).chart(220045, 88, hours=-0.01)
    X = cells_of(hospital, tmp_path)
    assert X["Height"][0].tolist() == [160] * 48
    assert X["mask->Height"][0].tolist() == [1] + [0] * 47
    assert X["mask->Heart Rate"].sum() == 0


def test_a_height_in_the_first_hour_beats_an_earlier_one(tmp_path):
    X = cells_of(Hospital4().stay().chart(226730, 190, hours=-1).chart(226730, 160, hours=0.5), tmp_path)
    assert X["Height"][0, 0] == 160


def test_words_of_the_coma_scale_are_kept_and_points_become_words(tmp_path):
    hospital = Hospital4().stay().chart(223900, "No Response", hours=0.5).chart(223900, "1", hours=1.5)
    hospital.chart(223900, "5.0", hours=2.5).chart(223901, "3", hours=0.5).chart(220739, "1", hours=0.5)
    records = records_of(hospital, tmp_path)
    X = tensor(records)
    assert [category(X, VERBAL, hour=hour) for hour in range(3)] == ["No Response", "No Response-ETT", "Oriented"]
    assert category(X, "Glascow coma scale motor response") == "Abnormal Flexion"
    assert category(X, "Glascow coma scale eye opening") == "None"
    assert any("points of 1 values" in note for note in records.notes)


def test_points_in_extended_give_the_total(tmp_path):
    hospital = Hospital4().stay().chart(223900, "1").chart(223901, "3").chart(220739, "1")
    assert cells_of(hospital, tmp_path, "extended")["Glascow coma scale total"][0, 0] == 5


def test_care_units_are_known_to_extended(tmp_path):
    hospital = Hospital4().stay(first="Cardiac Vascular Intensive Care Unit (CVICU)").chart(220045, 88)
    X = cells_of(hospital, tmp_path, "extended")
    assert X["static->icu_type->cardiac surgery recovery"][0, 0] == 1


# What cannot be used


def test_points_that_there_are_none_of(tmp_path):
    with pytest.raises(InputError, match=r"chartevents.csv, row 2, column VALUE: '7' is no category"):
        folder = Hospital4().stay().chart(223901, "7").write(tmp_path / "in")
        read(folder, tmp_path / "scratch", form=None, strict=True)


@pytest.mark.parametrize("name", ["admissions", "patients", "diagnoses_icd", "labevents"])
def test_a_missing_table(name, tmp_path):
    folder = Hospital4().stay().chart(220045, 88).write(tmp_path / "in")
    (folder / "hosp" / f"{name}.csv").unlink()
    with pytest.raises(InputError, match=f"has no table {name}"):
        read(folder, tmp_path / "scratch", form=None)


def test_a_text_for_a_number(tmp_path):
    hospital = Hospital4().stay(age="sixty").chart(220045, 88)
    with pytest.raises(InputError, match=r"patients.csv, row 2, column ANCHOR_AGE: 'sixty' is no whole number"):
        records_of(hospital, tmp_path)


# Tables saved again


LARGE = 2**53


def patients(count: int = 3, first: int = 1) -> Hospital4:
    made = Hospital4()
    for number in range(first, first + count):
        ids = {"subject": number, "hadm": 100 + number, "stay": 1000 + number}
        made.stay(*ids.values()).chart(220045, 60 + number - first, **ids)
    return made


@pytest.mark.parametrize(
    ("table", "column", "reason"),
    [
        ("icustays", "subject_id", "no_admission"),
        ("icustays", "hadm_id", "no_admission"),
        ("patients", "subject_id", "no_admission"),
        ("admissions", "hadm_id", "no_admission"),
        ("diagnoses_icd", "hadm_id", "no_diagnosis"),
        ("diagnoses_icd", "subject_id", "no_diagnosis"),
        ("patients", "anchor_age", "age_unknown"),
        ("patients", "anchor_year", "age_unknown"),
        ("icustays", "los", "los_missing"),
    ],
)
@pytest.mark.parametrize("mark", ["NA", "\\N", "", "NaN"])
def test_a_gap_drops_the_one_stay(table, column, reason, mark, tmp_path):
    made = patients()
    made.rows[table][1][column] = mark
    records = records_of(made, tmp_path)
    assert records.dropped.to_numpy().tolist() == [[1002, reason]]
    assert records.stays.stay_id.tolist() == [1001, 1003]


def test_large_ids_stay_what_they_are(tmp_path):
    records = records_of(patients(first=LARGE), tmp_path)
    assert records.stays.stay_id.tolist() == [LARGE + 1000 + number for number in range(3)]
    assert records.stays.subject_id.tolist() == [LARGE + number for number in range(3)]
    assert tensor(records)["Heart Rate"][:, 0].tolist() == [60, 61, 62]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda text: text.encode("utf-16"), "is text in UTF-16"),
        (lambda text: gzip.compress(text.encode()), "is compressed by gzip"),
        (lambda text: text.replace(",", ";").encode(), "the columns are parted by semicolons"),
        (lambda text: b"", "is empty"),
    ],
)
def test_what_a_file_is_that_cannot_be_read(content, told, tmp_path):
    folder = patients().write(tmp_path / "in")
    for path in folder.rglob("*.csv"):
        path.write_bytes(content(path.read_text()))
    with pytest.raises(InputError, match=told):
        read(folder, tmp_path / "scratch", form=None)
