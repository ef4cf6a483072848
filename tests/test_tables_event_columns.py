"""Events in other columns: minutes, times, units, texts; and the documentation's SQL brings in eICU and OMOP."""

import re
from pathlib import Path

import duckdb
import pytest
from mimic3_tables import category, read, tensor

from mortcond.core.errors import InputError
from mortcond.tables import units
from mortcond.variables import load

STAYS = "stay_id,subject_id,died,intime\n7,70,1,2130-01-01 12:00:00\n8,80,0,2130-01-01 12:00:00\n"
EYE, VERBAL = "Glascow coma scale eye opening", "Glascow coma scale verbal response"
PAGE = Path(__file__).resolve().parent.parent / ".readme" / "sources.md"


def records_of(tmp_path, events: str, stays: str = STAYS, variables="paper76", **options):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "events.csv").write_text(events)
    (tmp_path / "in" / "stays.csv").write_text(stays)
    return read(tmp_path / "in", tmp_path / "scratch", variables, form="events", **options)


def cells_of(tmp_path, events: str, variables="paper76"):
    return tensor(records_of(tmp_path, events, variables=variables), variables)


@pytest.mark.parametrize(("column", "when"), [("hours", "2.5"), ("minutes", "150"), ("time", "2130-01-01 14:30:00")])
def test_time_in_three_forms(column, when, tmp_path):
    X = cells_of(tmp_path, f"stay_id,{column},variable,value\n7,{when},Heart Rate,88\n")
    assert X["mask->Heart Rate"][0].nonzero()[0].tolist() == [2]


@pytest.mark.parametrize(
    ("variable", "value", "unit", "expected"),
    [
        ("Temperature", "98.6", "[degF]", 37),
        ("Temperature", "310.15", "K", 37),
        ("Temperature", "37", "°C", 37),
        ("Weight", "100", "lb", 45.359237),
        ("Height", "70", "in", 177.8),
        ("Glucose", "10", "mmol/L", 180.156),
        ("Creatinine", "100", "µmol/L", 1.13118),
        ("Fraction inspired oxygen", "40", "%", 0.4),
        ("PaO2", "10", "kPa", 75.00617),
        ("Heart Rate", "88", "beats/min", 88),
        ("Heart Rate", "88", "", 88),
        ("Troponin T", "<50", "ng/L", 0.05),
    ],
)
def test_units_are_brought_to_the_variable_s(variable, value, unit, expected, tmp_path):
    X = cells_of(tmp_path, f"stay_id,hours,variable,value,unit\n7,0.5,{variable},{value},{unit}\n", "extended")
    assert X[variable][0, 0] == pytest.approx(expected)


def test_a_unit_that_is_not_known_is_refused_with_its_row(tmp_path):
    events = "stay_id,hours,variable,value,unit\n7,0.5,Glucose,10,mg/dL\n7,1.5,Glucose,10,mol\n"
    with pytest.raises(InputError, match=r"events.csv, row 3, column unit: 'mol' cannot be brought to mg/dL") as caught:
        records_of(tmp_path, events)
    assert "mmol/l" in caught.value.remedy


def test_a_molar_unit_needs_its_substance():
    extended = {variable.name: variable for variable in load("extended")}
    assert units.conversion(extended["Glucose"], "mmol/L")[0] == pytest.approx(18.0156)
    assert units.conversion(extended["Cholesterol"], "mmol/L")[0] == pytest.approx(38.6654)
    assert units.conversion(extended["Creatinine"], "mmol/L") is None
    assert units.conversion(extended["Lactate"], "mmol/L") == (1, 0)


def test_every_unit_of_the_shipped_tables_is_known():
    for name in ("paper76", "extended"):
        for variable in load(name):
            if variable.kind == "number" and variable.unit not in ("", "0/1"):
                assert variable.unit.lower() in units.known(variable), (name, variable.name)


def test_a_text_counts_before_the_value_of_a_category_and_after_that_of_a_number(tmp_path):
    events = f"""stay_id,hours,variable,value,text
7,0.5,{VERBAL},1,No Response
7,0.5,Heart Rate,88,fast
7,1.5,Heart Rate,,90
"""
    X = cells_of(tmp_path, events)
    assert category(X, VERBAL) == "No Response"
    assert X["Heart Rate"][0, :2].tolist() == [88, 90]


def test_points_of_the_coma_scale_are_words(tmp_path):
    events = f"stay_id,hours,variable,value\n7,0.5,{EYE},3\n7,0.5,{VERBAL},1.0\n8,0.5,{VERBAL},1\n8,0.5,{EYE},1\n"
    records = records_of(tmp_path, events)
    X = tensor(records)
    assert (category(X, EYE), category(X, EYE, stay=1)) == ("To Speech", "None")
    assert category(X, VERBAL) == "No Response-ETT"
    assert sum("taken as 'No Response-ETT'" in note for note in records.notes) >= 1


def one(header: str, when: str) -> str:
    return f"stay_id,{header},variable,value\n7,{when},Heart Rate,88\n"


@pytest.mark.parametrize(
    ("events", "stays", "problem"),
    [
        (one("time", "2130-01-01 14:30:00"), "stay_id,subject_id,died\n7,70,1\n", "no column intime"),
        (one("time", "noon"), STAYS, "row 2, column TIME: 'noon' is no date"),
        (one("time", "2130-01-01"), STAYS.replace("2130-01-01 12:00:00", "soon", 1), "column intime: 'soon'"),
        (one("hours,minutes", "1,60"), STAYS, "several columns of times: hours, minutes"),
        (one("minutes", "x"), STAYS, "row 2, column MINUTES: 'x' is no number"),
    ],
)
def test_what_cannot_be_used(events, stays, problem, tmp_path):
    with pytest.raises(InputError, match=problem):
        records_of(tmp_path, events, stays)


# The documentation's SQL

EICU = """
CREATE TABLE patient (patientunitstayid INT, uniquepid VARCHAR(20), hospitaldischargestatus VARCHAR(10), age
    VARCHAR(10),
    gender VARCHAR(25), unittype VARCHAR(50), unitdischargeoffset INT, admissionheight NUMERIC(10,2),
    admissionweight NUMERIC(10,2));
INSERT INTO patient VALUES (11, '002-1', 'Expired', '> 89', 'Female', 'MICU', 4000, 170, 80.5),
    (12, '002-2', 'Alive', '54', 'Male', 'CCU', 3000, NULL, NULL), (13, '002-3', NULL, '60', 'Male', 'CCU', 3000, 1,
    1),
    (14, '002-4', 'Alive', '60', 'Male', 'CCU', 2000, 1, 1);
CREATE TABLE vitalperiodic (patientunitstayid INT, observationoffset INT, heartrate INT, respiration INT, sao2 INT,
    temperature NUMERIC(11,4), systemicsystolic INT, systemicdiastolic INT, systemicmean INT);
INSERT INTO vitalperiodic VALUES (11, 30, 88, NULL, 97, 36.5, 120, 60, 80), (12, 90, 70, 14, NULL, NULL, NULL, NULL,
    NULL);
CREATE TABLE vitalaperiodic (patientunitstayid INT, observationoffset INT, noninvasivesystolic NUMERIC,
    noninvasivediastolic NUMERIC,
    noninvasivemean NUMERIC);
INSERT INTO vitalaperiodic VALUES (12, 150, 110, 50, 70);
CREATE TABLE lab (patientunitstayid INT, labresultoffset INT, labname VARCHAR(256), labresult NUMERIC(11,4));
INSERT INTO lab VALUES (11, 20, 'glucose', 140), (11, 20, 'pH', 7.31), (11, 20, 'lipase', 3);
CREATE TABLE nursecharting (patientunitstayid INT, nursingchartoffset INT, nursingchartcelltypevalname VARCHAR(255),
    nursingchartvalue VARCHAR(255));
INSERT INTO nursecharting VALUES (11, 10, 'Eyes', '3'), (11, 10, 'GCS Total', '9'), (12, 10, 'Eyes', 'unable');
"""
OMOP = """
CREATE TABLE person (person_id INT, gender_concept_id INT, year_of_birth INT);
INSERT INTO person VALUES (1, 8532, 2070), (2, 8507, 2080);
CREATE TABLE visit_occurrence (visit_occurrence_id INT, visit_end_datetime TIMESTAMP);
INSERT INTO visit_occurrence VALUES (21, '2130-01-09 10:00:00'), (22, '2130-01-09 10:00:00');
CREATE TABLE visit_detail (visit_detail_id INT, person_id INT, visit_occurrence_id INT, visit_detail_concept_id INT,
    visit_detail_start_datetime TIMESTAMP, visit_detail_end_datetime TIMESTAMP);
INSERT INTO visit_detail VALUES (11, 1, 21, 32037, '2130-01-01 12:00:00', '2130-01-05 12:00:00'),
    (12, 2, 22, 32037, '2130-01-01 12:00:00', '2130-01-05 12:00:00'), (13, 2, 22, 9201, '2130-01-05 12:00:00',
    '2130-01-09 10:00:00');
CREATE TABLE death (person_id INT, death_date DATE, death_datetime TIMESTAMP);
INSERT INTO death VALUES (1, '2130-01-08', NULL), (2, '2131-05-01', NULL);
CREATE TABLE measurement (person_id INT, measurement_concept_id INT, measurement_datetime TIMESTAMP, value_as_number
    NUMERIC, unit_source_value VARCHAR(50));
INSERT INTO measurement VALUES (1, 3027018, '2130-01-01 12:30:00', 88, 'bpm'), (1, 3020891, '2130-01-01 14:30:00',
    98.6, 'degF'),
    (2, 3027018, '2130-01-01 13:30:00', 70, 'bpm'), (2, 3027018, '2130-01-06 13:30:00', 99, 'bpm');
"""


def statement(name: str) -> str:
    """Return a statement of the documentation."""
    found = re.search(rf"<!-- sql: {name} -->\n```sql\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return found[1]


def exported(database: str, tables: str, folder: Path) -> Path:
    folder.mkdir()
    with duckdb.connect() as connection:
        connection.execute(tables)
        for part in ("stays", "events"):
            connection.execute(
                f"COPY ({statement(f'{database} {part}')}) TO '{folder}/{part}.parquet' (FORMAT parquet)"
            )
    return folder


def test_eicu_by_the_documentation_s_sql(tmp_path):
    records = read(exported("eicu", EICU, tmp_path / "in"), tmp_path / "scratch", form=None)
    assert records.stays[["stay_id", "died", "age", "sex"]].to_numpy().tolist() == [[11, 1, 90, "F"], [12, 0, 54, "M"]]
    X = tensor(records)
    assert (X["Heart Rate"][0, 0], X["Heart Rate"][1, 1], X["Respiratory rate"][1, 1]) == (88, 70, 14)
    assert (X["Temperature"][0, 0], X["Height"][0, 0], X["Glucose"][0, 0], X["pH"][0, 0]) == (36.5, 170, 140, 7.31)
    assert X["Systolic blood pressure"][1, 2] == 110
    assert (category(X, EYE), category(X, "Glascow coma scale total")) == ("To Speech", "9")


def test_omop_by_the_documentation_s_sql(tmp_path):
    records = read(exported("omop", OMOP, tmp_path / "in"), tmp_path / "scratch", form=None)
    assert records.stays[["stay_id", "died", "age", "sex"]].to_numpy().tolist() == [[11, 1, 60, "F"], [12, 0, 50, "M"]]
    X = tensor(records)
    assert (X["Heart Rate"][0, 0], X["Heart Rate"][1, 1]) == (88, 70)
    assert X["Temperature"][0, 2] == pytest.approx(37)


@pytest.mark.parametrize(("database", "tables"), [("eicu", EICU), ("omop", OMOP)])
def test_the_documentation_s_sql_runs_on_postgresql(database, tables, server):
    import psycopg

    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {database}; SET search_path = {database}")
        connection.execute(tables)
        for part in ("stays", "events"):
            assert connection.execute(statement(f"{database} {part}")).fetchall()


@pytest.fixture(scope="module")
def server():
    from engine_servers import postgres_server

    with postgres_server() as running:
        yield running
