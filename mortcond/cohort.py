"""cohort: which stays train a model and which test it, and whether they are enough.

Comes in: the stays of `Records`. Goes out: a split for each stay, by patient, and what to warn of.
"""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import cells

TRAIN_SHARE, VAL_SHARE, TEST_SHARE = 0.70, 0.15, 0.15
SPLITS = ("train", "val", "test")
FEW_DEATHS = 30
FEW_TEST_STAYS = 100
_FLAGS = {0: "", 1: "test", "train": "train", "val": "val", "test": "test"}  # "": train or val, by the hash


def assign(stays: pd.DataFrame, seed: int, split_file: Path | None = None) -> tuple[np.ndarray, str]:
    """Return the split of each stay and the rule in words.

    A patient's split is that of the split file, else that of the source (column `split`), else by a hash of seed and
    patient, so that adding patients moves none. Where file or source only tell the test patients, the hash parts the
    others into train and val in the proportion of the default.

    Parameters
    ----------
    stays
        With subject_id and split.
    seed
        Of the hash.
    split_file
        CSV of patient and 0 or 1 (1: test), the form of the benchmark's testset.csv, or patient and train, val, test.

    Raises
    ------
    InputError
        The file cannot be read, or a patient has two splits.
    """
    patients = stays.subject_id.to_numpy()
    position = hash_position(patients, seed)
    by_hash = np.select([position < TRAIN_SHARE, position < TRAIN_SHARE + VAL_SHARE], ["train", "val"], "test")
    train_or_val = np.where(position * (TRAIN_SHARE + VAL_SHARE) < TRAIN_SHARE, "train", "val")
    if split_file is not None:
        listed = read_split_file(split_file)
        fixed = np.array([listed.get(int(patient), "") for patient in patients], "U5")
        return np.where(fixed == "", train_or_val, fixed), f"{split_file.name}; train and val by hash, seed {seed}"
    fixed = stays.split.to_numpy().astype("U5")
    if not (fixed != "").any():
        shares = f"{TRAIN_SHARE:.0%}, {VAL_SHARE:.0%}, {TEST_SHARE:.0%}"
        return by_hash, f"by patient, hash of seed {seed} and patient: {shares}"
    _refuse_shared_patients(stays.subject_id, fixed)
    fixed = np.where((fixed == "train") & ("val" not in fixed), "", fixed)
    return np.where(fixed == "", train_or_val, fixed), f"of the source; train and val by hash, seed {seed}"


def hash_position(patients: np.ndarray, seed: int) -> np.ndarray:
    """Return for each patient a number in [0, 1) that depends on seed and patient alone."""
    unique, inverse = np.unique(patients, return_inverse=True)
    digests = (hashlib.sha256(f"{seed}:{patient}".encode()).digest() for patient in unique.tolist())
    positions = np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])
    return positions[inverse] if len(unique) else np.zeros(0)


def read_split_file(path: Path) -> dict[int, str]:
    """Return the split of each listed patient, "" where it is train or val.

    Raises InputError that names the row at fault.
    """
    remedy = "Each row is a patient and 0 or 1 (1: test), or a patient and train, val or test."
    splits: dict[int, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                patient, flag = (_cell(row, place) for place in range(2))
                if not row or (number == 1 and patient is None):  # an empty line, a header
                    continue
                if len(row) != 2 or not isinstance(patient, int) or flag not in _FLAGS:
                    raise InputError(f"{path}, row {number}: {','.join(row)!r} is no patient with a split.", remedy)
                if splits.setdefault(patient, _FLAGS[flag]) != _FLAGS[flag]:
                    raise InputError(f"{path}, row {number}: patient {patient} has two splits.", "Keep one of them.")
    except FileNotFoundError:
        raise InputError(f"There is no split file {path}.", "Check the path given to --split-file.") from None
    except csv.Error as error:
        raise InputError(f"{path} is no CSV ({error}).", remedy) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} holds a byte that is no UTF-8.", remedy) from None
    if not splits:
        raise InputError(f"{path} lists no patient.", remedy)
    return splits


def _cell(row: list[str], place: int) -> int | str | None:
    """Return a whole number where a cell holds one; a split by its name; None for anything else."""
    text = row[place].strip() if place < len(row) else ""
    try:
        return cells.whole(text)
    except ValueError:
        return text if text in _FLAGS else None


def summary(stays: pd.DataFrame, split: np.ndarray) -> dict[str, dict[str, int]]:
    """Return stays, patients and deaths of each split."""
    parts = {name: stays[split == name] for name in SPLITS}
    return {
        name: {"stays": len(part), "patients": part.subject_id.nunique(), "deaths": int(part.died.sum())}
        for name, part in parts.items()
    }


def warnings(splits: dict[str, dict[str, int]]) -> list[str]:
    """Say where a split that has stays is too small for what it is for."""
    found = []
    for name, count in splits.items():
        few = count["deaths"] < FEW_DEATHS or (name == "test" and count["stays"] < FEW_TEST_STAYS)
        if count["stays"] and few:
            size = f"{count['stays']} stays with {count['deaths']} deaths"
            meaning = "a model trained on it" if name == "train" else "an AUROC on it"
            found.append(f"The {name} split is too small ({size}): {meaning} means little.")
        if count["stays"] and count["deaths"] in (0, count["stays"]):
            found.append(f"The {name} split has only one outcome: no AUROC can be computed on it.")
    return found


def _refuse_shared_patients(patients: pd.Series, fixed: np.ndarray) -> None:
    splits = pd.Series(fixed).groupby(patients.to_numpy()).nunique()
    if (splits > 1).any():
        patient = splits.index[splits > 1][0]
        raise InputError(f"Patient {patient} is in two splits of the source.", "Put all stays of a patient in one.")
