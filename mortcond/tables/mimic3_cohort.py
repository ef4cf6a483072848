"""The cohort of MIMIC-III, by the rules of the public benchmark (Harutyunyan et al. 2019), step by step.

Comes in: the small tables (ICUSTAYS, ADMISSIONS, PATIENTS, DIAGNOSES_ICD, D_ICD_DIAGNOSES) and which stays have events.
Goes out: the stays that are in, and for every other the step that dropped it.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import STAY_COLUMNS, Attrition, Request, cells, scan
from mortcond.tables.scan import Table

STAY_IDS = ("subject_id", "hadm_id", "icustay_id")
STAY_FACTS = ("first_careunit", "last_careunit", "first_wardid", "last_wardid", "intime", "outtime", "los")
PATIENT_FACTS = ("subject_id", "gender", "dob", "dod")
ADMISSION_TIMES = ("admittime", "dischtime", "deathtime")
ADULT_YEARS = 18
OLDEST_YEARS = 90  # MIMIC-III moves the birth of patients older than 89 to 300 years before
TOLERANCE_HOURS = 1e-6
DAY_SECONDS = 86_400
NO_ID = -(2**63)  # where a stay has no patient or admission, until it is dropped for that


@dataclass
class Cohort:
    """The cohort while it is made: `left` shrinks from step to step, `reasons` says where the others went."""

    left: pd.DataFrame
    tables: tuple[Table, ...]
    reasons: dict[int, str] = field(default_factory=dict)  # stay_id -> the step that dropped it
    attrition: list[Attrition] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    diagnosis_rule: str = "a diagnosis with a known code"

    def keep(self, step: str, rule: str, kept: pd.Series) -> None:
        """Keep the stays for which `kept` is true, and note the step."""
        dropped = self.left.stay_id[~kept]
        self.reasons |= dict.fromkeys(dropped.tolist(), step)
        self.left = self.left[kept]
        facts = (len(self.left), self.left.hadm_id.nunique(), self.left.subject_id.nunique())
        self.attrition.append(Attrition(step, rule, *facts, len(dropped)))

    @property
    def root(self) -> pd.DataFrame:
        """The stays whose events count, before the rules of the task (the benchmark's root cohort)."""
        return self.left


def read(connection, source: Path, request: Request) -> Cohort:
    """Return the root cohort: stays of adults without transfer, one an admission; with `died` if labels are asked.

    Raises InputError where a table is missing, or holds duplicates, impossible dates or text in the place of numbers.
    """
    names = ["ICUSTAYS", "PATIENTS"] + (["ADMISSIONS", "DIAGNOSES_ICD", "D_ICD_DIAGNOSES"] if request.labels else [])
    tables = {name: scan.require(source, name) for name in names}
    stays = checked_stays(connection, tables["ICUSTAYS"], STAY_IDS, STAY_FACTS)
    cohort = Cohort(stays, tuple(tables.values()))
    cohort.keep("start", "an ICU stay", pd.Series(True, stays.index))
    same_ward = (stays.first_wardid == stays.last_wardid) & (stays.first_careunit == stays.last_careunit)
    cohort.keep("icu_transfer", "no transfer (same first and last ward and care unit)", same_ward)
    patients = _patients(connection, tables["PATIENTS"])
    cohort.left = with_people(connection, cohort.left, patients, tables.get("ADMISSIONS"))
    known = cohort.left.known
    cohort.keep("no_admission", "a known admission and patient", known)
    single = ~cohort.left.hadm_id.duplicated(keep=False)
    cohort.keep("multiple_stays_per_admission", "an admission with no other stay left", single)
    cohort.left = cohort.left.assign(age=_age(cohort.left, tables["PATIENTS"]))
    if cohort.left.age.isna().any():
        cohort.keep("age_unknown", "a known date of birth", cohort.left.age.notna())
    cohort.keep("age_lt_18", f"a patient of {ADULT_YEARS} years or more", cohort.left.age >= ADULT_YEARS)
    everyone = np.ones(len(cohort.left), bool)
    diagnosed = among(cohort.left, _diagnosed(connection, tables)) if request.labels else everyone
    outcomes = died_in_hospital(cohort.left) if request.labels else 0
    cohort.left = with_task_facts(cohort.left, diagnosed, outcomes, request)
    return cohort


def finish(
    cohort: Cohort, with_events: set[int], in_window: set[int], request: Request
) -> tuple[pd.DataFrame, tuple[Attrition, ...], pd.DataFrame]:
    """Apply the rules of the task; return the stays (STAY_COLUMNS), the attrition and the dropped stays.

    Without labels a stay may lack its length and its diagnoses: the patient is still there.
    """
    window = request.window_hours
    cohort.keep("no_events", "any event of the variables", cohort.left.stay_id.isin(with_events | in_window))
    if request.labels:
        cohort.keep("no_diagnosis", cohort.diagnosis_rule, cohort.left.diagnosed)
        cohort.keep("los_missing", "a known length", cohort.left.los.notna())
    cohort.keep(f"los_lt_{window}h", f"a length of {window} hours or more", cohort.left.long_enough)
    measured = cohort.left.stay_id.isin(in_window)
    cohort.keep("no_events_in_window", f"an event in the first {window} hours", measured)
    stays = cohort.left.sort_values("stay_id", ignore_index=True)
    stays = stays.assign(icu_type=stays.first_careunit.fillna(""), sex=stays.gender.fillna(""), split="")
    stays["age"] = stays.age.where(stays.age < OLDEST_YEARS, OLDEST_YEARS)
    dropped = pd.DataFrame(sorted(cohort.reasons.items()), columns=["stay_id", "reason"])
    return stays[list(STAY_COLUMNS)].astype(STAY_COLUMNS), tuple(cohort.attrition), dropped


def checked_stays(connection, table: Table, ids: tuple[str, ...], facts: tuple[str, ...]) -> pd.DataFrame:
    """Return the table of ICU stays, their id (the last of `ids`) as stay_id; raises InputError that names the row."""
    stays = rows_of(connection, table, ids + facts, unique=ids[-1])
    stays = whole_numbers(numbers(stays, table, ids[-1:], required=True), table, ids[:-1])
    stays = numbers(stays, table, ("los",), required=False)
    stays = dates(stays, table, required=("intime",), optional=("outtime",))
    stays = stays.rename(columns={ids[-1]: "stay_id"})
    _refuse(stays, table, stays.outtime < stays.intime - DAY_SECONDS, "stay_id", "OUTTIME is before INTIME")
    return stays


def with_people(connection, stays: pd.DataFrame, patients: pd.DataFrame, admissions: Table | None) -> pd.DataFrame:
    """Add what is known of each stay's patient and admission, and whether both are `known`."""
    joined = stays.merge(patients, how="left", on="subject_id", indicator="patient")
    known = (joined.patient == "both") & joined.hadm_id.notna()
    if admissions is not None:
        times = _admissions(connection, admissions)
        joined = joined.merge(times, how="left", on=["subject_id", "hadm_id"], indicator="admission")
        known &= joined.admission == "both"
    ids = {name: joined[name].fillna(NO_ID).astype("int64") for name in ("subject_id", "hadm_id")}
    return joined.assign(known=known, **ids)


def _patients(connection, table: Table) -> pd.DataFrame:
    patients = rows_of(connection, table, PATIENT_FACTS, unique="subject_id")
    patients = whole_numbers(patients, table, ("subject_id",)).dropna(subset="subject_id")
    return dates(patients, table, required=(), optional=("dob", "dod"))


def _admissions(connection, table: Table) -> pd.DataFrame:
    admissions = rows_of(connection, table, ("subject_id", "hadm_id", *ADMISSION_TIMES), unique="hadm_id")
    admissions = whole_numbers(admissions, table, ("subject_id", "hadm_id")).dropna(subset=["subject_id", "hadm_id"])
    return dates(admissions, table, required=(), optional=ADMISSION_TIMES)


def _diagnosed(connection, tables: dict[str, Table]) -> pd.DataFrame:
    diagnoses, codes = tables["DIAGNOSES_ICD"], tables["D_ICD_DIAGNOSES"]
    sql = f"""
        SELECT DISTINCT d.subject_id, d.hadm_id FROM {diagnoses.sql(("subject_id", "hadm_id", "icd9_code"))} AS d
        JOIN {codes.sql(("icd9_code",))} AS c ON c.icd9_code = d.icd9_code
    """
    found = scan.frame(connection, sql, (diagnoses, codes))
    return whole_numbers(found, diagnoses, ("subject_id", "hadm_id")).dropna().astype("int64")


def with_task_facts(stays: pd.DataFrame, diagnosed: np.ndarray, died: pd.Series, request: Request) -> pd.DataFrame:
    """Add what the rules of the task ask for: diagnosed, long_enough, died, and whether a stay is eligible by these."""
    long_enough = ~(stays.los * 24 < request.window_hours - TOLERANCE_HOURS)
    known = stays.los.notna() | (not request.labels)
    eligible = diagnosed & known & long_enough
    outcome = died if request.labels else 0
    return stays.assign(diagnosed=diagnosed, long_enough=long_enough, died=outcome, eligible=eligible)


def among(stays: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Say which stays are of these pairs of subject_id and hadm_id."""
    return pd.MultiIndex.from_frame(stays[["subject_id", "hadm_id"]]).isin(pd.MultiIndex.from_frame(pairs))


def _age(stays: pd.DataFrame, table: Table) -> pd.Series:
    age = (stays.intime - stays.dob) / 3600 / 24 / 365  # years, as the benchmark counts them
    _refuse(stays, table, age < -1, "subject_id", "DOB is after the patient's ICU stay")
    return age


def died_in_hospital(stays: pd.DataFrame) -> pd.Series:
    """Say who died in hospital: day or time of death within the admission, both ends included."""
    by_day = (stays.admittime <= stays.dod) & (stays.dod <= stays.dischtime)
    by_time = (stays.admittime <= stays.deathtime) & (stays.deathtime <= stays.dischtime)
    return (by_day | by_time).astype("uint8")


def rows_of(connection, table: Table, columns: tuple[str, ...], unique: str) -> pd.DataFrame:
    """Return columns of a small table as text.

    Raises InputError where it is empty or a value of the column `unique` is there twice.
    """
    rows = scan.frame(connection, f"SELECT * FROM {table.sql(columns)}", (table,))
    if rows.empty:
        raise InputError(f"{table.files[0]} has no rows.", "Fetch or unpack the file again.")
    ids, _ = cells.read(rows[unique], "whole")
    twice = ids[ids.duplicated() & ids.notna()]
    if len(twice):
        value = int(twice.iloc[0])
        where = scan.locate(table, lambda row: cells.same(row.get(unique, ""), value), occurrence=2)
        raise InputError(f"{where}: {unique.upper()} {value} is there a second time.", "Keep one row of each.")
    return rows


def whole_numbers(rows: pd.DataFrame, table: Table, columns: tuple[str, ...]) -> pd.DataFrame:
    """Parse columns as whole numbers (Int64, NA: missing).

    Raises InputError that names the first row which holds something else.
    """
    parsed = {}
    for column in columns:
        parsed[column], bad = cells.read(rows[column], "whole")
        refuse_text(rows, table, bad, column, cells.FORMS["whole"])
    return rows.assign(**parsed)


def numbers(rows: pd.DataFrame, table: Table, columns: tuple[str, ...], required: bool) -> pd.DataFrame:
    """Parse columns as numbers (whole ones where required).

    Raises InputError that names the first row which holds something else.
    """
    parsed = {}
    for column in columns:
        values, bad = cells.read(rows[column], "whole" if required else "number")
        bad |= values.isna() if required else False
        refuse_text(rows, table, bad, column, cells.FORMS["whole" if required else "number"])
        parsed[column] = values.astype("int64") if required else values
    return rows.assign(**parsed)


def dates(rows: pd.DataFrame, table: Table, required: tuple[str, ...], optional: tuple[str, ...]) -> pd.DataFrame:
    """Parse columns as seconds since 1970 (float, NaN: missing).

    Raises InputError that names the first row with an impossible date.
    """
    parsed = {}
    for column in required + optional:
        parsed[column], bad = cells.read(rows[column], "seconds")
        bad |= parsed[column].isna() if column in required else False
        refuse_text(rows, table, bad, column, cells.FORMS["seconds"])
    return rows.assign(**parsed)


def refuse_text(rows: pd.DataFrame, table: Table, bad: pd.Series, column: str, fault: str) -> None:
    """Raise InputError that names the first row where `bad`, if there is one."""
    if bad.any():
        value = rows[column][bad].iloc[0]
        text = "" if pd.isna(value) else str(value)
        where = scan.locate(table, lambda row: row.get(column) == text)
        raise InputError(f"{where}, column {column.upper()}: {text!r} is {fault}.", "Mend the row, or fetch the table.")


def _refuse(rows: pd.DataFrame, table: Table, bad: pd.Series, key: str, fault: str) -> None:
    if bad.any():
        value = int(rows[key][bad].iloc[0])
        column = "icustay_id" if key == "stay_id" and not table.has(key) else key
        where = scan.locate(table, lambda row: cells.same(row.get(column, ""), value))
        raise InputError(f"{where}: {fault}.", "Mend the row, or fetch the table again.")
