"""Stays to predict from a `dataset.npz`, a batch at a time, so that the file may be larger than the memory.

Comes in: a data set. Goes out: batches of scaled stays, and what was measured of each. numpy only: it starts quickly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core.dataset_file import SPLITS, opened, read_common, x_header
from mortcond.core.npz import Archive

__all__ = ["SPLITS", "Header", "Stays", "batches", "header", "measured_hours", "opened"]
MASK = "mask->"


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


def header(file: Archive, splits: tuple[str, ...]) -> Header:
    """Read all of a data set but its stays."""
    common = read_common(file)
    features = len(common["feature_names"])
    return Header(**common, stays=sum(x_header(file, split, features).shape[0] for split in splits))


def batches(file: Archive, splits: tuple[str, ...], size: int) -> Iterator[Stays]:
    """Yield the stays of some splits, at most `size` at a time, in the order of the file."""
    for split in splits:
        stay_id = file.array(f"stay_id_{split}", file.header(f"X_{split}").shape[:1], "iu")
        for number, x in enumerate(file.rows(f"X_{split}", size)):
            if not np.isfinite(x).all():
                raise ValueError(f"X_{split} holds values that are no numbers")
            yield Stays(stay_id[number * size : number * size + len(x)], x)


def measured_hours(x: np.ndarray, feature_names: tuple[str, ...]) -> tuple[list[str], np.ndarray | None]:
    """Return the variables that have a mask, and in which hours of each stay each was measured.

    The second is (stays, hours, variables) of bool, or None where the features have no masks.
    """
    columns = [index for index, name in enumerate(feature_names) if name.startswith(MASK)]
    names = [feature_names[column].removeprefix(MASK) for column in columns]
    return names, x[:, :, columns] > 0.5 if columns else None
