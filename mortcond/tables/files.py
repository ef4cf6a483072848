"""The files that tables are kept in: CSV, CSV.gz and Parquet, told by their names and checked by their bytes.

Comes in: a path. Goes out: its columns, its rows with their numbers, the SQL relation that DuckDB reads it by, or what
is wrong with it and what to do, by what the file really is: UTF-16, a workbook, gzip under another name.
"""

import atexit
import csv
import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from mortcond.core.duckdb import duckdb
from mortcond.core.errors import InputError

UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)
_BLOCK = 1 << 20  # bytes read at a time
HEAD_BYTES = 4096  # of a file, by which its kind is told
EXACT_FLOAT32 = 2**24  # from here on a float of 32 bits does not hold every whole number
_ENCODING = "Convert it: iconv -f latin1 -t utf-8 FILE > NEW."
_UTF16 = "Convert it: iconv -f utf-16 -t utf-8 FILE > NEW, or save it as CSV UTF-8."
_UNPACK = "Unpack it, and give the CSV (or gzip it again)."
_EXPORT = "Export the table from it as CSV, in UTF-8 and with commas."
_KINDS = (  # first bytes, what the file is, what to do where it should be text
    (b"\x1f\x8b", "compressed by gzip", "Rename it, so that its name ends with .csv.gz."),
    (b"PAR1", "a Parquet file", "Rename it, so that its name ends with .parquet."),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", _EXPORT),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", _EXPORT),
    (b"BZh", "compressed by bzip2", _UNPACK),
    (b"\xfd7zXZ", "compressed by xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (b"\xff\xfe\x00\x00", "text in UTF-32", _UTF16.replace("utf-16", "utf-32")),
    (b"\xff\xfe", "text in UTF-16", _UTF16),
    (b"\xfe\xff", "text in UTF-16", _UTF16),
    (b"ARROW1", "an Arrow file", "Write it as Parquet or CSV."),
    (b"SQLite format 3", "an SQLite database", _EXPORT),
    (b"%PDF", "a PDF", "Fetch the table itself."),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "Fetch the file: git lfs pull."),
    (b"<!doctype", "a web page (as a server sends it in place of a file)", "Log in and fetch the file again."),
    (b"<html", "a web page (as a server sends it in place of a file)", "Log in and fetch the file again."),
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def csv_sql(path: Path, columns: dict[str, str]) -> str:
    """Return the relation of a CSV file whose columns and types are known."""
    kinds = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in columns.items())
    form = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', nullstr = ''"
    compression = "gzip" if path.name.lower().endswith(".gz") else "none"
    return f"read_csv({sql_path(path)}, columns = {{{kinds}}}, {form}, compression = '{compression}')"


def parquet_sql(*paths: Path) -> str:
    """Return the relation of one or more Parquet files."""
    return f"read_parquet([{', '.join(map(sql_path, paths))}], binary_as_string = true)"


def literal(text: Any) -> str:
    """Return a text as a SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def sql_path(path: Path) -> str:
    """Return a path as DuckDB reads it: a literal in which nothing is a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(_encodable(path))))  # a folder data[1] is no pattern


def _encodable(path: Path) -> Path:
    """Return a path of UTF-8 to the same file: DuckDB takes no other, and names may hold bytes of Latin-1."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return _alias(path.absolute())
    return path


@cache
def _alias(path: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mortcond-alias-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    alias = folder / ("table" + "".join(suffix for suffix in path.suffixes if suffix.isascii()))
    alias.symlink_to(path)
    return alias


def is_parquet(path: Path) -> bool:
    """Say whether a path has the ending of a Parquet file."""
    return path.name.lower().endswith(".parquet")


def header(path: Path) -> tuple[str, ...]:
    """Return the columns of a file in their order, as it writes them; a nameless one of a CSV gets a name of its own.

    Raises InputError where the file is not what its name says, cannot be read, or names a column twice.
    """
    _refuse_other_kind(path)
    try:
        names = _parquet_header(path) if is_parquet(path) else _csv_header(path)
    except UnicodeDecodeError:
        raise InputError(f"{path}, row 1: a byte that is no UTF-8.", _ENCODING) from None
    except (*UNREADABLE, duckdb.Error) as error:
        remedy = "Fetch or unpack the file again; where it is of another form, give it the ending of that form."
        raise InputError(f"{path} cannot be read: {first_line(error)}.", remedy) from None
    if not any(name.strip() for name in names):
        raise InputError(f"{path} is empty, or its first row is.", "Fetch the file again; the first row is the header.")
    if any(not sign.isprintable() for name in names for sign in name.strip()):
        raise InputError(f"{path}, row 1: a sign that is no letter: the header is damaged.", "Fetch the file again.")
    lower = [name.strip().lower() for name in names]
    if len(set(lower)) < len(lower):
        twice = next(name for name in lower if lower.count(name) > 1)
        raise InputError(f"{path}, row 1: column {twice!r} appears twice.", "Use the table as published.")
    return names


def _csv_header(path: Path) -> tuple[str, ...]:
    with _open(path) as file:
        names = next(csv.reader(_decoded(file)), None)
    if names is None:
        return ()
    _refuse_other_separator(path, names)
    taken = {name.strip().lower() for name in names}
    unnamed = (name for name in (f"unnamed_{number}" for number in count()) if name not in taken)
    return tuple(name if name.strip() else next(unnamed) for name in names)


def _parquet_header(path: Path) -> tuple[str, ...]:
    with duckdb.connect() as connection:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {parquet_sql(path)}").fetchall()
        for name, kind, *_ in rows:
            if kind == "FLOAT" and name.lower().endswith("id"):
                _refuse_narrow_ids(connection, path, name)
    return tuple(row[0] for row in rows)


def _refuse_narrow_ids(connection, path: Path, name: str) -> None:
    column = '"' + name.replace('"', '""') + '"'
    largest = connection.execute(f"SELECT max(abs({column})) FROM {parquet_sql(path)}").fetchall()[0][0]
    if largest is not None and largest >= EXACT_FLOAT32:
        problem = f"{path}, column {name}: floats of 32 bits do not hold every id from {EXACT_FLOAT32:,} on."
        raise InputError(problem, "Write the ids as whole numbers.")


def _open(path: Path):
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rb")


def rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a file with its number as an editor counts lines (the header is row 1; Parquet: from 1)."""
    if is_parquet(path):
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
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


def fault(path: Path, columns: int) -> tuple[str, str] | None:
    """Read a file row by row for what makes it unreadable; return problem and remedy."""
    if is_parquet(path):
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
    except UNREADABLE as error:
        return f"{path}, row {row}: {first_line(error)}.", "Fetch or mend the file."
    return None


def is_padded(path: Path) -> bool:
    """Say whether a gzip has zeros behind it or between its members, as tapes and some copies leave them."""
    return path.name.lower().endswith(".gz") and any(zeros for _, _, zeros in _gzip_members(path))


def unpadded(path: Path, target: Path) -> Path:
    """Write the members of a gzip without zeros behind them to `target`, and return it."""
    with path.open("rb") as source, target.open("wb") as file:
        for start, end, _ in _gzip_members(path):
            source.seek(start)
            for position in range(start, end, _BLOCK):
                file.write(source.read(min(_BLOCK, end - position)))
    return target


def _gzip_members(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield where each member of a gzip begins and ends, and how many zeros follow; nothing from what is no gzip on."""
    start = 0
    with path.open("rb") as file:
        while _at(file, start, 2) == b"\x1f\x8b":
            end = _member_end(file, start)
            if end is None:
                return
            zeros = 0
            while block := _at(file, end + zeros, _BLOCK):
                leading = len(block) - len(block.lstrip(b"\0"))
                zeros += leading
                if leading < len(block):
                    break
            yield start, end, zeros
            start = end + zeros


def _at(file, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _member_end(file, start: int) -> int | None:
    unpacker = zlib.decompressobj(wbits=31)
    file.seek(start)
    while block := file.read(_BLOCK):
        try:
            unpacker.decompress(block)
        except zlib.error:
            return None
        if unpacker.eof:
            return file.tell() - len(unpacker.unused_data)
    return None


def _refuse_other_kind(path: Path) -> None:
    """Raise InputError where the first bytes are of another kind of file than the name says."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if is_parquet(path):
        return  # DuckDB tells
    expected = _KINDS[0] if path.name.lower().endswith(".gz") else None
    found = kind_of(head)
    if expected and found == expected:
        try:
            with gzip.open(path) as file:
                found = kind_of(file.read(HEAD_BYTES))
        except UNREADABLE:
            return  # told when it is read
    if found and found != expected:
        raise InputError(f"{path} is {found[1]}, whatever its name says.", found[2])


def kind_of(head: bytes) -> tuple[bytes, str, str] | None:
    """Return by which first bytes a file is known for no plain text, what it is, and what to do; None: it may be."""
    lower = head[:32].lower()
    found = next((kind for kind in _KINDS if head.startswith(kind[0]) or lower.lstrip().startswith(kind[0])), None)
    if found is None and b"\0" in head[:32] and head.count(b"\0") > len(head) // 3:
        return b"", "text in UTF-16 without a mark, or no text at all", _UTF16
    if found is None and b"\r" in head and b"\n" not in head:
        return b"", "text whose lines end with a carriage return alone", "Save it with line feeds: tr '\\r' '\\n'."
    return found


def _refuse_other_separator(path: Path, names: list[str]) -> None:
    if len(names) == 2 and names[0].lower() == "sep=":
        raise InputError(f"{path}, row 1: 'sep=,' is a note for Excel, no header.", "Delete that row.")
    found = next((name for mark, name in _SEPARATORS.items() if len(names) == 1 and mark in names[0]), None)
    if found:
        raise InputError(f"{path}, row 1: the columns are parted by {found}.", "Save the table with commas.")


def _decoded(file) -> Iterator[str]:
    return (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))


def _parquet_fault(path: Path) -> tuple[str, str] | None:
    try:
        with duckdb.connect() as connection:
            connection.execute(f"SELECT count(COLUMNS(*)) FROM {parquet_sql(path)}").fetchall()
    except duckdb.Error as error:
        return f"{path} cannot be read: {first_line(error)}.", "Fetch or copy the file again."
    return None


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
