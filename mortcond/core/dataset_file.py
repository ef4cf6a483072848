"""The form of `dataset.npz` (DESIGN section 2): what is in it beside the stays. numpy only: predict starts quickly.

Comes in: a path. Goes out: the open file, its names, scaling and meta, and the header of each X, within stated limits.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core import npz
from mortcond.core.format_version import known

SPLITS = ("train", "val", "test")
MOST_HOURS = 10_000
MOST_FEATURES, MOST_LETTERS = 100_000, 1_000  # of names, of a name
MOST_META = 1 << 28  # bytes in memory
REMEDY = "Make it again with mortcond preprocess."


@contextmanager
def opened(path: Path) -> Iterator[npz.Archive]:
    """Open a data set, to read parts of it; whatever is wrong with its bytes becomes an InputError."""
    with npz.opened(path, "is no data set", REMEDY) as file:
        yield file


def read_common(file: npz.Archive) -> dict[str, Any]:
    """Return what belongs to the whole data set: feature_names, mean, std and meta."""
    names = file.texts("feature_names", MOST_FEATURES, MOST_LETTERS)
    meta = json.loads(file.text("meta", MOST_META))
    if not isinstance(meta, dict):
        raise ValueError("its meta is no JSON object")
    meta = known(meta, str(file.path))
    scaling = {name: file.array(name, (len(names),), "fiu") for name in ("mean", "std")}
    return {"feature_names": names, "meta": meta, **scaling}


def x_header(file: npz.Archive, split: str, features: int) -> npz.Header:
    """Return the header of a split's X, (stays, hours, features) float32, checked but for its values."""
    header = file.header(f"X_{split}")
    shape = header.shape
    if len(shape) != 3 or shape[2] != features or shape[1] > MOST_HOURS or header.dtype != np.float32:
        raise ValueError(f"X_{split} is {header.dtype} of shape {shape}, not float32 with {features} features")
    return header
