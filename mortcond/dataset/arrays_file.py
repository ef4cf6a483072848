"""The npz file of one's own arrays, which `preprocess` takes in the place of records.

Comes in: a path. Goes out: the arrays that `arrays.from_arrays` takes, checked against file, limits and memory.
"""

from pathlib import Path

import numpy as np

from mortcond.core import npz

REMEDY = (
    "Save it with numpy.savez: X (stays, hours, features), y (stays,) where outcomes are known, and perhaps stay_id, "
    "subject_id, split."
)
OPTIONAL = {"stay_id": "iu", "subject_id": "iu", "split": "U", "feature_names": "U"}
MOST_BYTES = 1 << 36  # of X; what memory is left decides before


def is_arrays(path: Path) -> bool:
    """Say whether a file is an npz with an X in it, which is no data set yet."""
    if path.suffix != ".npz" or not path.is_file():
        return False
    with npz.opened(path, "is no npz file", REMEDY) as file:
        return "X" in file.names and "X_train" not in file.names


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file: X, and y and those of OPTIONAL that are there.

    Raises InputError where X is missing, or an array of another kind.
    """
    with npz.opened(path, "holds no stays", REMEDY) as file:
        unknown = set(file.names) - {"X", "y", *OPTIONAL}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is not known")
        header = file.header("X")
        if len(header.shape) != 3 or header.dtype.kind not in "fiu":
            raise ValueError(f"X is {header.dtype} of shape {header.shape}, not (stays, hours, features) of numbers")
        found = {"X": file.array("X", header.shape, "fiu", MOST_BYTES)}
        if "y" in file.names:
            found["y"] = file.array("y", header.shape[:1], "biuf")
        sizes = {name: header.shape[-1:] if name == "feature_names" else header.shape[:1] for name in OPTIONAL}
        return found | {
            name: file.array(name, sizes[name], kind) for name, kind in OPTIONAL.items() if name in file.names
        }
