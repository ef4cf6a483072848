"""The heavy scan: tables in CSV, CSV.gz or Parquet, in one file or many, read by DuckDB in bounded memory.

Comes in: a folder and the name of a table. Goes out: a SQL relation of its columns as text; errors that name file and
row. Nothing is sniffed: the first rows of a table do not tell how its later rows are quoted.
"""

import csv
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from mortcond.core.console import Console
from mortcond.core.duckdb import duckdb
from mortcond.core.errors import InputError, UsageError
from mortcond.tables import cells, files
from mortcond.tables.files import csv_sql, first_line, is_parquet, literal, parquet_sql

__all__ = ["csv_sql", "literal", "parquet_sql"]

ENDINGS = (".csv", ".csv.gz", ".parquet")
_PART = r"(?:[ _.-]?(?:part)?[ _.-]?[0-9]+)?"  # CHARTEVENTS_part1.csv, chartevents-00001.parquet


@dataclass(frozen=True)
class Table:
    """The files of one table, and the name that each file gives to each column."""

    name: str
    files: tuple[Path, ...]
    headers: tuple[tuple[str, ...], ...]  # for each file, its columns in their order, as it writes them

    def has(self, column: str) -> bool:
        return any(column in map(str.lower, header) for header in self.headers)

    def sql(self, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> str:
        """Return a relation with these columns (lower case) as text; an absent optional one is NULL.

        Raises InputError where a file lacks a column.
        """
        parts = [_select(*part, columns, optional) for part in zip(self.files, self.headers, strict=True)]
        return "(" + " UNION ALL ".join(parts) + ")"


def table_files(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of the table `name` in a folder, by their names."""
    pattern = re.compile(name + _PART, re.IGNORECASE)
    for path in folder.iterdir():
        if path.is_dir() and path.name.lower() == name.lower():
            yield from (part for part in path.iterdir() if part.name.lower().endswith(ENDINGS))
        elif path.name.lower().endswith(ENDINGS) and pattern.fullmatch(_stem(path)):
            yield path


def find(folder: Path, name: str) -> Table | None:
    """Return the table `name` of a folder, in whatever files and case it is there, or None.

    `NAME.csv`, `name.csv.gz`, `NAME_part1.csv` and further parts, or a folder `name/` of such files.

    Raises InputError where the same table is there in two forms, or a file has no readable header.
    """
    found = sorted(table_files(folder, name))
    if not found:
        return None
    plain = [file for file in found if re.fullmatch(name, _stem(file), re.IGNORECASE)]
    if len(plain) > 1 or (plain and len(found) > 1):
        both = " and ".join(file.name for file in found[:2])
        raise InputError(f"{folder} holds {name} twice: {both}.", "Remove one of the two.")
    return joined(name, found)


def single(path: Path) -> Table:
    """Return the table that is one file.

    Raises InputError where it has no readable header.
    """
    return Table(_stem(path), (path,), (files.header(path),))


def joined(name: str, paths: list[Path]) -> Table:
    """Return the table whose parts are these files.

    Raises InputError where one has no readable header.
    """
    return Table(name, tuple(paths), tuple(map(files.header, paths)))


def require(folder: Path, name: str) -> Table:
    """Return the table `name` of a folder.

    Raises InputError where it is not there.
    """
    table = find(folder, name)
    if table is None:
        raise absent(folder, name)
    return table


def absent(folder: Path, name: str) -> InputError:
    """Return the error of a table that is not there."""
    if folder.name.lower() in ("icu", "hosp"):
        remedy = "It is one of the folders of MIMIC-IV: name the folder above, which holds hosp/ and icu/."
        return InputError(f"{folder} has no table {name}.", remedy)
    return InputError(f"{folder} has no table {name}.", f"Add {name}.csv, {name}.csv.gz or {name}.parquet.")


@contextmanager
def connect(scratch: Path, memory_limit: str, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB of its own that keeps to `memory_limit` and spills into `scratch`.

    Raises UsageError where the limit is none, InputError where it is too small, KeyboardInterrupt where DuckDB noticed
    it first.
    """
    settings = {"threads": threads, "memory_limit": memory_limit, "temp_directory": str(scratch / "spill")}
    try:
        connection = duckdb.connect(config=settings | {"preserve_insertion_order": False})
    except duckdb.Error as error:
        raise UsageError(f"--memory-limit {memory_limit}: {first_line(error)}.", "Give it as 1GB or 500MB.") from None
    with connection:
        connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        connection.execute("SET TimeZone = 'UTC'")  # in which a Parquet's time with a zone becomes text
        # Joins run as they are written, the streamed table left, the small one right: DuckDB takes a CSV for small.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        try:
            yield connection
        except duckdb.OutOfMemoryException:
            raise InputError("The memory limit is too small for these tables.", "Raise --memory-limit.") from None
        except duckdb.IOException as error:
            raise InputError(f"{first_line(error)}.", _remedy(error)) from None
        except (duckdb.InterruptException, RuntimeError) as error:
            if "interrupt" in str(error).lower():
                raise KeyboardInterrupt from None
            raise


def run(
    connection,
    sql: str,
    console: Console,
    description: str,
    tables: tuple[Table, ...] = (),
    kinds: dict[str, str] | None = None,
) -> list[tuple]:
    """Execute a statement with progress and return all its rows.

    Parameters
    ----------
    tables
        Those that it reads.
    kinds
        For each column that it parses, what it must hold, of cells.READERS.

    Raises
    ------
    InputError
        A table cannot be read, or a column holds something else; file and row are named.
    """
    try:
        with console.progress(description, total=1) as bar, _watched(connection, bar, tables):
            return _execute(connection, sql, tables).fetchall()
    except duckdb.Error as error:
        raise explain(error, tables, kinds or {}) from None


def frame(connection, sql: str, tables: tuple[Table, ...] = (), kinds: dict[str, str] | None = None) -> pd.DataFrame:
    """Execute a query and return its rows as a pandas DataFrame; raises as `run`."""
    try:
        return _execute(connection, sql, tables).df()
    except duckdb.Error as error:
        raise explain(error, tables, kinds) from None


def _execute(connection, sql: str, tables: tuple[Table, ...]):
    """Execute a statement; where DuckDB takes a gzip for broken that only has zeros behind it, on one without them."""
    try:
        return connection.execute(sql)
    except duckdb.Error as error:
        padded = {path for table in tables for path in table.files if files.is_padded(path)}
        if "gzip" not in str(error).lower() or not padded:
            raise
    scratch = Path(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]).parent
    for number, path in enumerate(sorted(padded)):
        sql = sql.replace(
            files.sql_path(path), files.sql_path(files.unpadded(path, scratch / f"unpadded{number}.csv.gz"))
        )
    return connection.execute(sql)


def explain(error: duckdb.Error, tables: tuple[Table, ...], kinds: dict[str, str] | None = None) -> Exception:
    """Return an InputError that names file and row, found by reading the files again; else the error itself."""
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.InterruptException):
        return error
    for table in tables:
        for path, header in zip(table.files, table.headers, strict=True):
            fault = files.fault(path, len(header)) or _misfit(path, kinds or {})
            if fault:
                return InputError(*fault)
    if isinstance(error, duckdb.IOException | duckdb.ConversionException | duckdb.InvalidInputException):
        named = next((path for table in tables for path in table.files if str(path) in str(error)), None)
        problem = f"{named} cannot be read ({first_line(error)})." if named else f"{first_line(error)}."
        return InputError(problem, _remedy(error))
    return error


def _remedy(error: duckdb.Error) -> str:
    text = str(error).lower()
    full = "space" in text or "write" in text or "offload" in text
    return "Check the free space on the disk." if full else "Check the file, and fetch or write it again."


def ordered_sum(cell: str) -> str:
    """Return a sum as SQL that gives the same to the last bit, in whatever order the threads met the numbers."""
    return f"list_sum(list_sort(list({cell})))"


def locate(table: Table, matches: Callable[[dict[str, str]], bool], occurrence: int = 1) -> str:
    """Return "file, row n" of the first (or a further) row that matches, a dict by lower-case column name; "": none."""
    found = (f"{path}, row {number}" for path in table.files for number, row in files.rows(path) if matches(row))
    return next(islice(found, occurrence - 1, None), "")


def store(connection, scratch: Path, name: str, rows: pd.DataFrame) -> None:
    """Make a table of a small DataFrame, by way of a file: numbers as BIGINT or DOUBLE, all else as text."""
    path = scratch / f"{name}.csv"
    rows.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    kinds = {"i": "BIGINT", "u": "BIGINT", "f": "DOUBLE", "b": "BOOLEAN"}
    columns = {column: kinds.get(kind.kind, "VARCHAR") for column, kind in rows.dtypes.items()}
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {csv_sql(path, columns)}")


def _stem(path: Path) -> str:
    return re.sub(r"(\.csv|\.csv\.gz|\.parquet)$", "", path.name, flags=re.IGNORECASE)


def _select(path: Path, header: tuple[str, ...], columns, optional) -> str:
    names = {name.strip().lower(): name for name in header}
    missing = [column for column in columns if column not in names]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}.", "Use the table as published."
        )
    picked = ", ".join(f"CAST({_quoted(names[column])} AS VARCHAR) AS {column}" for column in columns)
    for column in optional:
        picked += f", CAST({_quoted(names[column]) if column in names else 'NULL'} AS VARCHAR) AS {column}"
    return f"SELECT {picked} FROM {_reader(path, header)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _reader(path: Path, header: tuple[str, ...]) -> str:
    if is_parquet(path):
        return parquet_sql(path)
    return csv_sql(path, dict.fromkeys(header, "VARCHAR"))


def _misfit(path: Path, kinds: dict[str, str]) -> tuple[str, str] | None:
    """Look for the first cell that does not hold what its column must; return problem and remedy."""
    rows = files.rows(path) if kinds else iter(())
    while block := list(islice(rows, 10_000)):
        found = [_first_misfit(block, column, kind) for column, kind in kinds.items()]
        faults = [fault for fault in found if fault is not None]
        if faults:
            number, column, text = min(faults)
            problem = f"{path}, row {number}, column {column.upper()}: {text!r} is {cells.fault(text, kinds[column])}."
            return problem, "Mend the row, or fetch the table again."
    return None


def _first_misfit(rows: list[tuple[int, dict[str, str]]], column: str, kind: str) -> tuple[int, str, str] | None:
    texts = pd.Series([row.get(column) for _, row in rows], dtype="object")
    _, bad = cells.read(texts, kind)
    if not bad.any():
        return None
    place = int(bad.to_numpy().argmax())
    return rows[place][0], column, texts[place]


@contextmanager
def _watched(connection, bar, tables: tuple[Table, ...]) -> Iterator[None]:
    """Move a progress bar from 0 to 1 while a statement runs, by the share of the tables' bytes that are read."""
    done, before = threading.Event(), _bytes_read()
    total = sum(path.stat().st_size for table in tables for path in table.files)

    def watch() -> None:
        while not done.wait(0.2):
            if total and before is not None:
                bar.update(min(1.0, (_bytes_read() - before) / total), note=f"of {total / 1e6:,.0f} MB")
            else:
                bar.update(max(0.0, connection.query_progress()) / 100)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _bytes_read() -> int | None:
    """Return the bytes that this process has read so far, where the system tells (Linux); DuckDB's own progress is
    by pipelines, of which the scan of a table is only one, and its guess of a CSV's share is far off.
    """
    try:
        return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
