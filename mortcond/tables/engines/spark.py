"""Spark: on this machine, a standalone cluster, or whatever Spark Connect leads to. Goes out: an `Engine`.

Comes in: the master, and where the tables are: a path that Spark reads (files of tables as published, or folders in
Parquet or Delta), or catalog.schema of tables that it knows (Iceberg, Delta, Hive). The statement runs on the cluster;
its rows come back as Parquet where the workers see this machine's folders, else through the driver.
"""

import csv
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import mortcond
from mortcond.core import signals
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.libraries import how_to_install
from mortcond.tables import cells, scan

DEFAULT_MASTER = "local[2]"
ENDINGS = (".parquet", ".csv", ".csv.gz", "")
CSV_OPTIONS = {"header": "true", "quote": '"', "escape": '"', "mode": "FAILFAST", "inferSchema": "false"}
_LOG_SETTINGS = Path(__file__).resolve().parent / "log4j2.properties"
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # a time is what the table says, wherever this runs
    "spark.sql.ansi.enabled": "true",  # a text for a number is an error, and no gap
}
LAUNCH = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOG_SETTINGS.as_uri()}",
}
IDS = ("subject_id", "hadm_id", "icustay_id", "stay_id", "itemid")
BATCH_ROWS = 10_000
CONNECT_SECONDS = 10
WATCH_SECONDS = 2
JAVA_SECONDS = 10  # to end by itself
MASTER_PATIENCE_SECONDS = 60


@dataclass
class SparkEngine:
    """An open session; see `engines.Engine`."""

    session: object
    where: str
    source: str  # a path, or catalog.schema
    local: bool  # whether the workers are on this machine and see its folders
    name: str = "spark"
    folder: Path | None = None  # where the tables are, if that is a folder of this machine
    found: dict[str, str] = field(default_factory=dict)  # table -> relation

    def columns(self, table: str) -> tuple[str, ...] | None:
        frame = self._frame(table)
        if frame is None:
            return None
        view = f"mortcond_{table.lower()}"
        with explained(self.where):
            _with_gaps(frame).createOrReplaceTempView(view)
            self.found[table] = view
            return tuple(column.lower() for column in frame.columns)

    def relation(self, table: str) -> str:
        return self.found[table]

    def save(self, sql: str, folder: Path, console: Console, description: str) -> None:
        with explained(self.where), console.progress(description) as bar:
            frame = self.session.sql(sql)
            if self.local:
                frame.write.mode("overwrite").parquet(folder.resolve().as_uri())
                if not (folder / "_SUCCESS").exists():
                    raise InputError(f"{self.where} wrote nothing to {folder}.", "Its workers must see that folder.")
            else:
                _through_driver(frame, folder / "part-0.csv", bar)

    def _frame(self, table: str):
        """Return a table as a DataFrame of Spark, None where there is none."""
        if is_path(self.source):
            return self._of_path(table)
        with explained(self.where):
            name = f"{self.source}.{table.lower()}"
            return self.session.table(name) if self.session.catalog.tableExists(name) else None

    def _of_path(self, table: str):
        if self.folder is not None:
            places = [self.folder, *_modules(self.folder)]
            found = next(filter(None, (scan.find(place, table) for place in places)), None)
            if found:
                return self._load([path.resolve().as_uri() for path in found.files], found.files[0].name)
        for base in (self.source.rstrip("/"), *(f"{self.source.rstrip('/')}/{part}" for part in ("hosp", "icu"))):
            for name in (table.lower(), table.upper()):
                for ending in ENDINGS:
                    frame = self._tried(f"{base}/{name}{ending}", ending)
                    if frame is not None:
                        return frame
        return None

    def _load(self, paths: list[str], name: str):
        with explained(self.where):
            if name.lower().endswith(".parquet"):
                return self.session.read.parquet(*paths)
            return self.session.read.options(**CSV_OPTIONS).csv(paths)

    def _tried(self, path: str, ending: str):
        """Return what is at a path, None where nothing is; a folder without an ending may be Delta or Parquet."""
        from pyspark.errors import AnalysisException

        forms = ("delta", "parquet") if ending == "" else ("parquet",) if ending == ".parquet" else ("csv",)
        for form in forms:
            try:
                reader = self.session.read.format(form)
                frame = (reader.options(**CSV_OPTIONS) if form == "csv" else reader).load(path)
                return frame if frame.columns else None
            except AnalysisException:
                continue
            except Exception as error:
                if "DATA_SOURCE_NOT_FOUND" in str(error) or "delta" in str(error).lower():
                    continue
                raise _explain(error, self.where) from None
        return None


def _with_gaps(frame):
    """Return a table whose ids are NULL where a text says that there is none (NA, \\N): a cast would fail."""
    from pyspark.sql import functions as of

    ids = [name for name, kind in frame.dtypes if kind == "string" and name.strip().lower() in IDS]
    for name in ids:
        cell = of.col(f"`{name}`")
        frame = frame.withColumn(name, of.when(~of.lower(of.trim(cell)).isin(*cells.MISSING), cell))
    return frame


def is_path(source: str) -> bool:
    """Say whether a SOURCE is a path and no catalog.schema."""
    return "/" in source or "\\" in source or Path(source).exists()


@contextmanager
def opened(source: str | None, master: str | None) -> Iterator[SparkEngine]:
    """Start or reach Spark; see `engines.opened`."""
    if not source:
        raise InputError("Spark does not know where the tables are.", "Name a path, or catalog.schema, as SOURCE.")
    with session(master) as found:
        here = Path(source) if Path(source).is_dir() else None
        where = f"Spark ({master or DEFAULT_MASTER})"
        yield SparkEngine(found, where, source, sees_this_machine(master), folder=here)


@contextmanager
def session(master: str | None) -> Iterator[object]:
    """Open a session of Spark on a master, and close it.

    Raises InputError where Spark is not installed, has no Java, or the master cannot be reached.
    """
    _reach(master)
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise InputError("pyspark is not installed.", how_to_install("pyspark")) from None
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # it prints each failed query as JSON
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    where = f"Spark ({master or DEFAULT_MASTER})"
    with explained(where), _own_interrupt():
        builder = SparkSession.builder.appName("mortcond")
        if (master or "").startswith("sc://"):
            found = builder.remote(master).getOrCreate()
        else:
            for key, value in (LAUNCH | _same_python(master)).items():
                builder = builder.config(key, value)
            found = builder.master(master or DEFAULT_MASTER).getOrCreate()
        for key, value in SETTINGS.items():
            found.conf.set(key, value)
    end = found.stop
    try:
        with _heard(found), _watched(found, master):
            yield found
    except KeyboardInterrupt:
        end = partial(_abandon, found)
        raise
    finally:
        end()


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Keep what Ctrl-C does as it was: Spark's own handler asks Java something in the middle of another answer."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _heard(session) -> Iterator[None]:
    """See that a signal which means the end is the end: Java ends at once, whatever becomes of the exception here.

    It may be raised where Python swallows it (py4j's answers to the garbage collector). What fails since is no fault.
    """
    came: list[int] = []

    def end(number, frame) -> None:
        came.append(number)
        if _java(session) is not None:
            _java(session).terminate()
        before[number](number, frame)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *signals.ENDINGS)}
    mine = [number for number, handler in before.items() if callable(handler)]
    if threading.current_thread() is not threading.main_thread():
        mine = []
    told = sys.unraisablehook
    sys.unraisablehook = lambda fault: None if issubclass(fault.exc_type, KeyboardInterrupt) else told(fault)
    for number in mine:
        signal.signal(number, end)
    try:
        yield
    except Exception:
        if not came:
            raise
    finally:
        sys.unraisablehook = told
        for number in mine:
            signal.signal(number, before[number])
    if came:
        raise KeyboardInterrupt


def _java(session) -> subprocess.Popen | None:
    """Return the process of Java that serves a session; None of one of Spark Connect."""
    return getattr(getattr(getattr(session, "_sc", None), "_gateway", None), "proc", None)


def _abandon(session) -> None:
    """End Spark in the middle of a job: over a connection that waits for an answer Java can be asked nothing more.

    Java's own hooks then tell the cluster, and take away what was written to disk.
    """
    from pyspark import SparkContext

    java = _java(session)
    if java is None:  # Spark Connect: the server goes on, without this job
        session.interruptAll()
        session.stop()
        return
    java.terminate()
    try:
        java.wait(JAVA_SECONDS)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()
    type(session)._instantiatedSession = type(session)._activeSession = None  # the next session starts another Java
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None


def _same_python(master: str | None) -> dict[str, str]:
    """See that workers on this machine run this Python, with this mortcond; return the settings that it takes."""
    if not sees_this_machine(master):
        return {}
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else python3, whichever that is
    return {"spark.executorEnv.PYTHONPATH": str(Path(mortcond.__file__).resolve().parent.parent)}


def _reach(master: str | None) -> None:
    """Raise InputError where nothing listens at a master's address: Spark itself would try for a minute."""
    places = re.findall(r"([^/,:]+):([0-9]+)", (master or "").partition("://")[2])
    faults = []
    for host, port in places:
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
            return
        except OSError as error:
            faults.append(f"{host}:{port}: {error.strerror or error}")
    if faults:
        raise InputError(f"Spark cannot be reached ({'; '.join(faults)}).", "Check --spark-master and the cluster.")


@contextmanager
def _watched(session, master: str | None) -> Iterator[None]:
    """Cancel all jobs when a standalone master is gone for good: Spark itself would wait for it for ever."""
    if not (master or "").startswith("spark://"):
        yield
        return
    done = threading.Event()

    def watch() -> None:
        last_seen = time.monotonic()
        while not done.wait(WATCH_SECONDS):
            try:
                _reach(master)
                last_seen = time.monotonic()
            except InputError:
                if time.monotonic() - last_seen > MASTER_PATIENCE_SECONDS:
                    session.sparkContext.cancelAllJobs()
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(CONNECT_SECONDS)


def sees_this_machine(master: str | None) -> bool:
    """Say whether the workers of a master are surely on this machine."""
    host = (master or DEFAULT_MASTER).partition("://")[2].split(":")[0]
    return (master or DEFAULT_MASTER).startswith("local") or host in ("localhost", "127.0.0.1", "::1")


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what Spark raises into an InputError that names the cause."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("pyspark", "py4j", "grpc", "socket", "builtins")):
            raise
        raise _explain(error, where) from None


def _explain(error: Exception, where: str) -> InputError:
    text = str(error)
    cause = _cause(text) or type(error).__name__
    if "JAVA_GATEWAY_EXITED" in text or "Java gateway" in text:
        return InputError("Spark found no Java.", "Install Java 17 (Debian: openjdk-17-jre-headless).")
    if any(mark in text for mark in ("Connection refused", "UNAVAILABLE", "All masters are unresponsive", "cancelled")):
        return InputError(f"{where} cannot be reached, or went away: {cause}.", "Check --spark-master and the cluster.")
    if "CAST_INVALID_INPUT" in text or "MALFORMED_RECORD" in text:
        return InputError(f"{where}: a cell is not what its column must hold: {cause}.", "Mend the table.")
    return InputError(f"{where} gave up: {cause}.", "Check the tables and the cluster, and run the command again.")


def _cause(text: str) -> str:
    """Return the line of Spark's message that says what happened, of the many that do not."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("Traceback (most recent call last)" in line for line in lines):  # of a worker's Python
        raised = [line for line in lines if re.match(r"[A-Za-z_.]+(Error|Exception|Interrupt)\b", line)]
        return raised[-1].partition(": ")[2].rstrip(" .") or raised[-1] if raised else lines[0]
    told = [line for line in lines if line.startswith("[") or "Exception: [" in line]
    chosen = (told or [line for line in lines if not line.startswith(("An error occurred", "at "))] or lines or [""])[0]
    chosen = chosen.partition("Exception: ")[2] if "Exception: [" in chosen else chosen
    return chosen.split(" SQLSTATE")[0].rstrip(" .:;")


def _modules(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() in ("hosp", "icu", "core")]


def _through_driver(frame, path: Path, bar) -> None:
    """Write the rows of a frame as they come, a batch at a time."""
    done = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NOTNULL) if hasattr(csv, "QUOTE_NOTNULL") else csv.writer(file)
        writer.writerow(frame.columns)
        for row in frame.toLocalIterator(prefetchPartitions=True):
            writer.writerow(row)
            done += 1
            if done % BATCH_ROWS == 0:
                bar.advance(1, note=f"{done:,} rows")
