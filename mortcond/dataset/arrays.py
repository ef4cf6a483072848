"""A data set from arrays of one's own. Comes in: stays that are hours by features already. Goes out: a `Dataset`."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mortcond import cohort
from mortcond.core.errors import InputError
from mortcond.core.manifest import library_versions
from mortcond.dataset.npz import SPLITS, Dataset, Split

REMEDY = "Give X as (stays, hours, features), and every other array with one entry a stay."


def from_arrays(
    X: Any,
    y: Any = None,
    *,
    stay_id: Any = None,
    subject_id: Any = None,
    split: Any = None,
    feature_names: Sequence[str] | None = None,
    age: Any = None,
    sex: Any = None,
    icu_type: Any = None,
    scale: bool = False,
    moments: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a data set of stays that are prepared already.

    Parameters
    ----------
    X
        (stays, hours, features), finite. An hour in which every feature is 0 counts as not there: recurrent networks
        skip it.
    y
        (stays,): 1 died in hospital, 0 did not. None: nobody knows; such stays do for quantising, exporting and pruning
        without training, and for nothing that learns or measures.
    stay_id
        (stays,) whole numbers, each once; None: 0, 1, 2 ...
    subject_id
        (stays,) whole numbers: the patient. None: every stay is another patient's. Where a patient has several stays,
        give them: else she may be in training and test, and the figures are too good.
    split
        (stays,) train, val or test; None: by a hash of seed and patient, 70, 15 and 15 %.
    feature_names
        (features,); a column `mask->NAME` says in which hours NAME was measured.
    age, sex, icu_type
        (stays,) years; F, M or ""; text: for the subgroups of bench's report.
    scale
        Whether to standardise by the training split every column that holds more than 0 and 1; the hours that are not
        there stay 0. False: X is taken as it is.
    moments
        Mean and standard deviation, each (features,), by which a network that somebody else trained wants its columns
        standardised, in the place of the training split's.
    seed
        Of the hash.

    Raises
    ------
    InputError
        The arrays do not fit together, or hold what they cannot.
    """
    X = _prepared(X)
    names = _names(feature_names, X.shape[2])
    outcomes = np.zeros(len(X), np.uint8) if y is None else y
    stays = _stays(len(X), outcomes, stay_id, subject_id, split, age, sex, icu_type)
    splits, rule = cohort.assign(stays, seed)
    if moments is not None and len(moments[0]) != len(names):
        raise InputError(
            f"X has {len(names)} features, the network scales {len(moments[0])}.", "Give the same columns."
        )
    scale = scale or moments is not None
    mean, std = moments or (_moments(X[splits == "train"]) if scale else (np.zeros(len(names)), np.ones(len(names))))
    prepared = standardised(X, mean, std) if scale else X
    parts = {name: _part(prepared, stays, splits == name) for name in SPLITS}
    prevalence = None if y is None else _prevalence(stays.died[splits == "train"])
    meta = {"source": "arrays", "split_rule": rule, "prevalence": prevalence}
    meta |= {"outcomes": False} if y is None else {}
    meta |= {"arrays": _digests(X, stays), "versions": library_versions()}
    # without a table of variables no raw records can be prepared for a model, but another data set can be told apart
    meta["inputs"] = {"feature_names": list(names), "mean": mean.tolist(), "std": std.tolist()}
    meta["inputs"] |= {"window_hours": X.shape[1], "scaled": scale, "prevalence": meta["prevalence"]}
    return Dataset(**parts, feature_names=names, mean=mean, std=std, meta=meta)


def _prepared(X: Any) -> np.ndarray:
    """Return X as (stays, hours, features) float32; raises InputError where it is something else, or not finite."""
    X = np.asarray(X, np.float32)
    if X.ndim != 3 or 0 in X.shape:
        raise InputError(f"X is of shape {X.shape}.", REMEDY)
    if not np.isfinite(X).all():
        stay, hour, feature = np.argwhere(~np.isfinite(X))[0]
        problem = f"X[{stay}, {hour}, {feature}] is no finite number."
        raise InputError(problem, "Fill what is not measured, and mark it.")
    return X


def _digests(X: np.ndarray, stays: pd.DataFrame) -> dict[str, str]:
    arrays = {"X": X, "y": stays.died.to_numpy()}
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def standardised(X: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return X in standard deviations from the mean; hours in which every feature is 0 stay so."""
    there = (X != 0).any(axis=2, keepdims=True)  # (stays, hours, 1)
    return np.where(there, (X - mean) / std, 0).astype(np.float32)


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column over the hours that are there; 0 and 1 where it stays."""
    hours = X[(X != 0).any(axis=2)].astype(np.float64)  # (hours of all stays, features)
    if not len(hours):
        raise InputError("The training split has no hour with any value.", "Give more stays, or other splits.")
    std = hours.std(axis=0)
    kept = np.isin(hours, (0, 1)).all(axis=0) | (std == 0)
    return np.where(kept, 0, hours.mean(axis=0)), np.where(kept, 1, std)


def _names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    found = tuple(map(str, names)) if names is not None else tuple(f"feature {index}" for index in range(count))
    if len(found) != count or len(set(found)) != count:
        raise InputError(f"There are {len(set(found))} feature names for {count} features.", "Name each, each once.")
    return found


def _stays(count: int, y, stay_id, subject_id, split, age, sex, icu_type) -> pd.DataFrame:
    """Return the arrays with one entry a stay as a table, checked."""
    died = np.asarray(y)
    ids = np.arange(count) if stay_id is None else np.asarray(stay_id)
    columns = {"stay_id": ids, "died": died, "subject_id": ids if subject_id is None else np.asarray(subject_id)}
    columns |= {"split": np.full(count, "") if split is None else np.asarray(split).astype(str)}
    columns |= {"age": np.full(count, np.nan) if age is None else np.asarray(age, np.float32)}
    columns |= {"sex": np.full(count, "") if sex is None else np.asarray(sex).astype(str)}
    columns |= {"icu_type": np.full(count, "") if icu_type is None else np.asarray(icu_type).astype(str)}
    for name, column in columns.items():
        if column.shape != (count,):
            raise InputError(
                f"{'y' if name == 'died' else name} is of shape {column.shape}, X has {count} stays.", REMEDY
            )
    for name in ("stay_id", "subject_id"):
        if not np.issubdtype(columns[name].dtype, np.integer):
            raise InputError(f"{name} is {columns[name].dtype}.", "Give whole numbers.")
    if not np.isin(died, (0, 1)).all():
        raise InputError("y holds something else than 0 and 1.", "Give 1 for a stay that ended in death, else 0.")
    if len(np.unique(ids)) < count:
        raise InputError("A stay_id comes twice.", "Number each stay once.")
    unknown = sorted(set(columns["split"].tolist()) - {"", *SPLITS})
    if unknown or not set(columns["sex"]) <= {"", "F", "M"}:
        what = f"split {unknown[0]!r}" if unknown else "a sex that is not F, M or empty"
        raise InputError(f"There is {what}.", f"Splits are {', '.join(SPLITS)}; sex is F, M or empty.")
    return pd.DataFrame(columns | {"died": died.astype(np.uint8)})


def _part(X: np.ndarray, stays: pd.DataFrame, chosen: np.ndarray) -> Split:
    rows = stays[chosen]
    arrays = {name: rows[name].to_numpy() for name in ("stay_id", "subject_id")}
    texts = {name: rows[name].to_numpy().astype("U") for name in ("sex", "icu_type")}
    return Split(X[chosen], rows.died.to_numpy(), **arrays, age=rows.age.to_numpy(np.float32), **texts)


def _prevalence(died: pd.Series) -> float | None:
    return float(died.mean()) if len(died) else None
