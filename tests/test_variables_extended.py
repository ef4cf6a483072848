"""The extended variables: their ids, ranges and repairs; the same patient from three sources."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimic3_tables import Hospital, category, read, tensor
from table_forms import column, prepare
from table_forms import tensor as prepared

from mortcond.variables import Variables, load
from mortcond.variables.cleaning import clean, points

EYE, MOTOR, TOTAL, VERBAL = (
    f"Glascow coma scale {part}" for part in ("eye opening", "motor response", "total", "verbal response")
)
CHALLENGE = """ALP ALT AST Albumin BUN Bilirubin Cholesterol Creatinine DiasABP FiO2 GCS Glucose HCO3 HCT HR Height K
    Lactate MAP MechVent Mg NIDiasABP NIMAP NISysABP Na PaCO2 PaO2 Platelets RespRate SaO2 SysABP Temp TroponinI
    TroponinT Urine WBC Weight pH"""


@pytest.fixture(scope="module")
def extended() -> Variables:
    return load("extended")


@pytest.fixture
def of(extended):
    return lambda name: extended[extended.names.index(name)]


@pytest.fixture
def cells(tmp_path):
    """Return a function: hospital -> unscaled X by feature name, each (stays, hours)."""
    return lambda hospital: tensor(read(hospital.write(tmp_path / "in"), tmp_path / "scratch", "extended"), "extended")


# The table


def test_every_row_cites_its_sources_and_bounds_its_numbers(extended):
    for variable in extended:
        assert variable.citation, variable.name
        if variable.kind == "number" and variable.rule != "presence":
            assert None not in (variable.low, variable.high), variable.name
        assert variable.flagged == "drop"


def test_the_channels_of_paper76_come_first_and_in_its_order(extended):
    assert extended.names[:17] == load("paper76").names


def test_every_parameter_of_the_challenge_is_used(extended):
    assert sorted(extended.items("physionet2012")) == sorted(CHALLENGE.split())


def test_one_category_for_each_meaning(of):
    assert of(EYE).categories == ("1 none", "2 to pain", "3 to speech", "4 spontaneously")
    assert [points(name) for name in of(MOTOR).categories] == [1, 2, 3, 4, 5, 6]
    assert [points(name) for name in of(VERBAL).categories] == [1, 1, 2, 3, 4, 5]
    old = load("paper76")
    for name in ("Capillary refill rate", EYE, MOTOR, VERBAL):  # each wording of paper76 has its category here
        for texts in old[old.names.index(name)].spellings:
            assert all(of(name).category_index(text) is not None for text in texts), (name, texts)


def rows(path, *columns):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {row[columns[0]]: tuple(row[name] for name in columns[1:]) for row in csv.DictReader(file)}


def test_ids_are_those_of_mimic3(test_data, extended):
    chart = rows(test_data / "mimic3-demo" / "D_ITEMS.csv.gz", "ITEMID", "LINKSTO", "LABEL")
    labs = rows(test_data / "mimic3-demo" / "D_LABITEMS.csv.gz", "ITEMID", "FLUID", "LABEL")
    for item, index in extended.items("mimic3").items():
        if item in labs:
            assert labs[item][0].upper() == "BLOOD", (item, labs[item])
        else:
            assert chart[item][0] == ("outputevents" if extended.names[index] == "Urine output" else "chartevents")


@pytest.mark.slow
def test_wordings_of_the_demo_are_all_known(test_data, extended):
    categories = {item for item, i in extended.items("mimic3").items() if extended[i].categories}
    with gzip.open(test_data / "mimic3-demo" / "CHARTEVENTS.csv.gz", "rt", encoding="utf-8") as file:
        found = {(row["ITEMID"], row["VALUE"]) for row in csv.DictReader(file) if row["ITEMID"] in categories}
    items = extended.items("mimic3")
    unknown = {pair for pair in found if pair[1] and clean(extended[items[pair[0]]], pair[1]) is None}
    assert not unknown


# Units and ranges


@pytest.mark.parametrize(
    ("name", "text", "unit", "expected"),
    [
        ("Fraction inspired oxygen", "40", "%", 0.4),
        ("Fraction inspired oxygen", "0.4", "", 0.4),
        ("Fraction inspired oxygen", ".20999999344348907", "torr", 0.20999999344348907),
        ("Fraction inspired oxygen", "1", "", 1),  # 1 is pure oxygen: 1 % does not exist
        ("Fraction inspired oxygen", "100", "", 1),
        ("Fraction inspired oxygen", "10", "", None),
        ("pH", "735", "", 7.35),
        ("pH", "73.5", "", 7.35),
        ("pH", "7.35", "units", 7.35),
        ("pH", "5", "", None),
        ("Temperature", "98.6", "?F", 37),
        ("Temperature", "37", "", 37),
        ("Temperature", "-17.8", "", None),
        ("Weight", "220", "lb", 99.79024),
        ("Weight", "3520", "oz", 99.79024),
        ("Weight", "80", "kg", 80),
        ("Weight", "0", "kg", None),
        ("Height", "70", "in", 177.8),
        ("Height", "1.8", "", 180),
        ("Height", "431.8", "", 170),
        ("Height", "-1", "", None),
        ("Height", "13", "", None),
        ("Oxygen saturation", "0.97", "", 97),
        ("Oxygen saturation", "101", "", None),
        ("Heart Rate", "0", "", None),
        ("Systolic blood pressure", "11647", "", None),
        ("Mean blood pressure", "-8", "", None),
        ("Troponin T", "<0.01", "", 0.01),
        ("Creatinine", "LESS THAN 0.4", "", 0.4),
        ("Potassium", "GREATER THAN 10", "", 10),
        ("Potassium", "HEMOLYZED", "", None),
        ("Urine output", "0", "ml", 0),
        ("Urine output", "-100", "ml", None),
        ("Glascow coma scale total", "16", "", None),
        ("Mechanical ventilation", "Assist Control", "", 1),
        ("Capillary refill rate", "Abnormal >3 Seconds", "", 1),
    ],
)
def test_cleaning(of, name, text, unit, expected):
    value = clean(of(name), text, unit)
    assert value == (None if expected is None else pytest.approx(expected))


@given(
    st.sampled_from(load("extended").names), st.one_of(st.text(max_size=12), st.floats().map(repr)), st.text(max_size=4)
)
def test_any_text_becomes_a_plausible_value_or_none(name, text, unit):
    table = load("extended")
    variable = table[table.names.index(name)]
    if variable.kind == "static":
        return
    value = clean(variable, text, unit)
    if value is not None and variable.kind == "number" and variable.rule != "presence":
        assert variable.low <= value <= variable.high


# MIMIC-III


def test_carevue_and_metavision_wordings_are_one_category(cells):
    hospital = Hospital().stay().stay(subject=2, hadm=200, icustay=2000)
    hospital.chart(184, "3 To speech").chart(454, "5 Localizes Pain").chart(723, "1.0 ET/Trach")
    other = {"subject": 2, "hadm": 200, "icustay": 2000}
    hospital.chart(220739, "To Speech", **other).chart(223901, "Localizes Pain", **other)
    hospital.chart(223900, "No Response-ETT", **other)
    X = cells(hospital)
    for stay in (0, 1):
        assert category(X, EYE, stay) == "3 to speech"
        assert category(X, MOTOR, stay) == "5 localises pain"
        assert category(X, VERBAL, stay) == "1 not testable (tube)"
        assert X[TOTAL][stay, 0] == 3 + 5 + 1


def test_a_total_is_computed_only_where_all_components_are_and_none_was_recorded(cells):
    hospital = Hospital().stay().chart(184, "None", 0.5).chart(454, "6 Obeys Commands", 0.5)
    hospital.chart(184, "2 To pain", 1.5).chart(454, "1 No Response", 1.5).chart(723, "1 No Response", 1.5)
    hospital.chart(198, "9", 1.5)
    X = cells(hospital)
    assert X[f"mask->{TOTAL}"][0, :2].tolist() == [0, 1]
    assert X[TOTAL][0, :2].tolist() == [15, 9]


def test_urine_results_are_not_blood(cells):
    X = cells(Hospital().stay().lab(51478, "1000").lab(51491, "5").lab(50931, "90", 1.5).lab(50820, "7.3", 1.5))
    assert X["mask->Glucose"][0, :2].tolist() == [0, 1]
    assert X["mask->pH"][0, :2].tolist() == [0, 1]


def test_rows_flagged_as_errors_are_dropped(cells):
    X = cells(Hospital().stay().chart(211, "80").chart(211, "200", error="1").output(40055, "100", error="1"))
    assert X["Heart Rate"][0, 0] == 80
    assert X["mask->Urine output"][0, 0] == 0


def test_urine_adds_up_and_is_not_carried_forward(cells):
    hospital = Hospital().stay().output(40055, "100", 0.2).output(40055, "50", 0.7).output(40069, "30", 0.7)
    X = cells(hospital.output(40055, "0", 1.5))
    assert X["Urine output"][0, :2].tolist() == [180, 0]
    assert X["mask->Urine output"][0, :3].tolist() == [1, 1, 0]


def test_facts_of_the_stay(cells):
    X = cells(Hospital().stay(gender="M", FIRST_CAREUNIT="TSICU", LAST_CAREUNIT="TSICU").chart(720, "CMV"))
    assert X["static->sex->M"].all()
    assert X["static->icu_type->surgical"].all()
    assert X["static->age"][0, 0] == pytest.approx(50, abs=0.1)
    assert X["Mechanical ventilation"][0, 0] == 1


# One patient, three sources

HOURS = {0.5: {"HR": "80", "Temp": "37.5", "GCS": "15"}, 1.5: {"NISysABP": "120", "pH": "7.31", "BUN": "22"}}
HOURS |= {2.25: {"Lactate": "2.5", "Urine": "60", "FiO2": "0.5"}, 30.0: {"HR": "95", "Platelets": "150"}}
ITEMS = {"HR": 211, "Temp": 676, "GCS": 198, "NISysABP": 455, "FiO2": 190}
LABS = {"pH": 50820, "BUN": 51006, "Lactate": 50813, "Platelets": 51265}


def test_three_sources_give_the_same_tensor(tmp_path, extended):
    hospital = Hospital().stay(subject=1000, icustay=1000, gender="F")
    challenge = ["Time,Parameter,Value", "00:00,RecordID,1000", "00:00,Age,50", "00:00,Gender,0", "00:00,ICUType,3"]
    events, names = ["stay_id,hours,variable,value"], extended.items("physionet2012")
    for hour, found in HOURS.items():
        for name, text in found.items():
            challenge.append(f"{int(hour):02d}:{round(hour % 1 * 60):02d},{name},{text}")
            events.append(f"1000,{hour},{extended.names[names[name]]},{text}")
            if name == "Urine":
                hospital.output(40055, text, hour, subject=1000)
            elif name in LABS:
                hospital.lab(LABS[name], text, hour, subject=1000)
            else:
                hospital.chart(ITEMS[name], text, hour, subject=1000)
    (tmp_path / "events").mkdir()
    (tmp_path / "challenge").mkdir()
    (tmp_path / "events" / "events.csv").write_text("\n".join(events))
    facts = "stay_id,subject_id,died,age,sex,icu_type\n1000,1000,0,50,F,medical\n"
    (tmp_path / "events" / "stays.csv").write_text(facts)
    (tmp_path / "challenge" / "1000.txt").write_text("\n".join(challenge))
    (tmp_path / "challenge" / "Outcomes-a.txt").write_text("RecordID,In-hospital_death\n1000,0\n")
    hospital.write(tmp_path / "mimic")
    found = {
        form: prepared(tmp_path / form, tmp_path / form / "w", variables="extended")
        for form in ("events", "challenge", "mimic")
    }
    age = extended.feature_names.index("static->age")
    found["mimic"]["X"][:, :, age] = np.round(found["mimic"]["X"][:, :, age])  # from the dates, 50.03 years
    np.testing.assert_allclose(found["challenge"]["X"], found["events"]["X"], rtol=1e-6)
    np.testing.assert_allclose(found["mimic"]["X"], found["events"]["X"], rtol=1e-6)
    assert column(found["mimic"], extended.feature_names, "Lactate", 1000)[2] == 2.5


# Normal values and scaling


def test_a_normal_value_is_the_training_median_and_skewed_values_are_scaled_by_their_logarithm(tmp_path):
    lactates = {1: (1, "train"), 2: (2, "train"), 3: (9, "train"), 4: (10, "test"), 5: (20, "val")}
    events = [f"{stay},20,Lactate,{value}" for stay, (value, _) in lactates.items()]
    stays = [f"{stay},{stay},{stay % 2},{split}" for stay, (_, split) in lactates.items()]
    (tmp_path / "events.csv").write_text("\n".join(["stay_id,hours,variable,value", *events]))
    (tmp_path / "stays.csv").write_text("\n".join(["stay_id,subject_id,died,split", *stays]))
    names = load("extended").feature_names
    raw = prepared(tmp_path, tmp_path / "w", variables="extended")
    assert column(raw, names, "Lactate", 4)[0] == 2  # the median of 1, 2, 9; 10 and 20 are not in training
    _, data = prepare(tmp_path, tmp_path / "w", variables="extended", scale=True)
    lactate = names.index("Lactate")
    values = np.log1p([[2] * 19 + [last] * 29 for last in (1, 2, 9)])  # 20 h is in hour 19
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(data.train.X[:, :, lactate], expected, atol=1e-5)


# Real data


@pytest.mark.slow
@pytest.mark.parametrize("source", ["mimic3-demo", "physionet2012"])
def test_medians_are_physiological(test_data, tmp_path, extended, source):
    data = prepared(test_data / source, tmp_path, variables="extended")
    names = extended.feature_names
    expected = {"Heart Rate": (75, 95), "Temperature": (36.5, 37.5), "pH": (7.35, 7.42), "Glucose": (110, 150)}
    expected |= {
        "Fraction inspired oxygen": (0.35, 0.6),
        "Weight": (65, 95),
        "Height": (160, 180),
        "Sodium": (136, 142),
    }
    expected |= {"Potassium": (3.8, 4.4), "Creatinine": (0.7, 1.4), "Platelets": (150, 250), "Urine output": (40, 110)}
    for name, (low, high) in expected.items():
        measured = data["X"][:, :, names.index(f"mask->{name}")] == 1
        assert low <= np.median(data["X"][:, :, names.index(name)][measured]) <= high, name
