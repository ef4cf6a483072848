"""Folds: a data set cut anew for cross-validation, with everything that is learnt from stays learnt again.

Comes in: a data set as it is on disk. Goes out: for each fold a data set whose scaling and normal values come from its
own training stays. The raw records are not needed: X can be scaled anew, and where a variable was not measured yet, its
mask column says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mortcond.core.errors import InputError
from mortcond.dataset.npz import SPLITS, Dataset, Split
from mortcond.dataset.spec import InputSpec

INNER_FOLDS = 6  # one of them is the validation split inside a training part: 17 %, near preprocess' 15 of 85
FEWEST_OF_EACH = 2  # deaths, and survivors, a fold: fewer and no difference of AUROC can be taken within it


@dataclass(frozen=True)
class Whole:
    """All stays of a data set as one split, sorted by stay, and the data set that they come from."""

    stays: Split
    data: Dataset

    @property
    def spec(self) -> InputSpec | None:
        """How raw records become X; None for arrays that somebody brought along."""
        record = self.data.meta.get("inputs")
        return InputSpec.from_dict(record) if record else None


def whole(data: Dataset) -> Whole:
    """Return all stays of a data set together."""
    parts = [getattr(data, name) for name in SPLITS if getattr(data, name) is not None]
    order = np.argsort(np.concatenate([part.stay_id for part in parts]), kind="stable")
    return Whole(Split(**{name: np.concatenate([getattr(p, name) for p in parts])[order] for name in _arrays()}), data)


def assign(died: np.ndarray, subject_id: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each stay, (stays,): a patient is in one fold, deaths are spread evenly.

    Raises InputError where there are too few deaths or survivors for so many folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    number = np.full(len(died), -1)
    fewest = int(min(died.sum(), len(died) - died.sum()))
    if fewest < FEWEST_OF_EACH * folds:
        raise InputError(
            f"{len(died):,} stays with {int(died.sum()):,} deaths are too few for {folds} folds.",
            f"Each needs {FEWEST_OF_EACH} deaths and survivors: use fewer --folds, or more stays.",
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(died[:, None], died, subject_id)):
        number[held] = fold
    for fold in range(folds):
        if len(np.unique(died[number == fold])) < 2:
            raise InputError(f"Fold {fold + 1} of {folds} has one outcome only.", "Use fewer --folds, or more stays.")
    return number


def cut(everything: Whole, fold_of_stay: np.ndarray, fold: int, seed: int, validation: bool = True) -> Dataset:
    """Return the data set of one fold: its stays are the test split, of the others a sixth is the validation split.

    Parameters
    ----------
    fold_of_stay
        (stays,) as `assign` gives it.
    seed
        Of the choice of the validation stays; a patient is on one side.
    validation
        False: no stay is in the validation split, all others are learnt from.
    """
    stays = everything.stays
    rest = np.flatnonzero(fold_of_stay != fold)
    inner = np.ones(len(rest))
    if validation:
        inner = assign(stays.y[rest], stays.subject_id[rest], INNER_FOLDS, seed)
    rows = {"train": rest[inner > 0], "val": rest[inner == 0], "test": np.flatnonzero(fold_of_stay == fold)}
    parts = {name: _rows(stays, chosen) for name, chosen in rows.items()}
    parts = _with_normals_of_its_own(parts, everything.spec)
    return _scaled_anew(parts, everything.data)


def all_stays(data: Dataset) -> Dataset:
    """Return a data set in which every stay is in the training split, for a model that is judged elsewhere.

    Scaling and prevalence are those of all stays; normal values stay the data set's own.
    """
    stays = whole(data).stays
    nobody = _rows(stays, np.zeros(0, int))
    found = _scaled_anew({"train": stays, "val": nobody, "test": nobody}, data)
    meta = found.meta | {"split_rule": "every stay in train"}
    if "inputs" in meta:
        own = {"mean": found.mean.tolist(), "std": found.std.tolist(), "prevalence": meta["prevalence"]}
        meta["inputs"] = meta["inputs"] | own
    return replace(found, meta=meta)


def _scaled_anew(parts: dict[str, Split], data: Dataset) -> Dataset:
    """Return splits with the scaling of a data set as one that is scaled by its own training split."""
    mean, std = _scaling(parts["train"].X, (data.mean != 0) | (data.std != 1))
    for name, part in parts.items():
        parts[name] = replace(part, X=((part.X - mean) / std).astype(np.float32))
    meta = data.meta | {"prevalence": float(parts["train"].y.mean())}
    return Dataset(**parts, feature_names=data.feature_names, mean=data.mean + mean * data.std, std=data.std * std,
                   meta=meta)  # fmt: skip


def _arrays() -> tuple[str, ...]:
    return tuple(Split.__dataclass_fields__)


def _rows(stays: Split, rows: np.ndarray) -> Split:
    return Split(**{name: getattr(stays, name)[rows] for name in _arrays()})


def _scaling(X: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the columns that are scaled, 0 and 1 of the others and of constant ones."""
    mean, std = (getattr(X, name)(axis=(0, 1), dtype=np.float64) for name in ("mean", "std"))
    return np.where(scaled, mean, 0.0), np.where(scaled & (std > 1e-6), std, 1.0)


def _with_normals_of_its_own(parts: dict[str, Split], spec: InputSpec | None) -> dict[str, Split]:
    """Put the training part's own medians where a variable was not measured yet, if its table gives no normal value.

    The median is taken over the hours in which the variable was measured (preprocess takes it over all measurements,
    which a data set no longer holds).
    """
    if spec is None or not any(_is_learnt(variable) for variable in spec.variables):
        return parts
    copied = {name: part.X.copy() for name, part in parts.items()}
    for columns, mask, carried in _learnt(spec):
        value = columns[0]
        measured = copied["train"][:, :, value][copied["train"][:, :, mask] > 0]
        zero = -spec.mean[value] / spec.std[value]  # what preprocess gives a variable that nobody measured
        normal = np.float32(np.median(measured) if measured.size else zero)
        for X in copied.values():
            known = X[:, :, mask] > 0
            seen = np.maximum.accumulate(known, axis=1)
            for column in columns:
                missing = ~(known if column == value and not carried else seen)
                shift = spec.mean[value], spec.std[value]  # the columns of a variable are scaled each for itself
                raw = normal * shift[1] + shift[0]
                X[:, :, column][missing] = np.float32((raw - spec.mean[column]) / spec.std[column])
    static = _static(spec, parts, copied)
    return {name: replace(part, X=static[name]) for name, part in parts.items()}


def _is_learnt(variable) -> bool:
    return variable.normal_value is None and not variable.categories


def _learnt(spec: InputSpec) -> Iterator[tuple[list[int], int, bool]]:
    """Yield for each variable with a learnt normal value its columns (the value first), its mask's, whether carried."""
    for index, variable in enumerate(spec.variables):
        own = [(place, column) for place, column in enumerate(spec.columns) if column.variable == index]
        masks = [place for place, column in own if column.part == "mask"]
        values = [place for place, column in own if column.part in ("value", "min", "max", "mean")]
        if _is_learnt(variable) and variable.kind != "static" and masks and values:
            yield values, masks[0], variable.aggregate == "last"


def _static(spec: InputSpec, parts: dict[str, Split], copied: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the training part's median age where the age is unknown, if the table gives no normal one."""
    for place, column in enumerate(spec.columns):
        variable = spec.variables[column.variable]
        if column.part == "static" and variable.name == "age" and _is_learnt(variable):
            known = ~np.isnan(parts["train"].age)
            median = np.float32(np.median(copied["train"][known, 0, place])) if known.any() else np.float32(0)
            for name, part in parts.items():
                copied[name][np.isnan(part.age), :, place] = median
    return copied
