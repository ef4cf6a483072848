"""Stays scored on a Spark cluster: the same files and the same code as on one machine, many partitions at a time.

Comes in: a long table of events (the form `events`) as Spark reads it, where there is one the table of stays beside it,
and a `.tflite` file. Goes out: a row a stay. A partition holds whole stays; on its worker, which needs mortcond's small
install and no TensorFlow, its rows become a folder of events and stays that is prepared and predicted like any other.
The `.tflite` file travels with the function.
"""

import posixpath
import re
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
from mortcond.tables import cells, scan
from mortcond.tables.engines import spark

SCHEMA = "stay_id bigint, risk double, never_measured string, warning string, reason string"
TIMES = ("hours", "minutes", "time")
EVENT_COLUMNS = ("stay_id", *TIMES, "variable", "value", "unit", "text")
STAY_COLUMNS = ("stay_id", "subject_id", "intime", "age", "sex", "icu_type")
NEEDED = ("stay_id", "variable", "value")
KEY = "try_cast(try_cast(trim(stay_id) AS DECIMAL(38, 9)) AS BIGINT)"  # of a spelling of a whole number; NULL: of none
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
        events, stays = _events(session, data), _stays(session, data)
        rows = _checked(events, data, names, model)
        rows += 0 if stays is None else _checked(stays, f"{data}, its table of stays")
        partitions = max(-(-rows // ROWS_A_PARTITION), LEAST_PARTITIONS)
        tagged = _together(events, stays)
        parted = tagged.repartitionByRange(partitions, "key")  # whole stays, and in order: no sort of the rows
        score = scorer(model.read_bytes(), frozenset(names), strict, data)
        with console.progress(f"Predicting on {where}"):
            for row in parted.mapInPandas(score, SCHEMA).toLocalIterator():
                yield row.asDict()


def scorer(model: bytes, names: frozenset[str], strict: bool, data: str) -> Callable[[Iterator], Iterator]:
    """Return the function that Spark runs on each partition (pandas DataFrames of `_together` in, of stays out).

    names: under which the model's variables come; a partition without any of them holds stays without a measurement.
    """

    def score(frames: Iterator) -> Iterator:
        with scratch_folder() as folder:
            records, path = folder / "records", folder / "model.tflite"
            records.mkdir()
            stays, known = _written(frames, records, names)
            path.write_bytes(model)
            try:
                if known:
                    yield from _scored(path, records, strict)
                elif stays:
                    yield from _unmeasured(path, stays)
            except InputError as error:  # the folder is gone when it is told
                problem = error.problem.replace(f"{records}/", f"{data}, a part of its ")
                raise InputError(problem, error.remedy) from None

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


def _written(frames: Iterator, folder: Path, names: frozenset[str]) -> tuple[set[int], bool]:
    """Write the rows of a partition as CSVs of events and stays; return its stays, and whether a row has a name."""
    stays: set[int] = set()
    known = False
    for frame in frames:
        for table, rows in frame.groupby("record"):
            columns = [column for column in rows if column.startswith(f"{table}_")]
            path = folder / f"{table}.csv"
            own = rows[columns].set_axis([column.partition("_")[2] for column in columns], axis=1)
            own.to_csv(path, mode="a", index=False, header=not path.exists())
            known = known or (table == "events" and bool(own.variable.isin(names).any()))
            stays |= set(map(cells.whole, own.stay_id.unique()))
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
    """Return the events as a DataFrame of Spark: the columns that count, as text, and the key of their stay."""
    frame = _table(session, data)
    names = _lower(frame)
    missing = [column for column in NEEDED if column not in names]
    missing += [] if any(time in names for time in TIMES) else ["hours"]
    if missing:
        problem = f"{data} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}."
        raise InputError(problem, "Give it stay_id, hours, minutes or time, variable, value.")
    return _texts(frame, EVENT_COLUMNS)


def _stays(session, data: str):
    """Return the table of stays beside the events, as `_events`; None where there is none."""
    frame = _beside(session, data)
    if frame is None:
        return None
    missing = [column for column in STAY_COLUMNS[:2] if column not in _lower(frame)]
    if missing:
        problem = f"The table of stays of {data} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}."
        raise InputError(problem, "Give it stay_id and subject_id.")
    return _texts(frame, STAY_COLUMNS)


def _lower(frame) -> dict[str, str]:
    return {column.strip().lower(): column for column in frame.columns}


def _texts(frame, wanted: tuple[str, ...]):
    from pyspark.sql import functions

    names = _lower(frame)
    kept = [functions.col(f"`{names[column]}`").cast("string").alias(column) for column in wanted if column in names]
    return frame.select(*kept).withColumn("key", functions.expr(KEY))


def _checked(frame, what: str, names: list[str] | None = None, model: Path | None = None) -> int:
    """Return how many rows there are.

    Raises InputError where a stay_id is no whole number, or none of the names is there.
    """
    from pyspark.sql import functions as of

    gap = of.lower(of.trim("stay_id")).isin(*cells.MISSING)
    wrong = of.min(of.when(of.col("key").isNull() & ~gap, of.col("stay_id")))
    known = of.sum(of.col("variable").isin(names).cast("int")) if names is not None else of.lit(1)
    rows, cell, found = frame.agg(of.count(of.lit(1)), wrong, known).collect()[0]
    if cell is not None:
        raise InputError(f"{what}, column STAY_ID: {cell!r} is {cells.fault(cell, 'whole')}.", "Mend the row.")
    if not found:
        problem = f"{what} has no row with a variable of {model} in column variable."
        raise InputError(problem, f"Its variables are {', '.join(names)}.")
    return rows


def _together(events, stays):
    """Return the rows of both tables in one, so that those of a stay come together: record says which table.

    Where there is a table of stays, rows of others are left out, as on one machine.
    """
    events = events.where("key IS NOT NULL")
    if stays is None:
        return _tagged(events, "events")
    stays = stays.where("key IS NOT NULL")
    listed = events.join(stays.select("key").distinct(), "key", "left_semi")
    return _tagged(listed, "events").unionByName(_tagged(stays, "stays"), allowMissingColumns=True)


def _tagged(frame, record: str):
    from pyspark.sql import functions

    own = [functions.col(name).alias(f"{record}_{name}") for name in frame.columns if name != "key"]
    return frame.select("key", functions.lit(record).alias("record"), *own)


def _table(session, data: str):
    if not spark.is_path(data):
        if not session.catalog.tableExists(data):
            raise InputError(f"Spark knows no table {data}.", "Name a path, or catalog.schema.table.")
        return session.table(data)
    path = Path(data)
    if not path.is_dir():
        return _read(session, _address(data))
    found = scan.find(path, "events")
    return _read(session, *map(str, found.files)) if found else _read(session, data)  # Parquet, if not


def _beside(session, data: str):
    """Return the table `stays` that is where the events are, None where there is none."""
    if not spark.is_path(data):
        name = ".".join([*data.split(".")[:-1], "stays"])
        return session.table(name) if session.catalog.tableExists(name) else None
    path = Path(data)
    if path.exists():
        folder = path if path.is_dir() and scan.find(path, "events") else path.parent
        found = scan.find(folder, "stays")
        return _read(session, *map(str, found.files)) if found else None
    folder, name = posixpath.split(data.rstrip("/"))
    if not re.match(r"events\b", name):
        return None
    return _tried(session, f"{folder}/{name.replace('events', 'stays', 1)}")


def _tried(session, address: str):
    from pyspark.errors import AnalysisException

    try:
        frame = _read(session, address)
        return frame if frame.columns else None
    except AnalysisException:
        return None


def _read(session, *places: str):
    addresses = list(map(_address, places))
    if addresses[0].lower().endswith((".csv", ".csv.gz")):
        return session.read.options(**spark.CSV_OPTIONS).csv(addresses)
    return session.read.parquet(*addresses)


def _address(data: str) -> str:
    return Path(data).resolve().as_uri() if Path(data).exists() else data
