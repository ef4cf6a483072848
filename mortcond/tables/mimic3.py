"""MIMIC-III tables -> stays and events, by the rules of the public benchmark (Harutyunyan et al. 2019).

Comes in: a folder with ADMISSIONS, PATIENTS, ICUSTAYS, DIAGNOSES_ICD, D_ICD_DIAGNOSES, CHARTEVENTS, LABEVENTS and,
where a variable needs it, OUTPUTEVENTS. Goes out: `Records`. The cohort is made in mimic3_cohort.
"""

from pathlib import Path

from mortcond.tables import Records, Request, mimic, mimic3_cohort, scan
from mortcond.tables.mimic import EventTable
from mortcond.variables import Variables

FORM = mimic.Form(
    name="mimic3",
    items=("mimic3",),
    events={
        "CHARTEVENTS": EventTable(stay="icustay_id", flag="error"),
        "LABEVENTS": EventTable(stay=None, flag=None),
        "OUTPUTEVENTS": EventTable(stay="icustay_id", flag="iserror", required=False),
    },
    find=scan.find,
    cohort=mimic3_cohort.read,
)


def detect(source: Path) -> bool:
    """Say whether a folder holds MIMIC-III tables: ICUSTAYS with CHARTEVENTS."""
    return source.is_dir() and all(any(scan.table_files(source, name)) for name in ("ICUSTAYS", "CHARTEVENTS"))


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read MIMIC-III tables; see `tables.read`."""
    return mimic.read(FORM, source, variables, request)
