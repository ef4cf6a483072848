"""Stays scored on a Spark cluster: the same files and the same code as on one machine, many partitions at a time.

Comes in: a long table of events (the form `events`) as Spark reads it, and a `.tflite` file. Goes out: a row a stay.
A partition holds whole stays; on its worker, which needs mortcond's small install and no TensorFlow, its rows become a
file of events that is prepared and predicted like any other. The `.tflite` file travels with the function.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.deploy.risk_rows import doubts_of, of_batch, with_dropped
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.stays import Stays
from mortcond.tables.engines import spark

SCHEMA = "stay_id bigint, risk double, never_measured string, warning string, reason string"
EVENT_COLUMNS = ("stay_id", "hours", "minutes", "variable", "value", "unit", "text")
NEEDED = ("stay_id", "variable", "value")
ROWS_A_PARTITION = 500_000  # of events; the rows of one partition at a time are in the memory of the driver
LEAST_PARTITIONS = 4
BATCH_STAYS = 512


def scored(
    master: str | None, data: str, model: Path, console: Console, strict: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row a stay, sorted by stay_id, as `risk_rows` gives them; never_measured are names, joined by `;`.

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
    names = _names(model)
    with spark.session(master) as session, spark.explained(where):
        events = _events(session, data)
        if not events.where(events.variable.isin(names)).take(1):
            problem = f"{data} has no row with a variable of {model} in column variable."
            raise InputError(problem, f"Its variables are {', '.join(names)}.")
        partitions = max(-(-events.count() // ROWS_A_PARTITION), LEAST_PARTITIONS)
        parted = events.repartitionByRange(partitions, "stay_id")  # whole stays, and in order: no sort of the rows
        score = scorer(model.read_bytes(), frozenset(names), strict)
        with console.progress(f"Predicting on {where}"):
            for row in parted.mapInPandas(score, SCHEMA).toLocalIterator():
                yield row.asDict()


def scorer(model: bytes, names: frozenset[str], strict: bool) -> Callable[[Iterator], Iterator]:
    """Return the function that Spark runs on each partition (pandas DataFrames of events in, of stays out).

    names: under which the model's variables come; a partition without any of them holds stays without a measurement.
    """

    def score(frames: Iterator) -> Iterator:
        with scratch_folder() as folder:
            events, path = Path(folder, "events.csv"), Path(folder, "model.tflite")
            stays, known = _written(frames, events, names)
            path.write_bytes(model)
            if known:
                yield from _scored(path, events, strict)
            elif stays:
                yield from _unmeasured(path, stays)

    return score


def _scored(model: Path, events: Path, strict: bool) -> Iterator:
    from mortcond.dataset import InputSpec, raw_stays

    predictor = Predictor(model, threads=1)
    spec = InputSpec.from_dict(predictor.metadata["inputs"])
    doubts = doubts_of(predictor.metadata)
    session = Session("predict", console=Console(quiet=True))
    how = {"format": "events", "strict": strict, "batch_stays": BATCH_STAYS, "threads": 1}
    with raw_stays(events, spec, session, **how) as raw:
        stays = (Stays(batch.stay_id, batch.X) for batch in raw.batches)
        found = (list(of_batch(batch, predictor.predict(batch.x), spec.feature_names, doubts)) for batch in stays)
        yield from map(_frame, with_dropped(found, raw.dropped))


def _unmeasured(model: Path, stays: set[int]) -> Iterator:
    """Yield the rows of stays of which no variable was measured at all, as the cohort of events drops them."""
    window = Predictor(model, threads=1).metadata["inputs"]["window_hours"]
    reason = f"no_events_in_window (needs an event in the first {window} hours)"
    yield from map(_frame, with_dropped(iter(()), dict.fromkeys(sorted(stays), reason)))


def _frame(found: list[dict[str, Any]]):
    import pandas as pd

    rows = [row | {"never_measured": ";".join(row["never_measured"])} for row in found]
    return pd.DataFrame(rows).astype({"stay_id": "int64", "risk": "float64"})


def _written(frames: Iterator, path: Path, names: frozenset[str]) -> tuple[set[int], bool]:
    """Write the rows of a partition as one CSV; return its stays, and whether any row has one of the names."""
    stays: set[int] = set()
    known = False
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, frame in enumerate(frames):
            frame.to_csv(file, index=False, header=number == 0)
            stays |= set(frame.stay_id.dropna().astype("int64").tolist())
            known = known or bool(frame.variable.isin(names).any())
    return stays, known


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
