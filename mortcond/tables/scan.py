"""The heavy scan: tables in CSV, CSV.gz or Parquet, in one file or many, read by DuckDB in bounded memory.

Comes in: a folder and the name of a table. Goes out: a SQL relation of its columns as text; errors that name file and
row. Nothing is sniffed: the first rows of a table do not tell how its later rows are quoted.
"""

import csv
import gzip
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.tables import cells

ENDINGS = (".csv", ".csv.gz", ".parquet")
_PART = r"(?:[ _.-]?(?:part)?[ _.-]?[0-9]+)?"  # CHARTEVENTS_part1.csv, chartevents-00001.parquet
_UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)


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
    files = sorted(table_files(folder, name))
    if not files:
        return None
    plain = [file for file in files if re.fullmatch(name, _stem(file), re.IGNORECASE)]
    if len(plain) > 1 or (plain and len(files) > 1):
        both = " and ".join(file.name for file in files[:2])
        raise InputError(f"{folder} holds {name} twice: {both}.", "Remove one of the two.")
    return Table(name, tuple(files), tuple(_header(file) for file in files))


def single(path: Path) -> Table:
    """Return the table that is one file.

    Raises InputError where it has no readable header.
    """
    return Table(_stem(path), (path,), (_header(path),))


def joined(name: str, files: list[Path]) -> Table:
    """Return the table whose parts are these files.

    Raises InputError where one has no readable header.
    """
    return Table(name, tuple(files), tuple(_header(file) for file in files))


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
        raise UsageError(f"--memory-limit {memory_limit}: {_first_line(error)}.", "Give it as 1GB or 500MB.") from None
    with connection:
        connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        # Joins run as they are written, the streamed table left, the small one right: DuckDB takes a CSV for small.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        try:
            yield connection
        except duckdb.OutOfMemoryException:
            raise InputError("The memory limit is too small for these tables.", "Raise --memory-limit.") from None
        except duckdb.IOException as error:
            raise InputError(f"{_first_line(error)}.", "Check the free space on the disk.") from None
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
            return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise explain(error, tables, kinds or {}) from None


def frame(connection, sql: str, tables: tuple[Table, ...] = (), kinds: dict[str, str] | None = None) -> pd.DataFrame:
    """Execute a query and return its rows as a pandas DataFrame; raises as `run`."""
    try:
        return connection.execute(sql).df()
    except duckdb.Error as error:
        raise explain(error, tables, kinds) from None


def explain(error: duckdb.Error, tables: tuple[Table, ...], kinds: dict[str, str] | None = None) -> Exception:
    """Return an InputError that names file and row, found by reading the files again; else the error itself."""
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.InterruptException):
        return error
    for table in tables:
        for path, header in zip(table.files, table.headers, strict=True):
            fault = _fault(path, len(header)) or _misfit(path, kinds or {})
            if fault:
                return InputError(*fault)
    if isinstance(error, duckdb.IOException | duckdb.ConversionException | duckdb.InvalidInputException):
        named = next((path for table in tables for path in table.files if str(path) in str(error)), None)
        problem = f"{named} cannot be read ({_first_line(error)})." if named else f"{_first_line(error)}."
        return InputError(problem, "Check the tables and the free space on the disk.")
    return error


def locate(table: Table, matches: Callable[[dict[str, str]], bool], occurrence: int = 1) -> str:
    """Return "file, row n" of the first (or a further) row that matches, a dict by lower-case column name; "": none."""
    found = (f"{path}, row {number}" for path in table.files for number, row in _rows(path) if matches(row))
    return next(islice(found, occurrence - 1, None), "")


def store(connection, scratch: Path, name: str, rows: pd.DataFrame) -> None:
    """Make a table of a small DataFrame, by way of a file: numbers as BIGINT or DOUBLE, all else as text."""
    path = scratch / f"{name}.csv"
    rows.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    kinds = {"i": "BIGINT", "u": "BIGINT", "f": "DOUBLE", "b": "BOOLEAN"}
    columns = {column: kinds.get(kind.kind, "VARCHAR") for column, kind in rows.dtypes.items()}
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {csv_sql(path, columns)}")


def csv_sql(path: Path, columns: dict[str, str]) -> str:
    """Return the relation of a CSV file whose columns and types are known."""
    kinds = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in columns.items())
    form = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', nullstr = ''"
    compression = "gzip" if path.name.lower().endswith(".gz") else "none"
    return f"read_csv({_file(path)}, columns = {{{kinds}}}, {form}, compression = '{compression}')"


def parquet_sql(*paths: Path) -> str:
    """Return the relation of one or more Parquet files."""
    return f"read_parquet([{', '.join(map(_file, paths))}])"


def literal(text: Any) -> str:
    """Return a text as a SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def _file(path: Path) -> str:
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))  # DuckDB would take a folder data[1] for a pattern


def _stem(path: Path) -> str:
    return re.sub(r"(\.csv|\.csv\.gz|\.parquet)$", "", path.name, flags=re.IGNORECASE)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


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


def _reader(path: Path, header: tuple[str, ...]) -> str:
    if _is_parquet(path):
        return parquet_sql(path)
    return csv_sql(path, dict.fromkeys(header, "VARCHAR"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _header(path: Path) -> tuple[str, ...]:
    try:
        names = _parquet_header(path) if _is_parquet(path) else _csv_header(path)
    except UnicodeDecodeError:
        raise InputError(f"{path}, row 1: a byte that is no UTF-8.", _ENCODING) from None
    except (*_UNREADABLE, duckdb.Error) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}.", "Fetch or unpack the file again.") from None
    if not any(name.strip() for name in names):
        raise InputError(f"{path} is empty.", "Fetch or unpack the file again.")
    lower = [name.strip().lower() for name in names]
    if len(set(lower)) < len(lower):
        twice = next(name for name in lower if lower.count(name) > 1)
        raise InputError(f"{path}, row 1: column {twice!r} appears twice.", "Use the table as published.")
    return names


def _csv_header(path: Path) -> tuple[str, ...]:
    with _open(path) as file:
        return tuple(next(csv.reader(_decoded(file)), ()))


def _parquet_header(path: Path) -> tuple[str, ...]:
    with duckdb.connect() as connection:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {parquet_sql(path)}").fetchall()
    return tuple(row[0] for row in rows)


def _open(path: Path):
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rb")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a file with its number as an editor counts lines (the header is row 1; Parquet: from 1)."""
    if _is_parquet(path):
        with duckdb.connect() as connection:
            names = [name.lower() for name in _parquet_header(path)]
            cursor = connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {parquet_sql(path)}")
            rows = (row for many in iter(lambda: cursor.fetchmany(10_000), []) for row in many)
            for number, row in enumerate(rows, 1):
                yield number, {name: value or "" for name, value in zip(names, row, strict=True)}
        return
    with _open(path) as file:
        reader = csv.reader(_decoded(file))
        names = [name.strip().lower() for name in next(reader, ())]
        line = reader.line_num
        for row in reader:
            yield line + 1, dict(zip(names, row, strict=False))
            line = reader.line_num


_ENCODING = "Convert it: iconv -f latin1 -t utf-8 FILE > NEW."


def _fault(path: Path, columns: int) -> tuple[str, str] | None:
    """Read a file row by row for what makes it unreadable; return problem and remedy."""
    if _is_parquet(path):
        return _parquet_fault(path)
    row = 1
    try:
        with _open(path) as file:
            reader = csv.reader(_decoded(file), strict=True)
            for cells in reader:
                if cells and len(cells) != columns:
                    return f"{path}, row {row}: {len(cells)} columns, not {columns}.", "Fetch or mend the file."
                row = reader.line_num + 1
    except UnicodeDecodeError as error:
        return f"{path}, row {row}: a byte that is no UTF-8 ({error.object[error.start]:#04x}).", _ENCODING
    except EOFError:
        return f"{path} is cut off after row {row - 1}.", "Fetch or copy the file again."
    except _UNREADABLE as error:
        return f"{path}, row {row}: {_first_line(error)}.", "Fetch or mend the file."
    return None


def _misfit(path: Path, kinds: dict[str, str]) -> tuple[str, str] | None:
    """Look for the first cell that does not hold what its column must; return problem and remedy."""
    rows = _rows(path) if kinds else iter(())
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


def _decoded(file) -> Iterator[str]:
    return (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))


def _parquet_fault(path: Path) -> tuple[str, str] | None:
    try:
        with duckdb.connect() as connection:
            connection.execute(f"SELECT count(COLUMNS(*)) FROM {parquet_sql(path)}").fetchall()
    except duckdb.Error as error:
        return f"{path} cannot be read: {_first_line(error)}.", "Fetch or copy the file again."
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


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
