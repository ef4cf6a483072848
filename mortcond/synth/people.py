"""synth: who comes, when, how ill, and who dies; patients, admissions and stays of a synthetic hospital.

Comes in: how many stays, and a random generator. Goes out: `Stays`, a row an ICU stay, with the hidden severity that
the physiology and the death follow. No number here was fitted to a patient's record.
"""

from dataclasses import dataclass

import numpy as np

ORGANS = ("circulation", "breathing", "brain", "kidney")
UNITS = np.array(["MICU", "SICU", "CCU", "CSRU", "TSICU"])
LONGEST_DAYS = 30.0
SECONDS_A_DAY = 86_400
NEW_PATIENT, NEW_ADMISSION, SAME_ADMISSION = 0, 1, 2
NEVER = np.iinfo(np.int64).min  # what numpy reads as NaT


@dataclass(frozen=True)
class Stays:
    """ICU stays, each array `(stays,)` unless said otherwise; stays of one patient follow one another in time."""

    subject_id: np.ndarray
    hadm_id: np.ndarray
    icustay_id: np.ndarray
    carevue: np.ndarray  # bool: charted in CareVue, else in MetaVision
    male: np.ndarray
    born: np.ndarray  # datetime64[s]; shifted by 300 years for those older than 89
    age: np.ndarray  # years at admission to the unit
    admitted: np.ndarray  # datetime64[s], to the hospital
    discharged: np.ndarray
    entered: np.ndarray  # datetime64[s], to the unit
    left: np.ndarray
    died: np.ndarray  # bool, during this admission
    death: np.ndarray  # datetime64[s] or NaT, in the hospital
    day_of_death: np.ndarray  # datetime64[s] at midnight or NaT, in the hospital or later
    first_unit: np.ndarray
    last_unit: np.ndarray
    first_ward: np.ndarray
    last_ward: np.ndarray
    severity: np.ndarray  # at admission, standard normal
    trend: np.ndarray  # standard normal: above 0 getting worse
    organs: np.ndarray  # (stays, organs): which organ it is, standard normal
    hours: np.ndarray  # length of stay

    def __len__(self) -> int:
        return len(self.subject_id)

    @property
    def first_of_patient(self) -> np.ndarray:
        return _starts(self.subject_id)

    @property
    def first_of_admission(self) -> np.ndarray:
        return _starts(self.hadm_id)


def make_stays(first: int, count: int, generator: np.random.Generator) -> Stays:
    """Return `count` stays whose ids continue after the `first` stays of the hospital."""
    severity, trend = generator.standard_normal((2, count))
    organs = generator.standard_normal((count, len(ORGANS)))
    child = generator.random(count) < 0.04
    age = np.where(child, generator.uniform(0.1, 17.9, count), np.clip(generator.normal(64, 17, count), 16, 102))
    died = generator.random(count) < _risk(severity, trend, organs, age)
    kind = generator.choice([NEW_PATIENT, NEW_ADMISSION, SAME_ADMISSION], count, p=[0.80, 0.14, 0.06])
    kind[0] = NEW_PATIENT
    kind[1:][died[:-1]] = NEW_PATIENT  # nobody comes back after death, so it ends the last stay of an admission
    patient = np.cumsum(kind == NEW_PATIENT) - 1
    admission = np.cumsum(kind != SAME_ADMISSION) - 1
    of_patient, of_admission = (np.flatnonzero(_starts(key)) for key in (patient, admission))

    days = np.exp(np.log(2.7) + 0.2 * severity + 0.75 * generator.standard_normal(count))
    seconds = (np.clip(days, 0.08, LONGEST_DAYS) * SECONDS_A_DAY).astype(np.int64)
    entered = _entries(kind, patient, of_patient, seconds, generator)
    left = entered + seconds
    admitted, discharged, in_unit = _hospital_times(entered, left, admission, of_admission, died, generator)
    late = died & (generator.random(count) < 0.03)  # paperwork: a time of death after the discharge
    death = np.where(died, np.where(in_unit, left, discharged) + np.where(late, SECONDS_A_DAY, 0), NEVER)
    age = age[of_patient][patient] + (entered - entered[of_patient[patient]]) / (365.25 * SECONDS_A_DAY)
    born = entered - (age * 365.25 * SECONDS_A_DAY).astype(np.int64) - (age > 89) * 211 * 365 * SECONDS_A_DAY
    born = born[of_patient][patient]
    unit = generator.choice(len(UNITS), count, p=[0.35, 0.18, 0.17, 0.18, 0.12])
    moved = generator.random(count) < 0.06
    ward_moved = moved | (generator.random(count) < 0.01)
    ward = 7 + unit * 9 + generator.integers(0, 3, count)
    return Stays(
        subject_id=10_001 + first + patient,
        hadm_id=100_001 + first + admission,
        icustay_id=200_001 + first + np.arange(count),
        carevue=(generator.random(count) < 0.45)[of_patient][patient],
        male=(generator.random(count) < 0.56)[of_patient][patient],
        born=_moment(born - born % SECONDS_A_DAY),
        age=age,
        admitted=_moment(admitted),
        discharged=_moment(discharged),
        entered=_moment(entered),
        left=_moment(left),
        died=died,
        death=_moment(death),
        day_of_death=_moment(_days_of_death(death, discharged, patient, of_patient, generator)),
        first_unit=UNITS[unit],
        last_unit=UNITS[np.where(moved, (unit + 1) % len(UNITS), unit)],
        first_ward=ward,
        last_ward=np.where(ward_moved, ward + 4, ward),
        severity=severity,
        trend=trend,
        organs=organs,
        hours=seconds / 3600,
    )


def _risk(severity: np.ndarray, trend: np.ndarray, organs: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Return the probability of death in the hospital: by severity, its trend, the organs it hits, and age."""
    logit = -4.0 + 1.7 * severity + 1.6 * trend + organs @ np.array([0.75, 0.65, 0.85, 0.65]) + 0.03 * (age - 64)
    return 1 / (1 + np.exp(-logit))


def _starts(key: np.ndarray) -> np.ndarray:
    return np.append(True, key[1:] != key[:-1])


def _moment(seconds: np.ndarray) -> np.ndarray:
    return seconds.astype("datetime64[s]")


def _entries(kind, patient, of_patient, seconds, generator) -> np.ndarray:
    """Return the seconds since 1970 of each entry to the unit, in order within a patient, in the years 2100 to 2200."""
    count = len(kind)
    between = np.where(kind == SAME_ADMISSION, generator.uniform(0.2, 3, count), generator.uniform(20, 900, count))
    gap = (between * SECONDS_A_DAY).astype(np.int64) + np.append(0, seconds[:-1])
    since_first = np.cumsum(np.where(kind == NEW_PATIENT, 0, gap))
    anchor = np.datetime64("2100-01-01T00:00:00", "s").astype(np.int64)
    anchor += generator.integers(0, 92 * 365 * SECONDS_A_DAY, count)
    return anchor[of_patient][patient] + since_first - since_first[of_patient[patient]]


def _hospital_times(entered, left, admission, of_admission, died, generator):
    """Return admission and discharge of each stay's hospital stay, to the minute, and who would die in the unit."""
    count = len(entered)
    before = generator.exponential(0.6, count) * (generator.random(count) < 0.6) * SECONDS_A_DAY
    after = generator.gamma(1.2, 3.5, count) * SECONDS_A_DAY
    in_unit = generator.random(count) < 0.75
    last = np.append(of_admission[1:] - 1, count - 1)
    admitted = (entered - before.astype(np.int64) - 60)[of_admission][admission]
    discharged = (left + np.where(died & in_unit, 0, after).astype(np.int64))[last][admission]
    return admitted - admitted % 60, discharged, in_unit


def _days_of_death(death, discharged, patient, of_patient, generator) -> np.ndarray:
    """Return the patient's day of death for all her stays: in the hospital, or for some of the others later."""
    count = len(death)
    last = np.append(of_patient[1:] - 1, count - 1)
    later = discharged + (generator.exponential(200, count) * SECONDS_A_DAY).astype(np.int64)
    later = np.where(generator.random(count) < 0.004, discharged, later)  # on the very day of a live discharge
    day = np.where(death != NEVER, death, np.where(generator.random(count) < 0.22, later, NEVER))
    return np.where(day != NEVER, day - day % SECONDS_A_DAY, NEVER)[last][patient]
