"""Stays scored on a Spark cluster: the same files and the same code as on one machine, many partitions at a time.

Comes in: a long table of events (the form `events`) as Spark reads it, and a `.tflite` file. Goes out: a row a stay.
A partition holds whole stays; on its worker, which needs mortcond's small install and no TensorFlow, its rows become a
file of events that is prepared and predicted like any other. The `.tflite` file travels with the function.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.stays import Stays, rows
from mortcond.tables.engines import spark

SCHEMA = "stay_id bigint, risk double, never_measured string, warning string"
EVENT_COLUMNS = ("stay_id", "hours", "minutes", "variable", "value", "unit", "text")
NEEDED = ("stay_id", "variable", "value")
ROWS_A_PARTITION = 2_000_000  # of events: some 100 MB on the worker
BATCH_STAYS = 512


def scored(master: str | None, data: str, model: Path, console: Console) -> Iterator[dict[str, Any]]:
    """Yield a row a stay, sorted by stay_id: stay_id, risk, never_measured (names, joined by `;`) and warning.

    Parameters
    ----------
    master
        Of Spark, as for `tables.engines`.
    data
        A path of CSV or Parquet that Spark reads, or the name of a table: stay_id, hours or minutes, variable, value,
        and, where they are there, unit and text.
    model
        The `.tflite` file.

    Raises
    ------
    InputError
        Spark cannot be reached, the table is missing or of another form, a worker found something that cannot be used.
    """
    where = f"Spark ({master or spark.DEFAULT_MASTER})"
    variables = _names(model)
    with spark.session(master) as session, spark.explained(where):
        events = _events(session, data)
        partitions = max(1, -(-events.count() // ROWS_A_PARTITION), session.sparkContext.defaultParallelism)
        known = events.where(events.variable.isin(variables)).repartition(partitions, "stay_id")
        found = known.mapInPandas(scorer(model.read_bytes()), SCHEMA).orderBy("stay_id")
        with console.progress(f"Predicting on {where}"):
            for row in found.toLocalIterator(prefetchPartitions=True):
                yield row.asDict()


def scorer(model: bytes) -> Callable[[Iterator], Iterator]:
    """Return the function that Spark runs on each partition (pandas DataFrames of events in, of stays out)."""

    def score(frames: Iterator) -> Iterator:
        with TemporaryDirectory(prefix="mortcond-") as folder:
            events = Path(folder, "events.csv")
            if _written(frames, events):
                path = Path(folder, "model.tflite")
                path.write_bytes(model)
                yield from _scored(path, events)

    return score


def _scored(model: Path, events: Path) -> Iterator:
    import pandas as pd

    from mortcond.dataset import InputSpec, batches

    predictor = Predictor(model, threads=1)
    spec = InputSpec.from_dict(predictor.metadata["inputs"])
    session = Session("predict", console=Console(quiet=True))
    for batch in batches(events, spec, session, format="events", batch_stays=BATCH_STAYS, threads=1):
        found = rows(Stays(batch.stay_id, batch.X), predictor.predict(batch.X), spec.feature_names)
        yield pd.DataFrame([row | {"never_measured": ";".join(row["never_measured"])} for row in found])


def _written(frames: Iterator, path: Path) -> bool:
    """Write the rows of a partition as one CSV; say whether there were any."""
    with path.open("w", encoding="utf-8", newline="") as file:
        started = False
        for frame in frames:
            frame.to_csv(file, index=False, header=not started)
            started = True
    return started and os.path.getsize(path) > 0


def _names(model: Path) -> list[str]:
    """Return the names under which the model's variables come in events.

    Raises InputError where the file does not carry them.
    """
    from mortcond.dataset import InputSpec
    from mortcond.tables import long

    inputs = (Predictor(model, threads=1).metadata or {}).get("inputs")
    if not inputs:
        problem = f"{model} carries no metadata on its inputs, so events cannot be prepared for it."
        raise InputError(problem, "Make the file again with mortcond quantize.")
    return sorted(long.names_of(InputSpec.from_dict(inputs).variables, "events", own=True))


def _events(session, data: str):
    """Return the events as a DataFrame of Spark, with the columns that count, as text but for the stay."""
    frame = _table(session, data)
    names = {column.lower(): column for column in frame.columns}
    missing = [column for column in NEEDED if column not in names]
    missing += [] if "hours" in names or "minutes" in names else ["hours"]
    if missing:
        problem = f"{data} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}."
        raise InputError(problem, "Give it stay_id, hours or minutes, variable, value.")
    kept = [column for column in EVENT_COLUMNS if column in names]
    texts = [frame[names[column]].cast("string").alias(column) for column in kept if column != "stay_id"]
    return frame.select(frame[names["stay_id"]].cast("bigint").alias("stay_id"), *texts)


def _table(session, data: str):
    if not spark.is_path(data):
        if not session.catalog.tableExists(data):
            raise InputError(f"Spark knows no table {data}.", "Name a path, or catalog.schema.table.")
        return session.table(data)
    path = Path(data)
    if path.is_dir() and any(path.glob("events.*")):
        path = next(iter(sorted(path.glob("events.*"))))
    address = path.resolve().as_uri() if path.exists() else data
    if address.lower().endswith((".csv", ".csv.gz")):
        return session.read.options(**spark.CSV_OPTIONS).csv(address)
    return session.read.parquet(address)
