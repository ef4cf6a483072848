"""The data set on disk: `dataset.npz` (DESIGN section 2), readable with `numpy.load(path, allow_pickle=False)`.

Comes in: splits, whole or in chunks. Goes out: the file, written whole or not at all; and the splits read back.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.artifacts import atomic_file
from mortcond.core.errors import InputError

SPLITS = ("train", "val", "test")
_REMEDY = "Make it again with mortcond preprocess."
_PER_STAY = {"y": "u1", "stay_id": "i8", "subject_id": "i8", "age": "f4", "sex": "U1", "icu_type": "U"}


@dataclass(frozen=True)
class Split:
    """The stays of one split."""

    X: np.ndarray  # (stays, hours, features) float32, scaled
    y: np.ndarray  # (stays,) uint8: 1 died in hospital
    stay_id: np.ndarray  # (stays,) int64
    subject_id: np.ndarray  # (stays,) int64
    age: np.ndarray  # (stays,) float32, years; NaN: unknown
    sex: np.ndarray  # (stays,) "F", "M" or ""
    icu_type: np.ndarray  # (stays,) text, "": unknown

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """A data set; a split that was not asked for is None."""

    train: Split | None
    val: Split | None
    test: Split | None
    feature_names: tuple[str, ...]
    mean: np.ndarray  # (features,)
    std: np.ndarray  # (features,)
    meta: dict[str, Any]  # manifest, inputs (InputSpec), source, split_rule, attrition, prevalence, versions, ...
    path: Path | None = None

    def split(self, name: str) -> Split:
        """Return a split by its name: train, val or test."""
        split = getattr(self, name) if name in SPLITS else None
        if split is None:
            raise InputError(f"{self.path or 'The data set'} has no split {name!r}.", f"Known are {', '.join(SPLITS)}.")
        return split


def load(path: Path, splits: Iterable[str] = SPLITS) -> Dataset:
    """Read a data set, only the splits asked for.

    Raises InputError where the file is missing, truncated, no data set, or contradicts itself.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no data set {path}.", "Make one with mortcond preprocess.")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no data set: no npz file, or one that is cut off.", _REMEDY)
    try:
        with np.load(path, allow_pickle=False) as file:
            return _read(path, file, tuple(splits))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no data set ({type(error).__name__}: {error}).", _REMEDY) from None


def save(path: Path, dataset: Dataset) -> None:
    """Write a whole data set that is in memory; a split that is None is written with no stays."""
    splits = [getattr(dataset, name) for name in SPLITS]
    shape = next(split for split in splits if split is not None).X.shape[1:]
    with writer(path) as file:
        for name, split in zip(SPLITS, splits, strict=True):
            split = split or empty_split(shape)
            write_x(file, name, split.X.shape, [split.X])
            write_stays(file, name, {key: getattr(split, key) for key in _PER_STAY})
        write_common(file, dataset.feature_names, dataset.mean, dataset.std, dataset.meta)


def empty_split(shape: tuple[int, ...]) -> Split:
    """Return a split without stays whose X has the given (hours, features)."""
    return Split(X=np.zeros((0, *shape), np.float32), **{key: np.zeros(0, kind) for key, kind in _PER_STAY.items()})


@contextmanager
def writer(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a new npz file; it takes its name when the block ends without error."""
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
        yield file


def write_x(file: zipfile.ZipFile, split: str, shape: tuple[int, ...], chunks: Iterable[np.ndarray]) -> None:
    """Write `X_split` of the given (stays, hours, features), a chunk of stays at a time."""
    with _member(file, f"X_{split}") as member:
        header = {"descr": "<f4", "fortran_order": False, "shape": tuple(int(n) for n in shape)}
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in chunks:
            member.write(np.ascontiguousarray(chunk, "<f4").data)


def write_stays(file: zipfile.ZipFile, split: str, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of a split with one entry a stay (all of Split but X)."""
    for key, kind in _PER_STAY.items():
        write_array(file, f"{key}_{split}", np.asarray(arrays[key]).astype(kind))


def write_common(file: zipfile.ZipFile, feature_names, mean: np.ndarray, std: np.ndarray, meta: dict[str, Any]) -> None:
    """Write what belongs to the whole data set."""
    write_array(file, "feature_names", np.array(feature_names, "U"))
    write_array(file, "mean", np.asarray(mean, np.float64))
    write_array(file, "std", np.asarray(std, np.float64))
    write_array(file, "meta", np.array(json.dumps(meta, default=str, allow_nan=False)))


def _member(file: zipfile.ZipFile, name: str):
    entry = zipfile.ZipInfo(f"{name}.npy")  # the fixed date of ZipInfo: the same input gives the same bytes
    entry.external_attr = 0o644 << 16
    return file.open(entry, "w", force_zip64=True)


def write_array(file: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """Write one array of any kind."""
    with _member(file, name) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _read(path: Path, file, splits: tuple[str, ...]) -> Dataset:
    names = tuple(str(name) for name in file["feature_names"])
    common = {"mean": file["mean"], "std": file["std"], "meta": json.loads(str(file["meta"]))}
    read = {name: _read_split(file, name, len(names)) if name in splits else None for name in SPLITS}
    if not isinstance(common["meta"], dict) or not len(common["mean"]) == len(common["std"]) == len(names):
        raise ValueError("feature_names, mean, std and meta do not fit together")
    return Dataset(**read, feature_names=names, **common, path=path)


def _read_split(file, name: str, features: int) -> Split:
    arrays = {field.name: file[f"{field.name}_{name}"] for field in fields(Split)}
    X = arrays["X"]
    if X.ndim != 3 or X.shape[2] != features or X.dtype != np.float32:
        raise ValueError(f"X_{name} is {X.dtype} of shape {X.shape}, not float32 with {features} features")
    if any(len(array) != len(X) for array in arrays.values()):
        raise ValueError(f"the arrays of {name} differ in length")
    if not np.isfinite(X).all() or (arrays["y"] > 1).any():
        raise ValueError(f"X_{name} or y_{name} holds values that are no numbers or no outcomes")
    return Split(**arrays)
