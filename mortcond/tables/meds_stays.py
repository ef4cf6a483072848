"""The stays of a MEDS data set, whose only table is events: from admissions, discharges, births.

Comes in: the events that tell of stays (subject_id, seconds since 1970, code and, where the data set has them, hadm_id
and icustay_id, both Int64). Goes out: a row an ICU stay with the columns that the cohort asks for, and who died in
hospital.

A death counts by the code of the discharge from hospital: MEDS_DEATH may be months later, at home.
"""

import numpy as np
import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables.meds_codes import Codes, tail

STAYS_PER_SUBJECT = 1000  # stay_id is made of subject_id and the number of the stay where the data set has none
LARGEST_SUBJECT = 2**63 // STAYS_PER_SUBJECT - 1
DAY_SECONDS = 86_400


def icu_stays(events: pd.DataFrame, codes: Codes) -> pd.DataFrame:
    """Return subject_id, stay_id, intime, outtime (NaN: unknown), los (days), first_careunit and last_careunit.

    An ICU_ADMISSION goes with the ICU_DISCHARGE of the same stay where the data set names stays, else with the next one
    of the subject, if no other admission lies between.

    Raises InputError where there is no admission to an ICU.
    """
    first = _of(events, codes.kinds["icu_admission"]).assign(first_careunit=lambda rows: rows.code.map(tail))
    last = _of(events, codes.kinds["icu_discharge"]).assign(last_careunit=lambda rows: rows.code.map(tail))
    if first.empty:
        raise InputError("The data set has no event ICU_ADMISSION.", "mortcond predicts for stays in an ICU.")
    stays = _paired(first, last, "icustay_id", ("last_careunit",))
    stays = stays.rename(columns={"start": "intime", "end": "outtime", "icustay_id": "stay_id"})
    if stays.stay_id.isna().any():
        stays["stay_id"] = _numbered(stays)
    stays["los"] = (stays.outtime - stays.intime) / DAY_SECONDS
    return stays.astype({"stay_id": "int64"})


def with_admissions(stays: pd.DataFrame, events: pd.DataFrame, codes: Codes) -> pd.DataFrame:
    """Add hadm_id, admittime, dischtime (NaN: unknown), died, and whether an admission is `known`.

    A stay belongs to the admission of its hadm_id, else to the one in which it begins, else to the next one that begins
    before the stay ends (a patient may be registered after the stay began).
    """
    discharges = _of(events, codes.kinds["discharge"]).assign(died=lambda rows: rows.code.isin(codes.kinds["died"]))
    hospital = _paired(_of(events, codes.kinds["admission"]), discharges, "hadm_id", ("died",))
    hospital = hospital.rename(columns={"start": "admittime", "end": "dischtime"})
    if hospital.hadm_id.isna().any():
        hospital["hadm_id"] = np.arange(1, len(hospital) + 1)
    place = _admission_of(stays, hospital)
    found = hospital.reindex(place)[["hadm_id", "admittime", "dischtime", "died"]].reset_index(drop=True)
    stays = stays.drop(columns="hadm_id").reset_index(drop=True)
    died = found.died.astype("boolean").fillna(False).astype("uint8")
    return stays.assign(
        hadm_id=found.hadm_id.fillna(pd.Series(-1 - np.arange(len(stays)))).astype("int64"),  # unknown: one of its own
        admittime=found.admittime,
        dischtime=found.dischtime,
        died=died,
        known=found.admittime.notna(),
    )


def with_people(stays: pd.DataFrame, events: pd.DataFrame, codes: Codes) -> pd.DataFrame:
    """Add gender (F, M or "") and age (completed years at the beginning of the stay; NaN: no birth)."""
    sex = _of(events, codes.kinds["sex"]).drop_duplicates("subject_id").set_index("subject_id").code.map(tail).str[:1]
    birth = _of(events, codes.kinds["birth"]).drop_duplicates("subject_id").set_index("subject_id").seconds
    born, begun = _dates(stays.subject_id.map(birth)), _dates(stays.intime)
    before = (begun.dt.month < born.dt.month) | ((begun.dt.month == born.dt.month) & (begun.dt.day < born.dt.day))
    age = (begun.dt.year - born.dt.year - before).where(born.notna()).astype("float64")
    return stays.assign(gender=stays.subject_id.map(sex).fillna(""), age=age)


def diagnosed(stays: pd.DataFrame, events: pd.DataFrame, codes: Codes) -> np.ndarray:
    """Say which stays have a diagnosis in their admission; all, where the data set has no diagnoses."""
    found = _of(events, codes.kinds["diagnosis"])[["subject_id", "seconds"]]
    if found.empty:
        return np.ones(len(stays), bool)
    pairs = stays[["subject_id", "stay_id", "admittime", "dischtime"]].merge(found, on="subject_id")
    inside = (pairs.seconds >= pairs.admittime) & ~(pairs.seconds > pairs.dischtime)
    return stays.stay_id.isin(pairs.stay_id[inside]).to_numpy()


def _of(events: pd.DataFrame, codes: frozenset[str]) -> pd.DataFrame:
    return events[events.code.isin(codes)].sort_values(["subject_id", "seconds"], kind="stable")


def _paired(starts: pd.DataFrame, ends: pd.DataFrame, id: str, facts: tuple[str, ...]) -> pd.DataFrame:
    """Return each start with its end: by `id` where every start has one, else the subject's next end.

    Where the next start comes before the next end, the end is unknown.
    """
    kept = ["subject_id", "hadm_id", "icustay_id"] + [name for name in starts if name.endswith("careunit")]
    starts = starts.assign(start=starts.seconds).dropna(subset="start")[[*kept, "start"]].drop_duplicates()
    ends = ends.assign(end=ends.seconds).dropna(subset="end")
    if len(starts) and starts[id].notna().all() and starts[id].is_unique:
        return starts.merge(ends.drop_duplicates(id)[[id, "end", *facts]], how="left", on=id)
    following = starts.groupby("subject_id").start.shift(-1)
    keyed = starts.assign(following=following).sort_values("start", kind="stable")
    later = ends[["subject_id", "end", *facts]].assign(at=ends.end).sort_values("at", kind="stable")
    paired = pd.merge_asof(keyed, later, left_on="start", right_on="at", by="subject_id", direction="forward")
    crossed = paired.end > paired.following
    paired.loc[crossed, ["end"]] = np.nan
    return paired.drop(columns=["following", "at"]).sort_values(["subject_id", "start"], ignore_index=True)


def _numbered(stays: pd.DataFrame) -> pd.Series:
    """Return a stay_id: the subject's id followed by the number of its stay, so that other subjects move none."""
    if stays.subject_id.abs().max() > LARGEST_SUBJECT or stays.subject_id.min() < 0:
        return pd.Series(np.arange(1, len(stays) + 1), stays.index)
    return stays.subject_id * STAYS_PER_SUBJECT + stays.groupby("subject_id").cumcount() + 1


def _admission_of(stays: pd.DataFrame, hospital: pd.DataFrame) -> pd.Series:
    """Return for each stay the row of `hospital` to which it belongs, -1 where there is none."""
    if stays.hadm_id.notna().all() and hospital.hadm_id.is_unique:
        return stays.hadm_id.map(pd.Series(hospital.index, hospital.hadm_id)).fillna(-1).astype("int64")
    rows = hospital[["subject_id", "admittime", "dischtime"]].assign(row=hospital.index).sort_values("admittime")
    keyed = stays[["subject_id", "intime", "outtime"]].assign(stay=stays.index).sort_values("intime")
    how = {"left_on": "intime", "right_on": "admittime", "by": "subject_id"}
    before = pd.merge_asof(keyed, rows, direction="backward", **how).set_index("stay")
    after = pd.merge_asof(keyed, rows, direction="forward", **how).set_index("stay")
    begun = before.row.where(~(before.dischtime < before.intime))
    soon = after.row.where(after.admittime <= after.outtime)
    return begun.fillna(soon).fillna(-1).astype("int64").reindex(stays.index)


def _dates(seconds: pd.Series) -> pd.Series:
    return pd.to_datetime(seconds, unit="s")
