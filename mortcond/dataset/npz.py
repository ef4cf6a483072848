"""The data set on disk: `dataset.npz` (DESIGN section 2), readable with `numpy.load(path, allow_pickle=False)`.

Comes in: splits, whole or in chunks. Goes out: the file, written whole or not at all; and the splits read back.
"""

import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core import npz
from mortcond.core.artifacts import atomic_file
from mortcond.core.dataset_file import MOST_LETTERS, SPLITS, opened, read_common, x_header
from mortcond.core.errors import InputError
from mortcond.core.format_version import stamped
from mortcond.core.memory import refuse_beyond_memory

_KINDS = {"y": "biuf", "stay_id": "iu", "subject_id": "iu", "age": "fiu", "sex": "U", "icu_type": "U"}
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

    @property
    def hours(self) -> int:
        """Return how many hours each stay has."""
        found = next(split for split in (self.train, self.val, self.test) if split is not None)
        return found.X.shape[1]

    @property
    def labelled(self) -> bool:
        """Say whether y holds outcomes."""
        return self.meta.get("outcomes") is not False

    def split(self, name: str) -> Split:
        """Return a split by its name: train, val or test."""
        split = getattr(self, name) if name in SPLITS else None
        if split is None:
            raise InputError(f"{self.path or 'The data set'} has no split {name!r}.", f"Known are {', '.join(SPLITS)}.")
        return split


def load(path: Path, splits: Iterable[str] = SPLITS, unlabelled: bool = False) -> Dataset:
    """Read a data set, only the splits asked for.

    Parameters
    ----------
    unlabelled
        Whether stays without outcomes will do; their y is 0 and means nothing.

    Raises
    ------
    InputError
        The file is missing, truncated, no data set, or contradicts itself; or it has no outcomes where they are needed.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no data set {path}.", "Make one with mortcond preprocess.")
    with opened(path) as file:
        found = _read(path, file, tuple(splits))
    if tuple(splits) and not (found.labelled or unlabelled):
        raise InputError(
            f"{path} holds stays without outcomes.",
            "Give y where it is made. Without outcomes a network can be quantised, exported, and pruned untrained.",
        )
    return found


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
    write_array(file, "meta", np.array(json.dumps(stamped(meta), default=str, allow_nan=False)))


def _member(file: zipfile.ZipFile, name: str):
    entry = zipfile.ZipInfo(f"{name}.npy")  # the fixed date of ZipInfo: the same input gives the same bytes
    entry.external_attr = 0o644 << 16
    return file.open(entry, "w", force_zip64=True)


def write_array(file: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """Write one array of any kind."""
    with _member(file, name) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _read(path: Path, file: npz.Archive, splits: tuple[str, ...]) -> Dataset:
    common = read_common(file)
    features = len(common["feature_names"])
    sizes = [_stays_bytes(file, name, features) for name in SPLITS if name in splits]  # of all, before any is read
    refuse_beyond_memory(sum(sizes), f"{path} ({', '.join(splits)})")
    read = {name: _read_split(file, name, features) if name in splits else None for name in SPLITS}
    return Dataset(**read, **common, path=path)


def _stays_bytes(file: npz.Archive, name: str, features: int) -> int:
    """Return the bytes that a split will take, after its arrays were compared with each other."""
    x = x_header(file, name, features)
    others = [
        file.expect(f"{key}_{name}", (x.shape[0],), kinds, x.shape[0] * MOST_LETTERS * 4)
        for key, kinds in _KINDS.items()
    ]
    return sum(header.nbytes for header in [x, *others])


def _read_split(file: npz.Archive, name: str, features: int) -> Split:
    shape = x_header(file, name, features).shape
    X = np.ascontiguousarray(file.array(f"X_{name}", most_bytes=4 * math.prod(shape)))
    if not np.isfinite(X).all():
        raise ValueError(f"X_{name} holds values that are no numbers")
    arrays = {key: file.array(f"{key}_{name}", shape[:1], kinds) for key, kinds in _KINDS.items()}
    return Split(X, **(arrays | {"y": _outcomes(name, arrays["y"])}))


def _outcomes(name: str, y: np.ndarray) -> np.ndarray:
    """Return (stays,) uint8; ValueError where an outcome is neither 0 nor 1."""
    strange = np.flatnonzero((y != 0) & (y != 1))
    if len(strange):
        raise ValueError(f"y_{name}[{strange[0]}] is {y[strange[0]]}; an outcome is 0 (survived) or 1 (died)")
    return y.astype(np.uint8)
