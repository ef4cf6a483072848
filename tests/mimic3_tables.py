"""A tiny hospital in the form of MIMIC-III, written row by row in the tests that use it."""

import csv
import gzip
import io
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np

from mortcond import tables
from mortcond.core.console import Console
from mortcond.dataset.features import unscaled
from mortcond.dataset.spec import InputSpec
from mortcond.grid import hourly
from mortcond.tables import Records, Request
from mortcond.variables import Variables, load

INTIME = datetime(2130, 1, 1, 12, 0, 0)
COLUMNS = {
    "ICUSTAYS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID LAST_WARDID "
    "INTIME OUTTIME LOS",
    "ADMISSIONS": "ROW_ID SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME HOSPITAL_EXPIRE_FLAG",
    "PATIENTS": "ROW_ID SUBJECT_ID GENDER DOB DOD",
    "DIAGNOSES_ICD": "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "D_ICD_DIAGNOSES": "ROW_ID ICD9_CODE SHORT_TITLE LONG_TITLE",
    "CHARTEVENTS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME VALUE VALUENUM VALUEUOM ERROR",
    "LABEVENTS": "ROW_ID SUBJECT_ID HADM_ID ITEMID CHARTTIME VALUE VALUENUM VALUEUOM FLAG",
    "OUTPUTEVENTS": "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID CHARTTIME ITEMID VALUE VALUEUOM ISERROR",
}


def text(when: datetime | str | None) -> str:
    return when if isinstance(when, str) else "" if when is None else when.strftime("%Y-%m-%d %H:%M:%S")


def at(hours: float, start: datetime = INTIME) -> datetime:
    """Return the time some hours after the admission, to the second."""
    return start + timedelta(seconds=round(hours * 3600))


@dataclass
class Hospital:
    """Rows by table; `stay` adds a whole stay that qualifies unless told otherwise, the others single rows."""

    rows: dict[str, list[dict]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    transform: dict = field(default_factory=dict)

    def __post_init__(self):
        self.add("D_ICD_DIAGNOSES", ICD9_CODE="4019", SHORT_TITLE="Hypertension")

    def add(self, table: str, **row) -> None:
        self.rows[table].append({"ROW_ID": len(self.rows[table]) + 1} | {key: str(value) for key, value in row.items()})

    def stay(self, subject=1, hadm=100, icustay=1000, intime=INTIME, los=3.0, dob="2080-01-01 00:00:00", **facts):
        """Add a stay with its admission, patient (once) and diagnosis; `facts` are further columns of ICUSTAYS."""
        ids = {"SUBJECT_ID": subject, "HADM_ID": hadm}
        units = {"FIRST_CAREUNIT": "MICU", "LAST_CAREUNIT": "MICU", "FIRST_WARDID": 52, "LAST_WARDID": 52}
        end = facts.pop("outtime", at(24 * (los or 0), intime) if los != "" else None)
        patient = {"GENDER": facts.pop("gender", "F"), "DOB": dob, "DOD": facts.pop("dod", "")}
        times = {name: facts.pop(name.lower(), "") for name in ("ADMITTIME", "DISCHTIME", "DEATHTIME")}
        codes = facts.pop("codes", ("4019",))
        self.add(
            "ICUSTAYS", **ids, ICUSTAY_ID=icustay, INTIME=text(intime), OUTTIME=text(end), LOS=los, **(units | facts)
        )
        if all(row["SUBJECT_ID"] != str(subject) for row in self.rows["PATIENTS"]):
            self.add("PATIENTS", SUBJECT_ID=subject, **patient)
        if all(row["HADM_ID"] != str(hadm) for row in self.rows["ADMISSIONS"]):
            times["ADMITTIME"] = times["ADMITTIME"] or text(at(-10, intime))
            times["DISCHTIME"] = times["DISCHTIME"] or text(at(240, intime))
            self.add("ADMISSIONS", **ids, **times)
            for code in codes:
                self.add("DIAGNOSES_ICD", **ids, SEQ_NUM=1, ICD9_CODE=code)
        return self

    def chart(self, item, value, hours=0.5, unit="", subject=1, hadm=100, icustay=1000, start=INTIME, error=""):
        time = text(at(hours, start)) if isinstance(hours, float | int) else hours
        ids = {"SUBJECT_ID": subject, "HADM_ID": hadm, "ICUSTAY_ID": icustay}
        self.add("CHARTEVENTS", **ids, ITEMID=item, CHARTTIME=time, VALUE=value, VALUEUOM=unit, ERROR=error)
        return self

    def lab(self, item, value, hours=0.5, unit="", subject=1, hadm=100, start=INTIME):
        ids = {"SUBJECT_ID": subject, "HADM_ID": hadm}
        self.add("LABEVENTS", **ids, ITEMID=item, CHARTTIME=text(at(hours, start)), VALUE=value, VALUEUOM=unit)
        return self

    def output(self, item, value, hours=0.5, error="", subject=1, hadm=100, icustay=1000, start=INTIME):
        ids = {"SUBJECT_ID": subject, "HADM_ID": hadm, "ICUSTAY_ID": icustay}
        time = text(at(hours, start))
        self.add("OUTPUTEVENTS", **ids, ITEMID=item, CHARTTIME=time, VALUE=value, VALUEUOM="ml", ISERROR=error)
        return self

    def write(self, folder: Path, **form) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.rows.items():
            write_table(folder, name, rows, **form)
        return folder


def write_table(
    folder: Path,
    name: str,
    rows: list[dict],
    *,
    parts: int = 1,
    subfolder: bool = False,
    ending: str = ".csv",
    lower_files: bool = False,
    lower_columns: bool = False,
    quote_all: bool = False,
    crlf: bool = False,
) -> None:
    """Write a table in one of the forms in which hospitals keep it; CHARTEVENTS alone is split into parts."""
    header = COLUMNS[name].split()
    parts = parts if name == "CHARTEVENTS" else 1
    stem = name.lower() if lower_files else name
    for part in range(parts):
        shown = [column.lower() if lower_columns else column for column in header]
        content = _csv(
            shown, [[row.get(column, "") for column in header] for row in rows[part::parts]], quote_all, crlf
        )
        if subfolder and name == "CHARTEVENTS":
            (folder / stem).mkdir(exist_ok=True)
            path = folder / stem / f"{part}{ending}"
        else:
            path = folder / (f"{stem}_part{part + 1}{ending}" if parts > 1 else f"{stem}{ending}")
        _write(path, content)


def _csv(header: list[str], rows: list[list[str]], quote_all: bool, crlf: bool) -> bytes:
    file = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(file, quoting=quoting, lineterminator="\r\n" if crlf else "\n")
    writer.writerows([header, *rows])
    return file.getvalue().encode()


def _write(path: Path, content: bytes) -> None:
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif path.name.endswith(".parquet"):
        with tempfile.TemporaryDirectory() as plain:
            source = Path(plain, "table.csv")
            source.write_bytes(content)
            form = "all_varchar = true, header = true, delim = ',', quote = '\"'"
            duckdb.sql(f"SELECT * FROM read_csv('{source}', {form})").write_parquet(f"{plain}/table.parquet")
            shutil.move(f"{plain}/table.parquet", path)
    else:
        path.write_bytes(content)


def write_rows(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Write a table in the form that its file's name tells."""
    _write(path, _csv(header, rows, quote_all=False, crlf=False))


def read(folder: Path, scratch: Path, variables: str | Variables = "paper76", form="mimic3", **request) -> Records:
    """Read a folder of tables as preprocess does."""
    scratch.mkdir(parents=True, exist_ok=True)
    chosen = load(variables) if isinstance(variables, str) else variables
    return tables.read(folder, chosen, Request(scratch, console=Console(quiet=True), **request), form)


def tensor(records: Records, variables: str | Variables = "paper76") -> dict[str, np.ndarray]:
    """Return unscaled X by feature name: (stays, hours)."""
    chosen = load(variables) if isinstance(variables, str) else variables
    columns = chosen.columns()
    normals = tuple(0.0 if v.normal_value is None else v.normal_value for v in chosen)
    ones = np.ones(len(columns))
    spec = InputSpec(chosen, 48, (), normals, 0 * ones, ones, 0.1, scaled=False)
    stays = records.stays
    grids = list(hourly(records.events, stays.stay_id.to_numpy(), chosen, 48))
    X = np.concatenate([unscaled(grid, stays, spec) for grid in grids])
    return {column.name: X[:, :, index] for index, column in enumerate(columns)}


def category(X: dict[str, np.ndarray], channel: str, stay: int = 0, hour: int = 0) -> str:
    """Return the one category of a channel that is set."""
    found = [name.split("->")[1] for name in X if name.startswith(f"{channel}->") and X[name][stay, hour] == 1]
    assert len(found) == 1
    return found[0]
