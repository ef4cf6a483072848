"""Stays to predict from a `dataset.npz`, a batch at a time, so that the file may be larger than the memory.

Comes in: a data set. Goes out: batches of scaled stays, and what was measured of each. numpy only: it starts quickly.
"""

import json
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError

SPLITS = ("train", "val", "test")
MASK = "mask->"
REMEDY = "Make it again with mortcond preprocess."
MOST_HOURS = 10_000
BROKEN = (  # what zipfile, numpy and json raise for bytes that are not what they say
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError),
    *(KeyError, ValueError, TypeError, NotImplementedError, OverflowError),
)


@dataclass(frozen=True)
class Stays:
    """A batch of stays."""

    stay_id: np.ndarray  # (stays,) int64
    x: np.ndarray  # (stays, hours, features) float32, scaled


@dataclass(frozen=True)
class Header:
    """What a data set says of itself, and how many stays are to come."""

    feature_names: tuple[str, ...]
    mean: np.ndarray  # (features,)
    std: np.ndarray  # (features,)
    meta: dict[str, Any]
    stays: int


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a data set; whatever is wrong with its bytes becomes an InputError."""
    try:
        with zipfile.ZipFile(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"There is no data set {path}.", "Make one with mortcond preprocess.") from None
    except BROKEN as error:
        raise InputError(f"{path} is no data set ({type(error).__name__}: {error}).", REMEDY) from None


def header(file: zipfile.ZipFile, splits: tuple[str, ...]) -> Header:
    """Read all of a data set but its stays."""
    names = tuple(str(name) for name in _array(file, "feature_names"))
    meta = json.loads(str(_array(file, "meta")))
    if not isinstance(meta, dict):
        raise ValueError("its meta is no JSON object")
    stays = 0
    for split in splits:
        with file.open(f"X_{split}.npy") as member:
            shape, _, dtype = _npy_header(member)
        if len(shape) != 3 or shape[2] != len(names) or shape[1] > MOST_HOURS or dtype != np.float32:
            raise ValueError(f"X_{split} is {dtype} of shape {shape}, not float32 with {len(names)} features")
        stays += shape[0]
    return Header(names, _array(file, "mean"), _array(file, "std"), meta, stays)


def batches(file: zipfile.ZipFile, splits: tuple[str, ...], size: int) -> Iterator[Stays]:
    """Yield the stays of some splits, at most `size` at a time, in the order of the file."""
    for split in splits:
        stay_id = _array(file, f"stay_id_{split}")
        with file.open(f"X_{split}.npy") as member:
            shape, fortran, dtype = _npy_header(member)
            if fortran or len(stay_id) != shape[0]:
                raise ValueError(f"X_{split} and stay_id_{split} do not fit together")
            row_bytes = math.prod(shape[1:]) * dtype.itemsize
            for start in range(0, shape[0], size):
                count = min(size, shape[0] - start)
                data = member.read(count * row_bytes)
                if len(data) != count * row_bytes:
                    raise EOFError(f"X_{split} ends early")
                x = np.frombuffer(data, dtype).reshape(count, *shape[1:])
                if not np.isfinite(x).all():
                    raise ValueError(f"X_{split} holds values that are no numbers")
                yield Stays(stay_id[start : start + count], x)


def measured_hours(x: np.ndarray, feature_names: tuple[str, ...]) -> tuple[list[str], np.ndarray | None]:
    """Return the variables that have a mask, and in which hours of each stay each was measured.

    The second is (stays, hours, variables) of bool, or None where the features have no masks.
    """
    columns = [index for index, name in enumerate(feature_names) if name.startswith(MASK)]
    names = [feature_names[column].removeprefix(MASK) for column in columns]
    return names, x[:, :, columns] > 0.5 if columns else None


def _array(file: zipfile.ZipFile, name: str) -> np.ndarray:
    with file.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _npy_header(member) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(member)
