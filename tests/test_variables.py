"""Tables of variables: the shipped ones, a user's own, and the cleaning of single values."""

import csv
import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond import variables
from mortcond.core.errors import InputError
from mortcond.variables import RULES, Variable, Variables, load
from mortcond.variables.cleaning import clean, number, points


def written(tmp_path, text: str):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    return path


def test_paper76_has_the_76_features_of_the_paper():
    table = load("paper76")
    assert len(table) == 17
    assert len(table.feature_names) == 76
    assert table.feature_names[:4] == (
        "Capillary refill rate->0.0",
        "Capillary refill rate->1.0",
        "Diastolic blood pressure",
        "Fraction inspired oxygen",
    )
    assert table.feature_names[59:61] == ("mask->Capillary refill rate", "mask->Diastolic blood pressure")
    assert len(table.items("mimic3")) == 114
    assert table.names == tuple(sorted(table.names, key=str.swapcase)) or table.names[-1] == "pH"
    assert all(variable.citation for variable in table)


@pytest.mark.parametrize("name", variables.table.SHIPPED)
def test_shipped_tables_are_sound(name):
    table = load(name)
    assert len(set(table.feature_names)) == len(table.feature_names)
    assert all(variable.kind == "static" or variable.items("mimic3") for variable in table)


@pytest.mark.parametrize("name", variables.table.SHIPPED)
def test_a_table_travels_through_json(name):
    table = load(name)
    assert Variables.from_dict(json.loads(json.dumps(table.to_dict()))) == table


def test_a_table_of_ones_own(tmp_path):
    path = written(
        tmp_path,
        "name,kind,unit,normal,categories,low,high,scale,mimic3\n"
        "Lactate,number,mmol/L,,,0,30,log,50813\n"
        "Rhythm,category,,sinus,sinus=SR=Sinus Rhythm|other=AF,,,,212;220048\n"
        "sex,static,,,F|M,,,,\n"
        "age,static,years,,,0,120,,\n",
    )
    table = load(path)
    assert table.name == "mine"
    assert table.feature_names == (
        "Lactate",
        "Rhythm->sinus",
        "Rhythm->other",
        "mask->Lactate",
        "mask->Rhythm",
        "static->sex->F",
        "static->sex->M",
        "static->age",
    )
    assert table[0].normal is None
    assert table[1].normal_value == 0
    assert table[1].category_index("Sinus Rhythm") == 0
    assert table[1].category_index("sinus") == 0
    assert table[1].category_index("VT") is None
    assert [c.name for c in table.columns(("delta", "max")) if c.part in ("delta", "max")] == [
        "delta->Lactate",
        "max->Lactate",
    ]


def test_all_faults_are_reported_at_once(tmp_path):
    path = written(
        tmp_path,
        "name,kind,normal,categories,low,high,aggregate,rule,mimic3\n"
        "HR,nummer,,,,,,,211\n"
        "RR,number,high,,9,3,,,211\n"
        "GCS,category,7,3|4|3,,,sum,magic,198\n"
        "weight,static,,,,,,,\n",
    )
    with pytest.raises(InputError) as caught:
        load(path)
    for fault in (
        "row 2, column kind: 'nummer'",
        "row 3, column normal: 'high' is no number",
        "row 3, columns low and high",
        "row 4, column rule: 'magic'",
        "row 4, column categories: a category or its text appears twice",
        "row 4, column normal: '7' is none of its categories",
        "row 4, column aggregate",
        "row 5, column name: a static variable is one of age, sex, icu_type",
        "column mimic3: '211' is in two rows, 'HR' and 'RR'",
    ):
        assert fault in caught.value.problem


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it has no rows"),
        ("name,kind\n", "it has no rows"),
        ("name\nHR\n", "column 'kind' is missing"),
        ("name,kind,mimic9\nHR,number,211\n", "column 'mimic9' is unknown"),
        ("name,kind\nHR,number,more\n", "column '' is unknown"),
        ("name,kind\nHR->x,number\n", "row 2, column name"),
    ],
)
def test_no_table_of_variables(tmp_path, text, fault):
    with pytest.raises(InputError, match=fault):
        load(written(tmp_path, text))


def test_a_table_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(InputError, match="There is no table of variables"):
        load(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes(b"name,kind,unit\nTemp,number,\xb0C\n")
    with pytest.raises(InputError, match=r"latin.csv, row 2: a byte that is no UTF-8"):
        load(path)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "t.csv"
    path.write_text("name,kind,normal,categories\n" + text, encoding="utf-8", errors="replace")
    fault = ""
    try:
        assert len(load(path)) > 0
    except InputError as error:
        fault = error.problem
    assert not fault or "is no table of variables" in fault


@given(st.text(max_size=12))
def test_number_agrees_with_python_and_takes_no_more(text):
    value = number(text)
    if value is not None:
        assert value == float(text)


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", "1,5", "0x10", "", " ", "+", "1e", "٣"])
def test_what_is_no_number(text):
    assert number(text) is None


@pytest.mark.parametrize(
    ("rule", "text", "unit", "value"),
    [
        ("", "1e2", "", 100),
        ("", "high", "", None),
        ("", "1e999", "", None),
        ("fraction", "50", "", 0.5),
        ("fraction", "0.5", "", 0.5),
        ("percent", "0.97", "", 97),
        ("ph", "735", "", 7.35),
        ("ph", "73.5", "", 7.35),
        ("ph", "7.35", "", 7.35),
        ("celsius", "98.6", "", 37),
        ("celsius", "37", "", 37),
        ("kilograms", "100", "lbs", 45.3592),
        ("centimetres", "70", "Inch", 177.8),
        ("presence", "anything", "", 1),
        ("gcs_total", "15", "", 15),
    ],
)
def test_repairs(rule, text, unit, value):
    found = clean(Variable("x", "number", rule=rule), text, unit)
    assert found == (None if value is None else pytest.approx(value))


def test_outside_the_plausible_range_is_no_measurement():
    variable = Variable("pH", "number", rule="ph", low=6.5, high=8)
    assert [clean(variable, text) for text in ("6.5", "8", "5", "735", "900")] == [6.5, 8, None, 7.35, None]


def test_every_rule_can_be_applied():
    for rule in RULES:
        kind = {"categories": ("1 a", "2 b"), "spellings": (("1",), ("2",))} if rule.startswith("gcs_") else {}
        assert clean(Variable("x", "category" if kind else "number", rule=rule, **kind), "2") is not None


def test_points():
    assert points("3 to speech") == 3
    with pytest.raises(ValueError, match="does not begin with its points"):
        points("to speech")


def test_paper76_is_plain_csv_with_one_row_a_variable():
    text = (resources.files("mortcond.variables") / "paper76.csv").read_text(encoding="utf-8")
    assert len(list(csv.DictReader(text.splitlines()))) == 17
