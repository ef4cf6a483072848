"""For the tests of each source: the records of the same patients in several forms, and the tensor they become."""

import gzip
from pathlib import Path

import duckdb
import numpy as np

from mortcond import dataset
from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.session import Session


def prepare(source: Path, workspace: Path, **options) -> tuple[dict, dataset.Dataset]:
    """Run preprocess without scaling; return its result and the data set."""
    session = Session(workspace=workspace, overwrite=True, console=Console(quiet=True))
    result = preprocess(session, source, **({"scale": False} | options))
    return result, dataset.load(Path(result["path"]))


def tensor(source: Path, workspace: Path, **options) -> dict[str, np.ndarray]:
    """Return stay_id, X, y, age, sex and icu_type of all stays, sorted by stay, in the units of the variables."""
    _, data = prepare(source, workspace, **options)
    splits = [data.train, data.val, data.test]
    order = np.argsort(np.concatenate([split.stay_id for split in splits]))
    keys = ("stay_id", "X", "y", "age", "sex", "icu_type")
    return {key: np.concatenate([getattr(split, key) for split in splits])[order] for key in keys}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def column(data: dict[str, np.ndarray], names: tuple[str, ...], name: str, stay: int) -> list[float]:
    """Return the hours of one column of one stay."""
    return data["X"][list(data["stay_id"]).index(stay), :, names.index(name)].tolist()


def compress(path: Path) -> None:
    """Put a file's .gz in its place."""
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def to_parquet(path: Path, kinds: dict[str, str]) -> None:
    """Put a CSV's Parquet file in its place, with the given types."""
    columns = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in kinds.items())
    target = path.with_suffix(".parquet")
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {columns} FROM read_csv('{path}', all_varchar = true)) TO '{target}' (FORMAT parquet)"
        )
    path.unlink()
