"""A tiny hospital in the form of MIMIC-IV, in hosp/ and icu/ as published, or in the folders of other versions."""

from dataclasses import dataclass, field
from pathlib import Path

from mimic3_tables import INTIME, at, text, write_rows

COLUMNS = {
    "icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "admissions": "subject_id hadm_id admittime dischtime deathtime admit_provider_id race hospital_expire_flag",
    "patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "diagnoses_icd": "subject_id hadm_id seq_num icd_code icd_version",
    "d_icd_diagnoses": "icd_code icd_version long_title",
    "chartevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning",
    "labevents": "labevent_id subject_id hadm_id specimen_id itemid charttime storetime value valuenum valueuom flag",
    "outputevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valueuom",
}
ICU = ("icustays", "chartevents", "outputevents")
OLD = {"race": "ethnicity"}  # version 1.0; it has neither caregivers nor providers
NOT_OLD = ("admit_provider_id", "caregiver_id")
CORE = ("admissions", "patients")


@dataclass
class Hospital4:
    """Rows by table; `stay` adds a whole stay that qualifies unless told otherwise, the others single rows."""

    rows: dict[str, list[dict]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, table: str, **row) -> "Hospital4":
        self.rows[table].append({key: "" if value is None else str(value) for key, value in row.items()})
        return self

    def stay(self, subject=1, hadm=100, stay=1000, intime=INTIME, los=3.0, age=60, year=2130, **facts) -> "Hospital4":
        ids = {"subject_id": subject, "hadm_id": hadm}
        first = facts.get("first", "Medical Intensive Care Unit (MICU)")
        units = {"first_careunit": first, "last_careunit": facts.get("last", first)}
        self.add(
            "icustays", **ids, stay_id=stay, **units, intime=text(intime), outtime=text(at(24 * los, intime)), los=los
        )
        if all(row["subject_id"] != str(subject) for row in self.rows["patients"]):
            self.add("patients", subject_id=subject, gender="F", anchor_age=age, anchor_year=year, dod=facts.get("dod"))
        if all(row["hadm_id"] != str(hadm) for row in self.rows["admissions"]):
            times = {"admittime": text(at(-10, intime)), "dischtime": text(at(240, intime))}
            self.add("admissions", **ids, **times, deathtime=facts.get("deathtime"), race="OTHER")
            code = facts.get("code", ("I10", 10))
            self.add("diagnoses_icd", **ids, seq_num=1, icd_code=code[0], icd_version=code[1])
        return self

    def chart(self, item, value, hours=0.5, unit="", subject=1, hadm=100, stay=1000, warning=0) -> "Hospital4":
        ids = {"subject_id": subject, "hadm_id": hadm, "stay_id": stay, "itemid": item, "charttime": text(at(hours))}
        return self.add("chartevents", **ids, value=value, valueuom=unit, warning=warning)

    def lab(self, item, value, hours=0.5, unit="", subject=1, hadm=100) -> "Hospital4":
        ids = {"subject_id": subject, "hadm_id": hadm, "itemid": item, "charttime": text(at(hours))}
        return self.add("labevents", **ids, value=value, valueuom=unit)

    def write(self, folder: Path, version="2.2", flat=False, ending=".csv") -> Path:
        for name, rows in self.rows.items():
            columns = COLUMNS[name].split()
            if version == "1.0":
                columns = [column for column in columns if column not in NOT_OLD]
            if name == "d_icd_diagnoses" and not rows:
                continue
            module = "icu" if name in ICU else "core" if version == "1.0" and name in CORE else "hosp"
            place = folder if flat else folder / module
            place.mkdir(parents=True, exist_ok=True)
            header = [OLD.get(column, column) if version == "1.0" else column for column in columns]
            write_rows(place / f"{name}{ending}", header, [[row.get(column, "") for column in columns] for row in rows])
        return folder
