"""MIMIC-III tables -> stays and events, by the rules of the public benchmark (Harutyunyan et al. 2019).

Comes in: a folder with ADMISSIONS, PATIENTS, ICUSTAYS, DIAGNOSES_ICD, D_ICD_DIAGNOSES, CHARTEVENTS, LABEVENTS and,
where a variable needs it, OUTPUTEVENTS. Goes out: `Records`. The cohort is made in mimic3_cohort.
"""

from pathlib import Path

from mortcond.tables import Records, Request, mimic, mimic3_cohort, scan
from mortcond.tables.mimic import EventTable, SmallTable
from mortcond.variables import Variables

FORM = mimic.Form(
    name="mimic3",
    items=("mimic3",),
    events={
        "CHARTEVENTS": EventTable(stay="icustay_id", flag="error"),
        "LABEVENTS": EventTable(stay=None, flag=None, module="hosp"),
        "OUTPUTEVENTS": EventTable(stay="icustay_id", flag="iserror", required=False),
    },
    find=scan.find,
    cohort=mimic3_cohort.read,
    small={
        "ICUSTAYS": SmallTable(mimic3_cohort.STAY_IDS + mimic3_cohort.STAY_FACTS, unlabelled=True),
        "PATIENTS": SmallTable(mimic3_cohort.PATIENT_FACTS, unlabelled=True),
        "ADMISSIONS": SmallTable(("subject_id", "hadm_id", *mimic3_cohort.ADMISSION_TIMES)),
        "DIAGNOSES_ICD": SmallTable(("subject_id", "hadm_id", "icd9_code")),
        "D_ICD_DIAGNOSES": SmallTable(("icd9_code",)),
    },
)


def detect(source: Path) -> bool:
    """Say whether a folder holds MIMIC-III tables: ICUSTAYS with CHARTEVENTS."""
    return source.is_dir() and all(any(scan.table_files(source, name)) for name in ("ICUSTAYS", "CHARTEVENTS"))


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read MIMIC-III tables; see `tables.read`."""
    return mimic.read(FORM, source, variables, request)


def statement(source: Path, variables: Variables, request: Request, dialect: str, schemas: tuple[str, ...]) -> str:
    """Return the scan as SQL; see `tables.statement`."""
    return mimic.statement(FORM, source, variables, request, dialect, schemas)
