"""synth: the tables of MIMIC-III, column by column.

Comes in: stays and events. Goes out: for each table its columns as byte-string arrays, ready to be lines, with the
faults that the real ones have: missing ids, rows twice, rows under the wrong stay, rows long before admission.
"""

from functools import cache

import numpy as np

from mortcond.synth.charting import Events, items, read_table, vocabulary
from mortcond.synth.csvbytes import MinuteText, moments, numbers, quoted, texts
from mortcond.synth.people import Stays

EMPTY = np.array([b""], "S1")
WORDS = {
    "ADMISSION_TYPE": ("EMERGENCY", "ELECTIVE", "URGENT"),
    "ADMISSION_LOCATION": ("EMERGENCY ROOM ADMIT", "PHYS REFERRAL/NORMAL DELI", "TRANSFER FROM HOSP/EXTRAM"),
    "INSURANCE": ("Medicare", "Private", "Medicaid"),
    "ETHNICITY": ("WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN", "UNKNOWN/NOT SPECIFIED"),
    "MARITAL_STATUS": ("MARRIED", "SINGLE", "WIDOWED", ""),
    "DIAGNOSIS": ("SEPSIS", "PNEUMONIA", "CONGESTIVE HEART FAILURE", "INTRACRANIAL HEMORRHAGE", "CHEST PAIN"),
}
COLUMNS = {
    "ADMISSIONS": "ROW_ID SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE ADMISSION_LOCATION "
    "DISCHARGE_LOCATION INSURANCE LANGUAGE RELIGION MARITAL_STATUS ETHNICITY EDREGTIME EDOUTTIME DIAGNOSIS "
    "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
    "PATIENTS": "ROW_ID SUBJECT_ID GENDER DOB DOD DOD_HOSP DOD_SSN EXPIRE_FLAG",
    "ICUSTAYS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID LAST_WARDID "
    "INTIME OUTTIME LOS",
    "DIAGNOSES_ICD": "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "D_ICD_DIAGNOSES": "ROW_ID ICD9_CODE SHORT_TITLE LONG_TITLE",
    "D_ITEMS": "ROW_ID ITEMID LABEL ABBREVIATION DBSOURCE LINKSTO CATEGORY UNITNAME PARAM_TYPE CONCEPTID",
    "D_LABITEMS": "ROW_ID ITEMID LABEL FLUID CATEGORY LOINC_CODE",
    "CHARTEVENTS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME STORETIME CGID VALUE VALUENUM VALUEUOM "
    "WARNING ERROR RESULTSTATUS STOPPED",
    "LABEVENTS": "ROW_ID SUBJECT_ID HADM_ID ITEMID CHARTTIME VALUE VALUENUM VALUEUOM FLAG",
    "OUTPUTEVENTS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID CHARTTIME ITEMID VALUE VALUEUOM STORETIME CGID STOPPED "
    "NEWBOTTLE ISERROR",
}
HADM_MISSING, ICUSTAY_MISSING, TWICE, WRONG_STAY, OUTSIDE, FLAGGED = 0.015, 0.006, 0.003, 0.003, 0.003, 0.001
OUTPATIENT = 0.04  # of laboratory rows: months before, under no admission

Columns = dict[str, np.ndarray]


def dictionaries() -> dict[str, Columns]:
    """Return the three tables that say what items and codes mean; the same in every hospital."""
    unique = list({item.itemid: item for item in sorted(items(), key=lambda item: item.itemid)}.values())
    charted = [item for item in unique if item.table != "lab"]
    lab = [item for item in unique if item.table == "lab"]
    codes = read_table("diagnoses.csv")
    return {
        "D_ITEMS": {
            "ITEMID": np.array([item.itemid for item in charted]).astype("S"),
            "LABEL": texts([item.label for item in charted]),
            "ABBREVIATION": texts([item.label if item.system == "metavision" else "" for item in charted]),
            "DBSOURCE": texts([item.system for item in charted]),
            "LINKSTO": texts([f"{item.table}events" for item in charted]),
            "CATEGORY": texts([item.category for item in charted]),
            "UNITNAME": texts([item.unit if item.system == "metavision" else "" for item in charted]),
        },
        "D_LABITEMS": {
            "ITEMID": np.array([item.itemid for item in lab]).astype("S"),
            "LABEL": texts([item.label for item in lab]),
            "FLUID": texts([item.category for item in lab]),
        },
        "D_ICD_DIAGNOSES": {
            "ICD9_CODE": texts([row["code"] for row in codes]),
            "SHORT_TITLE": texts([row["short_title"] for row in codes]),
            "LONG_TITLE": texts([row["long_title"] for row in codes]),
        },
    }


def people(stays: Stays, generator: np.random.Generator) -> dict[str, Columns]:
    """Return the rows of some stays in the tables of patients, admissions, stays and diagnoses."""
    patient, admission = np.flatnonzero(stays.first_of_patient), np.flatnonzero(stays.first_of_admission)
    last = np.append(admission[1:] - 1, len(stays) - 1)  # who dies, dies in the last stay of an admission
    return {
        "PATIENTS": _patients(stays, patient),
        "ADMISSIONS": _admissions(stays, admission, last, generator),
        "ICUSTAYS": _icustays(stays, generator),
        "DIAGNOSES_ICD": _diagnoses(stays, admission, generator),
    }


def _patients(stays: Stays, patient: np.ndarray) -> Columns:
    death = stays.day_of_death[patient]
    last = np.append(patient[1:] - 1, len(stays) - 1)
    in_hospital = np.where(stays.died[last], death, np.datetime64("NaT"))
    return {
        "SUBJECT_ID": numbers(stays.subject_id[patient]),
        "GENDER": texts(["F", "M"])[stays.male[patient].astype(int)],
        "DOB": moments(stays.born[patient]),
        "DOD": moments(death),
        "DOD_HOSP": moments(in_hospital),
        "DOD_SSN": moments(np.where(np.isnat(in_hospital), death, np.datetime64("NaT"))),
        "EXPIRE_FLAG": numbers(~np.isnat(death)),
    }


def _admissions(stays: Stays, first: np.ndarray, last: np.ndarray, generator: np.random.Generator) -> Columns:
    died = stays.died[last]
    words = {name: texts(choice)[generator.integers(0, len(choice), len(first))] for name, choice in WORDS.items()}
    return words | {
        "SUBJECT_ID": numbers(stays.subject_id[first]),
        "HADM_ID": numbers(stays.hadm_id[first]),
        "ADMITTIME": moments(stays.admitted[first]),
        "DISCHTIME": moments(stays.discharged[first]),
        "DEATHTIME": moments(stays.death[last]),
        "DISCHARGE_LOCATION": texts(["HOME HEALTH CARE", "DEAD/EXPIRED"])[died.astype(int)],
        "HOSPITAL_EXPIRE_FLAG": numbers(died),
        "HAS_CHARTEVENTS_DATA": numbers(np.ones(len(first), int)),
    }


def _icustays(stays: Stays, generator: np.random.Generator) -> Columns:
    days = np.array([f"{day:.4f}".rstrip("0").rstrip(".") for day in stays.hours / 24], "S")
    return {
        "SUBJECT_ID": numbers(stays.subject_id),
        "HADM_ID": numbers(stays.hadm_id),
        "ICUSTAY_ID": numbers(stays.icustay_id),
        "DBSOURCE": texts(["metavision", "carevue"])[stays.carevue.astype(int)],
        "FIRST_CAREUNIT": texts(stays.first_unit),
        "LAST_CAREUNIT": texts(stays.last_unit),
        "FIRST_WARDID": numbers(stays.first_ward),
        "LAST_WARDID": numbers(stays.last_ward),
        "INTIME": moments(stays.entered),
        "OUTTIME": moments(stays.left),
        "LOS": np.where(generator.random(len(stays)) < 0.002, b"", days),
    }


def _diagnoses(stays: Stays, admission: np.ndarray, generator: np.random.Generator) -> Columns:
    codes = read_table("diagnoses.csv")
    weight = np.array([float(row["weight"]) for row in codes])
    per_admission = generator.integers(2, 8, len(admission)) * (generator.random(len(admission)) > 0.004)
    row = np.repeat(admission, per_admission)
    place = np.arange(len(row)) - np.repeat(np.cumsum(per_admission) - per_admission, per_admission)
    chosen = generator.choice(len(codes), len(row), p=weight / weight.sum())
    return {
        "SUBJECT_ID": numbers(stays.subject_id[row]),
        "HADM_ID": numbers(stays.hadm_id[row]),
        "SEQ_NUM": numbers(place + 1),
        "ICD9_CODE": texts([code["code"] for code in codes])[chosen],
    }


@cache
def _minute_text() -> MinuteText:
    return MinuteText()


@cache
def _item_texts(name: str) -> np.ndarray:
    if name == "itemid":
        return np.array([str(item.itemid) for item in items()], "S")
    return np.array([quoted(item.unit) for item in items()], "S")


def events(table: str, found: Events, stays: Stays, generator: np.random.Generator) -> Columns:
    """Return the columns of CHARTEVENTS, LABEVENTS or OUTPUTEVENTS."""
    found = found.take(_with_doubles(len(found), generator))
    minute, outpatient = _misplaced(table, found, generator)
    hadm, icustay = numbers(stays.hadm_id)[found.stay], _icustay_texts(stays, found.stay, generator)
    chance = generator.random(len(found), np.float32)
    columns = {
        "SUBJECT_ID": numbers(stays.subject_id)[found.stay],
        "HADM_ID": np.where((chance < HADM_MISSING) | outpatient, b"", hadm),
        "ITEMID": _item_texts("itemid")[found.item],
        "CHARTTIME": _minute_text()(minute),
        "VALUE": vocabulary().value[found.value],
        "VALUENUM": vocabulary().number[found.value],
        "VALUEUOM": _item_texts("unit")[found.item],
    }
    if table == "LABEVENTS":
        return columns
    shift = found.minute // 720
    columns["ICUSTAY_ID"] = np.where(chance > 1 - ICUSTAY_MISSING, b"", icustay)
    columns["STORETIME"] = _minute_text()(minute - minute % 60 + 60 + (found.stay * 29 + shift * 17) % 50)
    columns["CGID"] = numbers(14_000 + (found.stay * 31 + shift * 7) % 5_000)
    return columns | (_flags(found, stays, generator) if table == "CHARTEVENTS" else {})


def _with_doubles(rows: int, generator: np.random.Generator) -> np.ndarray:
    return np.repeat(np.arange(rows), 1 + (generator.random(rows, np.float32) < TWICE))


def _misplaced(table: str, found: Events, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the minutes with some events moved out of the stay, and which laboratory rows are an outpatient's."""
    chance = generator.random(len(found), np.float32)
    moved = generator.integers(-4_000, 8_000, len(found))
    minute = found.minute + np.where(chance < OUTSIDE, moved, 0)
    outpatient = (chance > 1 - OUTPATIENT) & (table == "LABEVENTS")
    return minute - np.where(outpatient, 20_000 + 20 * (moved + 4_000), 0), outpatient


def _icustay_texts(stays: Stays, stay: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return each event's stay; some are filed under the same patient's stay before."""
    wrong = (generator.random(len(stay), np.float32) < WRONG_STAY) & ~stays.first_of_patient[stay]
    return numbers(stays.icustay_id)[stay - wrong]


def _flags(found: Events, stays: Stays, generator: np.random.Generator) -> Columns:
    """Return the columns in which the two systems differ: MetaVision has WARNING and ERROR, CareVue STOPPED."""
    carevue = stays.carevue[found.stay]
    error = (generator.random(len(found), np.float32) < FLAGGED).astype(int)
    return {
        "WARNING": np.where(carevue, b"", b"0"),
        "ERROR": np.where(carevue, b"", np.array([b"0", b"1"])[error]),
        "STOPPED": np.where(carevue, b'"NotStopd"', b""),
    }
