"""MIMIC-IV tables -> stays and events, by the benchmark's rules for MIMIC-III as far as MIMIC-IV can follow them.

Comes in: a folder with `hosp/` and `icu/` (version 1.0: `core/` too), or one with all tables: admissions, patients,
icustays, diagnoses_icd, chartevents, labevents and, where they are there, d_icd_diagnoses and outputevents. Goes out:
`Records`. Where the cohort differs from MIMIC-III's is said in its attrition table:

- no wards: a transfer is a change of care unit;
- no date of birth: the age is anchor_age, moved on by the years since anchor_year;
- a diagnosis counts by code and version (ICD-9 or ICD-10); where there is no dictionary of codes, any diagnosis does.

`warning` marks a value that was out of the usual range, and no error: no row goes for it. Heights and weights are
charted minutes before the ICU stay begins: those of the hours before (column early_hours) count as known at hour 0.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, mimic, mimic3_cohort, scan
from mortcond.tables.charted import Rules
from mortcond.tables.mimic import EventTable, SmallTable
from mortcond.tables.mimic3_cohort import ADULT_YEARS, Cohort
from mortcond.tables.scan import Table
from mortcond.variables import Variables

FOLDERS = ("hosp", "icu", "core")
STAY_IDS = ("subject_id", "hadm_id", "stay_id")
PATIENT_FACTS = ("subject_id", "gender", "anchor_age", "anchor_year", "dod")
CODE = ("icd_code", "icd_version")
STAY_FACTS = ("first_careunit", "last_careunit", "intime", "outtime", "los")


def find(source: Path, name: str) -> Table | None:
    """Return the table `name` of a folder or of its hosp/, icu/ and core/, or None.

    Raises InputError where two of these hold it.
    """
    places = [folder for folder in (source, *_folders(source)) if any(scan.table_files(folder, name))]
    if len(places) > 1:
        raise InputError(f"{places[0]} and {places[1]} both hold a table {name}.", "Remove one of the two.")
    return scan.find(places[0], name) if places else None


def _folders(source: Path) -> list[Path]:
    return [path for path in sorted(source.iterdir()) if path.is_dir() and path.name.lower() in FOLDERS]


def detect(source: Path) -> bool:
    """Say whether a folder holds MIMIC-IV tables: icustays, with the column stay_id, and chartevents."""
    if not source.is_dir():
        return False
    try:
        stays, charts = find(source, "icustays"), find(source, "chartevents")
    except InputError:  # of one of its folders it is all the same: to read it tells what is wrong
        return any(any(scan.table_files(folder, "icustays")) for folder in _folders(source))
    return bool(stays and charts and stays.has("stay_id"))


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read MIMIC-IV tables; see `tables.read`."""
    return mimic.read(FORM, source, variables, request)


def statement(source: Path, variables: Variables, request: Request, dialect: str, schemas: tuple[str, ...]) -> str:
    """Return the scan as SQL; see `tables.statement`."""
    return mimic.statement(FORM, source, variables, request, dialect, schemas)


def read_cohort(connection, source: Path, request: Request) -> Cohort:
    """Return the root cohort: stays of adults without transfer, one an admission; with `died` if labels are asked.

    Raises InputError where a table is missing, or holds duplicates, impossible dates or text in the place of numbers.
    """
    tables = _tables(source, request)
    cohort = Cohort(_stays(connection, tables["icustays"]), tuple(tables.values()))
    cohort.keep("start", "an ICU stay", pd.Series(True, cohort.left.index))
    same_unit = cohort.left.first_careunit == cohort.left.last_careunit
    cohort.keep("icu_transfer", "no transfer (same first and last care unit; MIMIC-IV tells no wards)", same_unit)
    cohort.left = _join(connection, cohort.left, tables)
    cohort.keep("no_admission", "a known admission and patient", cohort.left.known)
    single = ~cohort.left.hadm_id.duplicated(keep=False)
    cohort.keep("multiple_stays_per_admission", "an admission with no other stay left", single)
    cohort.left = cohort.left.assign(age=_age(cohort.left))
    if cohort.left.age.isna().any():
        cohort.keep("age_unknown", "a known anchor_age and anchor_year", cohort.left.age.notna())
    adult = f"a patient of {ADULT_YEARS} years or more (anchor_age, moved on from anchor_year; no date of birth)"
    cohort.keep("age_lt_18", adult, cohort.left.age >= ADULT_YEARS)
    diagnosed = _diagnosed(connection, cohort.left, tables) if request.labels else np.ones(len(cohort.left), bool)
    known = "known by code and version" if "d_icd_diagnoses" in tables else "of any code: there is no d_icd_diagnoses"
    cohort.diagnosis_rule = f"a diagnosis {known}"
    died = mimic3_cohort.died_in_hospital(cohort.left) if request.labels else 0
    cohort.left = mimic3_cohort.with_task_facts(cohort.left, diagnosed, died, request)
    return cohort


def _tables(source: Path, request: Request) -> dict[str, Table]:
    wanted = ["icustays", "patients"] + (["admissions", "diagnoses_icd"] if request.labels else [])
    found = {name: find(source, name) for name in wanted}
    for name, table in found.items():
        if table is None:
            raise scan.absent(source, name)
    codes = find(source, "d_icd_diagnoses") if request.labels else None
    return found | ({"d_icd_diagnoses": codes} if codes else {})


def _stays(connection, table: Table) -> pd.DataFrame:
    return mimic3_cohort.checked_stays(connection, table, STAY_IDS, STAY_FACTS)


def _join(connection, stays: pd.DataFrame, tables: dict[str, Table]) -> pd.DataFrame:
    patients = _patients(connection, tables["patients"])
    return mimic3_cohort.with_people(connection, stays, patients, tables.get("admissions"))


def _patients(connection, table: Table) -> pd.DataFrame:
    patients = mimic3_cohort.rows_of(connection, table, PATIENT_FACTS, unique="subject_id")
    patients = mimic3_cohort.whole_numbers(patients, table, ("subject_id", "anchor_age", "anchor_year"))
    patients = patients.dropna(subset="subject_id")
    return mimic3_cohort.dates(patients, table, required=(), optional=("dod",))


def _age(stays: pd.DataFrame) -> pd.Series:
    years = pd.to_datetime(stays.intime, unit="s").dt.year
    return (stays.anchor_age + years - stays.anchor_year).astype("Float64").to_numpy("float64", na_value=np.nan)


def _diagnosed(connection, stays: pd.DataFrame, tables: dict[str, Table]) -> np.ndarray:
    diagnoses, codes = tables["diagnoses_icd"], tables.get("d_icd_diagnoses")
    sql = f"SELECT DISTINCT d.subject_id, d.hadm_id FROM {diagnoses.sql(('subject_id', 'hadm_id', *CODE))} AS d"
    if codes:
        same = " AND ".join(f"trim(c.{column}) = trim(d.{column})" for column in CODE)
        sql += f" JOIN {codes.sql(CODE)} AS c ON {same}"
    found = scan.frame(connection, sql, (diagnoses, *filter(None, [codes])))
    found = mimic3_cohort.whole_numbers(found, diagnoses, ("subject_id", "hadm_id"))
    return mimic3_cohort.among(stays, found.dropna().astype("int64"))


FORM = mimic.Form(
    name="mimic4",
    items=("mimic4", "mimic3"),  # the ids of MetaVision and of the laboratory are the same in both
    events={
        "chartevents": EventTable(stay="stay_id", flag=None),
        "labevents": EventTable(stay=None, flag=None, module="hosp"),
        "outputevents": EventTable(stay="stay_id", flag=None, required=False),
    },
    find=find,
    cohort=read_cohort,
    small={
        "icustays": SmallTable(STAY_IDS + STAY_FACTS, unlabelled=True),
        "patients": SmallTable(PATIENT_FACTS, unlabelled=True),
        "admissions": SmallTable(("subject_id", "hadm_id", *mimic3_cohort.ADMISSION_TIMES)),
        "diagnoses_icd": SmallTable(("subject_id", "hadm_id", *CODE)),
        "d_icd_diagnoses": SmallTable(CODE, optional=True),
    },
    rules=Rules(early=True, points=True),
)
