"""How an imported network wants its inputs: names, scaling and variables that somebody else kept in files of their own.

Comes in: a table of column, mean, std and scaled; the public benchmark's normaliser, a pickle, which is taken apart
and never run; a table of variables. Goes out: an `InputSpec`, with which `predict` prepares raw records, or the scaling
of columns whose variables nobody knows.
"""

import csv
import pickletools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mortcond.core.errors import InputError
from mortcond.dataset import InputSpec
from mortcond.network import Network
from mortcond.variables import Variables, load
from mortcond.variables.table import SHIPPED

COLUMNS = ("column", "mean", "std", "scaled")
MOST_BYTES = 1 << 24
HARMLESS = {  # what a pickle of numpy arrays names; nothing of it is called here either
    f"{module} {name}"
    for module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy", "_codecs")
    for name in ("_reconstruct", "ndarray", "dtype", "encode", "scalar")
}
STRINGS = ("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES")
DOUBLE = 8  # bytes of a number in it


@dataclass(frozen=True)
class Scaling:
    """Names and moments of the columns that a network reads, 0 and 1 for those that are not scaled."""

    names: tuple[str, ...]
    mean: np.ndarray  # (features,)
    std: np.ndarray  # (features,)


def scaling_of(path: Path) -> Scaling:
    """Read a CSV of the columns, in the network's order: column, mean, std, and scaled (1, or 0: left as it is)."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}).", f"Its columns are {', '.join(COLUMNS)}.") from None
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise InputError(f"{path} has not the columns {', '.join(COLUMNS)}.", "One row a column of the network.")
    names = tuple(row["column"] for row in rows)
    moments = [_moments(path, number, row) for number, row in enumerate(rows, 2)]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"{path} names {repeated[0]!r} twice.", "One row a column of the network.")
    return Scaling(names, *(np.array(part, float) for part in zip(*moments, strict=True)))


def _moments(path: Path, number: int, row: dict[str, str]) -> tuple[float, float]:
    where = f"{path}, row {number} ({row['column']})"
    if row["scaled"] not in ("0", "1"):
        raise InputError(f"{where}: scaled is {row['scaled']!r}, neither 0 nor 1.", "Say which columns are scaled.")
    if row["scaled"] == "0":
        return 0.0, 1.0
    try:
        mean, std = float(row["mean"]), float(row["std"])
    except (TypeError, ValueError):
        raise InputError(f"{where}: mean or std is no number.", "Give both.") from None
    if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
        raise InputError(f"{where}: mean {mean:g} and std {std:g} cannot scale.", "The std must be above 0.")
    return mean, std


# The benchmark's normaliser.


def normalizer_of(path: Path, names: tuple[str, ...]) -> Scaling:
    """Read the public benchmark's normaliser without unpickling: means and stds of all columns, in their order.

    Only columns without `->` in their name are scaled, as the benchmark does it.

    Raises
    ------
    InputError
        It holds something other than two arrays of numbers.
    """
    means, stds = _pickled_arrays(path)
    if not len(means) == len(stds) == len(names):
        raise InputError(f"{path} is for {len(means)} columns, not {len(names)}.", "Name its table with --variables.")
    scaled = np.array(["->" not in name for name in names])
    if not (np.isfinite(means[scaled]).all() and np.all(stds[scaled] > 0)):
        raise InputError(f"{path} holds moments that cannot scale.", "Check the file.")
    return Scaling(names, np.where(scaled, means, 0.0), np.where(scaled, stds, 1.0))


def _pickled_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays that follow the words means and stds in a pickle, whose steps are read and not taken."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is no normaliser.", "Name the benchmark's .normalizer file.")
    found: dict[str, np.ndarray] = {}
    key = ""
    try:
        for operation, argument, _ in pickletools.genops(path.read_bytes()):
            if operation.name in ("GLOBAL", "STACK_GLOBAL", "INST") and argument not in HARMLESS:
                raise ValueError(f"it names {argument or 'something that is put together'}")
            if argument in ("means", "stds"):
                key = argument
            elif key and key not in found and operation.name in STRINGS and len(_bytes(argument)) > 2 * DOUBLE:
                found[key] = np.frombuffer(_bytes(argument), "<f8")
        return found["means"], found["stds"]
    except (ValueError, KeyError, UnicodeError, IndexError, EOFError) as error:
        raise InputError(f"{path} is no normaliser of two arrays ({error}).", "Give the scaling as CSV.") from None


def _bytes(text: str | bytes) -> bytes:
    """Return the bytes that a string of Python 2 is, or that Python 3 keeps as latin-1 text."""
    return text.encode("latin-1") if isinstance(text, str) else text


# The variables.


def variables_of(name: str | None, scaling: Scaling | None, features: int) -> Variables | None:
    """Return the table of variables that is named, or the known one whose columns the scaling names; None: neither.

    Raises InputError where the table's columns are not those that the network reads.
    """
    known = [load(name)] if name else [load(shipped) for shipped in SHIPPED]
    fitting = [table for table in known if scaling is None or table.feature_names == scaling.names]
    if name is None:
        return fitting[0] if scaling is not None and fitting else None
    if not fitting:
        raise _other_columns(name, known[0].feature_names, scaling.names)
    if len(known[0].feature_names) != features:
        raise InputError(
            f"{name} has {len(known[0].feature_names)} columns, the network reads {features}.", "Name another table."
        )
    return known[0]


def _other_columns(name: str, wanted: tuple[str, ...], given: tuple[str, ...]) -> InputError:
    pairs = zip(wanted, given, strict=False)
    first = next((f"{own!r} where it has {other!r}" for own, other in pairs if own != other), "")
    what = first or f"{len(wanted)} columns where it has {len(given)}"
    return InputError(f"The scaling is not for the columns of {name}: {what}.", "Give a row a column, in that order.")


def spec_of(network: Network, variables: Variables, scaling: Scaling | None) -> InputSpec:
    """Return how raw records become what a network reads.

    Raises InputError where a variable has no value for the hours before its first measurement.
    """
    nameless = [variable.name for variable in variables if variable.normal_value is None and variable.kind != "static"]
    if nameless:
        raise InputError(
            f"{variables.name} says no normal value of {', '.join(nameless[:3])}: it would come from training stays.",
            "Name a table of variables that says them all.",
        )
    features = len(variables.feature_names)
    if features != network.features:
        raise InputError(f"The scaling has {features} columns, the network reads {network.features}.", "Check both.")
    return InputSpec(
        variables=variables,
        window_hours=network.hours,
        derive=(),
        normals=tuple(float(variable.normal_value or 0.0) for variable in variables),
        mean=np.zeros(features) if scaling is None else scaling.mean,
        std=np.ones(features) if scaling is None else scaling.std,
        prevalence=None,
        scaled=scaling is not None,
    )
