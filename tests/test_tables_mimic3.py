"""MIMIC-III: every rule of the public benchmark from a few rows, its whole result on the demo, and every form of input.

The names Q1 to Q16 are those of the list of quirks that an equal implementation must reproduce.
"""

import csv
import random
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mimic3_tables import INTIME, Hospital, at, category, read, tensor, text

from mortcond import dataset
from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.variables import load

EYE, MOTOR, TOTAL, VERBAL = (
    f"Glascow coma scale {part}" for part in ("eye opening", "motor response", "total", "verbal response")
)
FIO2, HR, MBP, SBP, DBP = (
    "Fraction inspired oxygen",
    "Heart Rate",
    "Mean blood pressure",
    "Systolic blood pressure",
    "Diastolic blood pressure",
)


@pytest.fixture
def cells(tmp_path):
    """Return a function: hospital -> unscaled X by feature name, each (stays, hours)."""

    def call(hospital, variables="paper76", **request):
        scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        found = read(hospital.write(tmp_path / "in"), scratch, variables, **request)
        return tensor(found, variables)

    return call


@pytest.fixture
def hourly_values(cells):
    """Return a function: one (item, text, unit) an hour of one stay -> the channel's values in these hours."""

    def values(channel: str, *events: tuple) -> list[float]:
        hospital = Hospital().stay()
        for hour, (item, value, *unit) in enumerate(events):
            hospital.chart(item, value, hours=hour + 0.5, unit=(*unit, "")[0])
        return cells(hospital)[channel][0, : len(events)].tolist()

    return values


# The demo


@pytest.fixture(scope="module")
def demo(test_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    session = Session(workspace=folder, console=Console(quiet=True))
    preprocess(session, test_data / "mimic3-demo", scale=False)
    return folder / "dataset.npz"


def joined(path) -> dict[str, np.ndarray]:
    splits = [dataset.load(path).split(name) for name in ("train", "val", "test")]
    return {name: np.concatenate([getattr(split, name) for split in splits]) for name in ("X", "y", "stay_id")}


def test_demo_equals_the_public_reference_in_every_cell(demo, test_data):
    found, expected = joined(demo), np.load(test_data / "reference" / "mimic3-demo-ihm-tensors.npz")
    assert dataset.load(demo, ()).feature_names == tuple(expected["feature_names"])
    order = {stay: place for place, stay in enumerate(found["stay_id"])}
    places = [order[stay] for stay in expected["icustay_id"]]
    np.testing.assert_allclose(found["X"][places], expected["X_raw"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found["y"][places], expected["y"])


def test_demo_cohort_equals_the_public_reference(demo, test_data):
    expected = pd.read_csv(test_data / "reference" / "mimic3-demo-cohort.csv").set_index("icustay_id")
    found, stored = joined(demo), np.load(demo)
    assert sorted(found["stay_id"]) == sorted(expected.index[expected.kept_ihm == 1])
    assert dict(zip(found["stay_id"], found["y"], strict=True)) == expected.y_true[expected.kept_ihm == 1].to_dict()
    reasons = dict(zip(stored["dropped_stay_id"], stored["dropped_reason"], strict=True))
    assert reasons == expected.reason_dropped[expected.kept_ihm == 0].to_dict()


def test_demo_attrition(demo):
    steps = {step["step"]: step for step in dataset.load(demo, ()).meta["attrition"]}
    counts = {name: (step["stays"], step["admissions"], step["patients"]) for name, step in steps.items()}
    assert counts["start"] == (136, 129, 100)
    assert counts["icu_transfer"] == (126, 120, 94)
    assert counts["multiple_stays_per_admission"] == (115, 115, 90)
    assert counts["age_lt_18"] == (114, 114, 89)
    assert steps["los_lt_48h"]["dropped"] == 57


# The quirks


def test_q1_none_is_a_value_of_eye_opening(cells):
    X = cells(Hospital().stay().chart(184, "None"))
    assert category(X, EYE) == "None"
    assert X[f"mask->{EYE}"][0, 0] == 1


@pytest.mark.parametrize("missing", ["", "NaN", "NULL", "n/a", "#N/A", "-1.#IND", "<NA>"])
def test_texts_for_missing_are_no_measurement(cells, missing):
    X = cells(Hospital().stay().chart(211, "80").chart(184, missing))
    assert X[f"mask->{EYE}"].sum() == 0


def test_q2_of_numbers_at_one_time_the_largest_counts(cells):
    X = cells(Hospital().stay().chart(807, "95").chart(811, "120").chart(1529, "99"))
    assert X["Glucose"][0, 0] == 120


@pytest.mark.parametrize(
    ("texts", "largest"), [(("99", "100"), 99), (("7", "-8"), 7), (("18", "112"), 18), (("80", "80.0"), 80)]
)
def test_q2_heart_rate_respiratory_rate_and_mean_pressure_compare_as_text(cells, texts, largest):
    hospital = Hospital().stay()
    for value in texts:
        hospital.chart(211, value).chart(618, value).chart(52, value)
    X = cells(hospital)
    assert [X[channel][0, 0] for channel in (HR, "Respiratory rate", MBP)] == [largest] * 3


def test_q2_categories_compare_as_text(cells):
    X = cells(Hospital().stay().chart(184, "None").chart(220739, "To Speech"))
    assert category(X, EYE) == "To Speech"


def test_q3_fio2_is_divided_by_100_unless_torr(hourly_values):
    units = [("0.5", ""), ("1.0", ""), ("50", "%"), ("0.5", "torr"), ("60", "Torr"), ("4", "")]
    found = hourly_values(FIO2, *((3420, *event) for event in units))
    assert found == [0.005, 0.01, 0.5, 0.5, 60, 0.04]


def test_q4_only_the_size_of_a_temperature_decides(hourly_values):
    found = hourly_values(
        "Temperature", (678, "98.6", "?F"), (678, "79", "C"), (678, "78.9", "F"), (678, "37", "Deg. F")
    )
    assert found == [(98.6 - 32) * 5 / 9, (79 - 32) * 5 / 9, 78.9, 37]


def test_q5_weight_by_unit_and_item(hourly_values):
    events = {
        (763, "80", "kg"): 80,
        (763, "160", "LBs"): 160 * 0.453592,
        (763, "1600", "oz"): 1600 / 16 * 0.453592,
        (3581, "160", ""): 160 * 0.453592,
        (226531, "160", "kg"): 160 * 0.453592,
        (3582, "1600", ""): 1600 / 16 * 0.453592,
        (3582, "1600", "lb"): 1600 / 16 * 0.453592,
        (3581, "1600", "oz"): 1600 / 16 * 0.453592,
    }
    assert hourly_values("Weight", *events) == list(events.values())


def test_q5_height_by_unit_and_item(hourly_values):
    events = {
        (1394, "70", ""): 178,  # 177.8
        (226707, "70", "Inch"): 178,
        (226730, "170.4", "cm"): 170.4,
        (226707, "25", "min"): 64,  # 63.5, half to even; "min" contains "in"
        (226707, "75", "in"): 190,  # 190.5, half to even
    }
    assert hourly_values("Height", *events) == list(events.values())


def test_q6_no_value_is_out_of_range(cells):
    X = cells(Hospital().stay().chart(51, "11647").chart(52, "-8").chart(646, "10"))
    assert (X[SBP][0, 0], X[MBP][0, 0], X["Oxygen saturation"][0, 0]) == (11647, -8, 10)


def test_q7_laboratory_values_belong_to_the_stay_of_their_admission(cells):
    X = cells(Hospital().stay().lab(50931, "101").lab(50820, "7.31", hours=3))
    assert X["Glucose"][0, 0] == 101
    assert X["pH"][0, 2] == 7.31


def test_q7_rows_without_stay_are_recovered_and_those_of_another_stay_dropped(cells):
    hospital = Hospital().stay().chart(211, "80", icustay="").chart(211, "99", hours=1.5, icustay=77)
    X = cells(hospital)
    assert X[HR][0, 0] == 80
    assert X[f"mask->{HR}"][0].sum() == 1


def test_rows_without_admission_are_never_recovered(cells):
    X = cells(Hospital().stay().chart(211, "80").chart(211, "99", hours=1.5, hadm=""))
    assert X[f"mask->{HR}"][0].sum() == 1


def test_q8_rows_flagged_as_errors_stay_in(cells):
    assert cells(Hospital().stay().chart(211, "80", error="1"))[HR][0, 0] == 80


def test_flagged_rows_are_dropped_where_the_table_of_variables_says_so(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("name,kind,normal,flagged,mimic3\nHR,number,86,drop,211\nRR,number,19,keep,618\n")
    hospital = Hospital().stay().chart(211, "80", error="1").chart(211, "90", hours=1.5).chart(618, "20", error="1")
    X = tensor(read(hospital.write(tmp_path / "in"), tmp_path / "s", load(path)), load(path))
    assert X["HR"][0, :2].tolist() == [86, 90]
    assert X["RR"][0, 0] == 20


def test_q9_values_are_text_to_the_end(cells):
    X = cells(Hospital().stay().chart(198, "11").chart(198, "9", hours=1.5))
    assert category(X, TOTAL) == "11"
    assert category(X, TOTAL, hour=1) == "9"


def test_q10_an_hour_holds_its_end_and_not_its_start(cells):
    hours = {0: 0, 3600: 0, 3601: 1, 7200: 1, 3 * 3600 + 1: 3, 47 * 3600: 46, 48 * 3600: 47}
    hospital = Hospital().stay()
    for seconds in hours:
        hospital.chart(211, "80", hours=seconds / 3600)
    assert set(np.flatnonzero(cells(hospital)[f"mask->{HR}"][0])) == set(hours.values())


def test_q10_outside_the_window_nothing_counts_nor_is_carried_in(cells):
    hospital = Hospital().stay().chart(618, "20")
    for seconds in (-1, -3600, 48 * 3600 + 1):
        hospital.chart(211, "80", hours=seconds / 3600)
    X = cells(hospital)
    assert X[f"mask->{HR}"].sum() == 0
    assert (X[HR] == 86).all()


def test_q11_gcs_total_is_not_computed_from_its_components(cells):
    X = cells(Hospital().stay().chart(220739, "None").chart(223900, "No Response").chart(223901, "No response"))
    assert (category(X, TOTAL), X[f"mask->{TOTAL}"].sum()) == ("15", 0)
    assert (category(X, EYE), category(X, VERBAL), category(X, MOTOR)) == ("None", "No Response", "No response")


def test_q12_normal_values_from_the_first_hour_and_carried_forward(cells):
    X = cells(Hospital().stay().chart(211, "80", hours=2.5).chart(211, "95", hours=4.5))
    assert X[HR][0, :6].tolist() == [86, 86, 80, 80, 95, 95]
    assert X[f"mask->{HR}"][0, :6].tolist() == [0, 0, 1, 0, 1, 0]
    assert (X[FIO2] == 0.21).all()
    assert (X["Weight"] == 81).all()
    assert (X["Height"] == 170).all()
    assert category(X, "Capillary refill rate") == "0.0"


def test_q12_the_last_value_of_an_hour_wins(cells):
    X = cells(Hospital().stay().chart(211, "80", hours=0.9).chart(211, "99", hours=0.2).chart(211, "70", hours=0.5))
    assert X[HR][0, 0] == 80


@pytest.mark.parametrize(
    ("item", "value", "channel"),
    [
        (184, "1 No Response", EYE),
        (454, "1 No Response", MOTOR),
        (723, "1 No Response", VERBAL),
        (223901, "No response", MOTOR),
        (223900, "No Response", VERBAL),
    ],
)
def test_q13_the_same_words_in_several_channels(cells, item, value, channel):
    X = cells(Hospital().stay().chart(item, value))
    assert category(X, channel) == value
    assert sum(X[name][0, 0] for name in X if name.startswith("mask->")) == 1


def test_q13_a_word_in_other_case_is_the_word_of_its_own_channel(cells):
    X = cells(Hospital().stay().chart(223901, "No Response").chart(223900, "NO RESPONSE").chart(220739, " none "))
    channels = {"motor response": "No response", "verbal response": "No Response", "eye opening": "None"}
    for channel, word in channels.items():
        assert category(X, f"Glascow coma scale {channel}") == word


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title, "{}  ".format])
def test_words_in_another_case_are_read_by_every_table(cells, change):
    words = {223901: "Obeys Commands", 223900: "Confused", 220739: "To Speech"}
    for variables in ("paper76", "extended"):
        as_published, changed = Hospital().stay(), Hospital().stay()
        for item, word in words.items():
            as_published.chart(item, word)
            changed.chart(item, change(word))
        expected, found = cells(as_published, variables), cells(changed, variables)
        assert sum(found[f"mask->Glascow coma scale {part}"][0, 0] for part in ("motor response", "eye opening")) == 2
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_q14_urine_and_blood_share_a_channel(cells):
    X = cells(Hospital().stay().lab(51478, "250").lab(51491, "5.0").lab(50820, "7.4", hours=1.5))
    assert X["Glucose"][0, 0] == 250
    assert X["pH"][0, :2].tolist() == [5.0, 7.4]


def two_stays() -> Hospital:
    """A patient with two admissions that overlap in time: stays 1000 and 2000, the second one hour later."""
    return Hospital().stay().stay(hadm=200, icustay=2000, intime=at(1))


def test_q15_values_of_a_patient_are_settled_across_stays(cells):
    X = cells(two_stays().chart(807, "90", hours=1.5).chart(807, "130", hours=1.5, hadm=200, icustay=2000))
    assert (X["Glucose"][0, 1], X["Glucose"][1, 0]) == (130, 130)


def test_q15_an_event_of_another_admission_within_the_stay_counts(cells):
    X = cells(two_stays().chart(211, "80").chart(807, "130", hours=3.5, hadm=200, icustay=2000))
    assert X["mask->Glucose"][0, 3] == 1
    assert X["mask->Glucose"][1, 2] == 1
    assert X[f"mask->{HR}"][1].sum() == 0  # before the second stay began, and not recorded under it


def test_q15_a_time_outside_a_stay_belongs_to_it_if_any_event_then_was_recorded_under_it(cells):
    early = INTIME + timedelta(hours=40)  # the first stay's OUTTIME says 24 hours, its LOS three days
    hospital = Hospital().stay(outtime=at(24)).stay(hadm=200, icustay=2000, intime=at(10))
    hospital.chart(211, "80", hours=text(early)).chart(807, "130", hours=text(early), hadm=200, icustay=2000)
    X = cells(hospital)
    assert X["Glucose"][0, 39] == 130


def test_q16_nothing_left_is_an_error_and_not_an_empty_result(tmp_path):
    folder = Hospital().stay(los=1.0).chart(211, "80").write(tmp_path / "in")
    session = Session(workspace=tmp_path, console=Console(quiet=True))
    with pytest.raises(InputError, match=r"No stay .* is in the cohort; dropped: los_lt_48h 1"):
        preprocess(session, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


# Cleaning


def test_capillary_refill(hourly_values):
    words = ["Delayed", "Normal <3 secs", "Abnormal >3 secs", "Brisk", "Delayed"]
    assert hourly_values("Capillary refill rate->1.0", *((3348, word) for word in words)) == [1, 0, 1, 0, 1]


def test_other_capillary_refill_is_no_measurement(hourly_values):
    words = ["Delayed", "normal <3 secs", "Other/Remarks", "0.0", "1.0"]
    assert hourly_values("mask->Capillary refill rate", *((3348, word) for word in words)) == [1, 0, 0, 0, 0]


def test_two_pressures_in_one_text(cells):
    X = cells(Hospital().stay().chart(51, "120/80").chart(8368, "120/80"))
    assert (X[SBP][0, 0], X[DBP][0, 0]) == (120, 80)


@pytest.mark.parametrize(("channel", "item"), [("Glucose", 811), ("pH", 780)])
def test_digits(hourly_values, channel, item):
    good, bad = ["5.", ".5", "100"], [".", "-5", "1e3", " 100", ">500", "ERROR", "100 ", "1.2.3"]
    found = hourly_values(f"mask->{channel}", *((item, value) for value in good + bad))
    assert found == [1] * len(good) + [0] * len(bad)


def test_saturation_up_to_1_is_a_fraction(hourly_values):
    found = hourly_values("Oxygen saturation", *((646, value) for value in ("0.97", "1", "0", "1.5", "97")))
    assert found == [97, 100, 0, 1.5, 97]


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (51, "high"),
        (51, "120/"),
        (51, "a/b"),
        (3420, "x"),
        (678, "warm"),
        (763, "n/k"),
        (226730, "tall"),
        (211, "fast"),
    ],
)
def test_text_where_numbers_belong_is_left_out_counted_and_named(tmp_path, item, value):
    hospital = Hospital().stay().chart(618, "20").chart(item, value).chart(item, value, hours=1.5)
    folder = hospital.write(tmp_path / "in")
    records = read(folder, tmp_path / "scratch")
    assert sum(f"2 values that are no number left out: {value!r}" in note for note in records.notes) == 1
    X = tensor(records)
    assert sum(values.sum() for name, values in X.items() if name.startswith("mask->")) == 1
    with pytest.raises(InputError, match=rf"CHARTEVENTS.csv, row 3, column VALUE: {value!r} is no number"):
        read(folder, tmp_path / "strict", strict=True)


@pytest.mark.parametrize(("item", "value"), [(211, "fast"), (184, "asleep")])
def test_text_that_the_reference_never_comes_to_read_is_no_error(cells, item, value):
    hospital = Hospital().stay().chart(618, "20").chart(item, value, hours=60)  # after the window
    hospital.chart(211, "99", hours=1.5).chart(211, "1O0", hours=1.5)  # "99" comes after "1O0": that is never read
    X = cells(hospital)
    assert X[f"mask->{HR}"].sum() == 1
    assert X[HR][0, 1] == 99


# The cohort


def ids(records) -> list[int]:
    return records.stays.stay_id.tolist()


def reasons(records) -> dict[int, str]:
    return dict(zip(records.dropped.stay_id, records.dropped.reason, strict=True))


def cohort_of(hospital: Hospital, tmp_path, **request):
    return read(hospital.write(tmp_path / "in"), tmp_path / "scratch", **request)


def test_a_transfer_goes_before_the_stays_of_an_admission_are_counted(tmp_path):
    hospital = Hospital().stay().chart(211, "80")
    hospital.stay(icustay=1001, LAST_WARDID=23)  # the same admission
    hospital.stay(subject=2, hadm=200, icustay=2000, LAST_CAREUNIT="CCU")
    hospital.stay(subject=3, hadm=300, icustay=3000).stay(subject=3, hadm=300, icustay=3001)
    records = cohort_of(hospital, tmp_path)
    assert ids(records) == [1000]
    assert reasons(records) == {
        1001: "icu_transfer",
        2000: "icu_transfer",
        3000: "multiple_stays_per_admission",
        3001: "multiple_stays_per_admission",
    }


def test_age(tmp_path):
    hospital = Hospital()
    born = {
        1: INTIME - timedelta(days=18 * 365),
        2: INTIME - timedelta(days=18 * 365 - 1),
        3: INTIME - timedelta(days=110_000),
    }
    for subject, dob in born.items():
        ids_ = {"subject": subject, "hadm": subject * 100, "icustay": subject * 1000}
        hospital.stay(**ids_, dob=text(dob)).chart(211, "80", **ids_)
    records = cohort_of(hospital, tmp_path)
    assert ids(records) == [1000, 3000]
    assert reasons(records) == {2000: "age_lt_18"}
    assert records.stays.age.tolist() == [18, 90]


@pytest.mark.parametrize(
    ("facts", "died"),
    [
        ({}, 0),
        ({"deathtime": text(at(100))}, 1),
        ({"deathtime": text(at(240))}, 1),  # at discharge
        ({"deathtime": text(at(241))}, 0),  # after discharge
        ({"dod": "2130-01-05 00:00:00"}, 1),
        ({"dod": "2130-01-01 00:00:00"}, 0),  # midnight before the admission
        ({"dod": "2130-01-11 00:00:00", "dischtime": "2130-01-11 15:00:00"}, 1),  # the day of a live discharge
        ({"dod": "2130-02-01 00:00:00"}, 0),
    ],
)
def test_label(tmp_path, facts, died):
    records = cohort_of(Hospital().stay(**facts).chart(211, "80"), tmp_path)
    assert records.stays.died.tolist() == [died]


def test_rules_of_the_task(tmp_path):
    hospital = Hospital()
    facts = {1: {}, 2: {"codes": ("999",)}, 3: {"los": ""}, 4: {"los": 1.9999}, 5: {"los": 2.0}, 6: {}, 7: {}}
    for subject, fact in facts.items():
        ids_ = {"subject": subject, "hadm": subject * 100, "icustay": subject * 1000}
        hospital.stay(**ids_, **fact)
        if subject < 6:
            hospital.chart(211, "80", **ids_)
    hospital.chart(211, "80", hours=50, subject=7, hadm=700, icustay=7000)
    records = cohort_of(hospital, tmp_path)
    assert ids(records) == [1000, 5000]
    assert reasons(records) == {
        2000: "no_diagnosis",
        3000: "los_missing",
        4000: "los_lt_48h",
        6000: "no_events",
        7000: "no_events_in_window",
    }
    assert [step.dropped for step in records.attrition] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_without_labels_the_outcome_is_not_asked_for(tmp_path):
    hospital = Hospital().stay(los="", outtime=None, codes=()).chart(211, "80")
    folder = hospital.write(tmp_path / "in")
    for name in ("ADMISSIONS", "DIAGNOSES_ICD", "D_ICD_DIAGNOSES"):
        (folder / f"{name}.csv").unlink()
    records = read(folder, tmp_path / "scratch", labels=False)
    assert ids(records) == [1000]
    assert records.stays.died.tolist() == [0]


# The form of the input


@pytest.fixture(scope="module")
def many() -> Hospital:
    """Several patients, with several values at one time and several stays of one patient."""
    chance, hospital = random.Random(1), Hospital()
    for subject in range(1, 5):
        for admission in range(1 + (subject == 2)):
            ids_ = {"subject": subject, "hadm": subject * 100 + admission, "icustay": subject * 1000 + admission}
            start = at(60 * admission)
            hospital.stay(**ids_, intime=start)
            for _ in range(40):
                item, value = chance.choice(
                    [(211, chance.randint(50, 130)), (807, chance.randint(60, 300)), (184, "None")]
                )
                hospital.chart(item, value, hours=chance.randint(0, 60), **ids_, start=start)
            hospital.chart(742, 'a "quoted", text', **ids_, start=start)
            hospital.lab(50931, chance.randint(60, 300), subject=subject, hadm=ids_["hadm"], start=start)
    return hospital


@pytest.fixture(scope="module")
def expected(many, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return tensor(read(many.write(folder / "in"), folder / "scratch"))


FORMS = st.fixed_dictionaries(
    {
        "parts": st.integers(1, 3),
        "subfolder": st.booleans(),
        "ending": st.sampled_from([".csv", ".csv.gz", ".parquet", ".CSV"]),
        "lower_files": st.booleans(),
        "lower_columns": st.booleans(),
        "quote_all": st.booleans(),
        "crlf": st.booleans(),
    }
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=FORMS, seed=st.integers(0, 1000))
def test_form_and_order_of_the_input_do_not_matter(many, expected, tmp_path_factory, form, seed):
    folder = tmp_path_factory.mktemp("form")
    shuffled = Hospital({name: random.Random(seed).sample(rows, len(rows)) for name, rows in many.rows.items()})
    shuffled.rows["D_ICD_DIAGNOSES"] = many.rows["D_ICD_DIAGNOSES"]
    found = tensor(read(shuffled.write(folder / "in", **form), folder / "scratch"))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=f"{name} {form}")


def test_ids_as_other_programs_write_them(cells):
    hospital = Hospital().stay().chart(211, "80", hadm="100.0", icustay="1000.0")
    assert cells(hospital)[HR][0, 0] == 80


def test_extra_columns_and_their_order_do_not_matter(tmp_path):
    folder = Hospital().stay().chart(211, "80").write(tmp_path / "in")
    path = folder / "CHARTEVENTS.csv"
    rows = [[*reversed(row), "more"] for row in csv.reader(path.open())]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert tensor(read(folder, tmp_path / "scratch"))[HR][0, 0] == 80


def test_sums_add_up_within_the_hour_and_over_items(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("name,kind,normal,aggregate,mimic3\nHR,number,86,last,211\nUrine,number,0,sum,40055;43175\n")
    hospital = Hospital().stay().chart(211, "80")
    hospital.output(40055, "100").output(43175, "30").output(40055, "50", hours=0.75).output(40055, "70", hours=1.5)
    hospital.output(40055, "500", error="1", hours=2.5)
    X = tensor(read(hospital.write(tmp_path / "in"), tmp_path / "s", load(path)), load(path))
    assert X["Urine"][0, :4].tolist() == [180, 70, 0, 0]
    assert X["mask->Urine"][0, :4].tolist() == [1, 1, 0, 0]
