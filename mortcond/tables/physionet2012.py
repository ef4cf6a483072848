"""PhysioNet/CinC Challenge 2012 -> stays and events (Silva et al. 2012, Computing in Cardiology 39:245-248).

Comes in: a folder, .tar.gz or .zip of text files, one a stay (`Time,Parameter,Value`), or a folder of such archives;
and the outcomes. Goes out: `Records`. Every stay is its own patient; patients of all ages (15 and older) stay in.

A value of -1 is missing, and so is one of 0 or less unless the table of variables says by its `low` that a variable
can be 0. Of several values in one minute the invasive pressure counts before the cuff's, then the largest value,
so that the order of rows never matters; urine adds up. Age, Gender, Height, ICUType and the first Weight are general
descriptors: height and weight count as measured at 00:00, but make no series by themselves.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, cells, files, long, scan
from mortcond.tables.members import base_name, is_archive, members
from mortcond.variables import Variable, Variables
from mortcond.variables.cleaning import Reading, number

HEADER = "Time,Parameter,Value"
DESCRIPTORS = ("RecordID", "Age", "Gender", "Height", "ICUType", "Weight")
SEX = {0: "F", 1: "M"}
ICU_TYPES = {1: "coronary care", 2: "cardiac surgery recovery", 3: "medical", 4: "surgical"}
ID, DIED = "RecordID", "In-hospital_death"
_RECORD = re.compile(r"[0-9]+\.txt", re.IGNORECASE)
_OUTCOMES = re.compile(r"outcomes.*\.(txt|csv)", re.IGNORECASE)
_SET = re.compile(r"set-?[a-z](\.tar\.gz|\.tgz|\.zip)?", re.IGNORECASE)
_ROWS = re.compile(rb'(?:[^,"\n\x80-\xff]*,[^,"\n\x80-\xff]*,[^,"\n\x80-\xff]*\n)*')
_RECORD_ID = re.compile(r"^0?0:00(?::00)?,RecordID,([^\n]*)$", re.MULTILINE)
_TIME = re.compile(r"([0-9]{1,3}):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_REMEDY = "Fetch the set again: mortcond fetch physionet2012."


@dataclass(frozen=True)
class Row:
    """One row of a stay's file, for messages."""

    where: str  # file, row n
    time: str
    parameter: str
    value: str


def detect(source: Path) -> bool:
    """Say whether there are files named by a number (132539.txt), loose, in a set's folder or in an archive."""
    if is_archive(source):
        return _holds_records(source)
    return source.is_dir() and any(_parts(source))


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read sets of the challenge; see `tables.read`."""
    names = long.names_of(variables, "physionet2012")
    if not names:
        raise InputError(
            f"The variables {variables.name} name no parameter of physionet2012.", "Add the column physionet2012."
        )
    parts = [source] if is_archive(source) else _parts(source)
    combined, within = _combine(source, parts, request)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        _load(connection, combined, parts, request)
        stays = _stays(connection, parts)
        used = _outcome_files(source, within, request.outcomes) if request.labels else {}
        stays, notes = _with_outcomes(stays, source, used) if request.labels else (stays, ())
        locate = partial(_locate_value, parts)
        events, left_out = long.write_events(connection, variables, names, request, _value, locate)
        cohort = long.Cohort(stays)
        cohort.keep("start", "a record, at any age")
        cohort.keep("no_series", "a measurement beyond the general descriptors", stays.series > 0)
        measured = long.measured_stays(connection, events, request.window_hours)
        measured_in = cohort.left.stay_id.isin(measured)
        cohort.keep("no_events_in_window", f"an event in the first {request.window_hours} hours", measured_in)
    kept, attrition, dropped = cohort.finish()
    files = _files(parts) + tuple(Path(name) for name in used if Path(name).is_file())
    return Records("physionet2012", kept, events, attrition, dropped, notes + left_out, tuple(dict.fromkeys(files)))


def _value(variable: Variable, text: str) -> Reading:
    """Return what a text means; -1 is missing, 0 or less implausible where the variable's `low` does not allow it."""
    value = number(text)
    can_be_zero = variable.low is not None and variable.low <= 0
    if value == -1:
        return Reading(None, "gap")
    if value is not None and value <= 0 and not can_be_zero:
        return Reading(None, "range")
    return long.own_units(variable, text)


# Finding the files.


def _parts(folder: Path) -> list[Path]:
    """Return the folders and archives with records in `folder`: itself, or its sets; an unpacked set counts first."""
    if any(_RECORD.fullmatch(base_name(path.name)) for path in folder.iterdir()):
        return [folder]
    sets = sorted(path for path in folder.iterdir() if _SET.fullmatch(path.name))
    unpacked = {path.name.lower(): path for path in sets if path.is_dir() and _holds_records(path)}
    archives = {path.name.lower().split(".")[0]: path for path in sets if is_archive(path) and _holds_records(path)}
    others = [] if archives or unpacked else sorted(path for path in folder.iterdir() if is_archive(path))
    return sorted((archives | unpacked).values()) or [path for path in others if _holds_records(path)]


def _files(parts: list[Path]) -> tuple[Path, ...]:
    files = [
        sorted(path for path in part.rglob("*.*") if _wanted(base_name(path.name))) if part.is_dir() else [part]
        for part in parts
    ]
    return tuple(path for part in files for path in part)


def _holds_records(source: Path) -> bool:
    try:
        return any(members(source, lambda name: _RECORD.fullmatch(name) is not None))
    except InputError:  # a broken archive is told when it is read
        return True


def _wanted(name: str) -> bool:
    return (_RECORD.fullmatch(name) or _OUTCOMES.fullmatch(name)) is not None


# Reading the records.


def _combine(source: Path, parts: list[Path], request: Request) -> tuple[Path, dict[str, bytes]]:
    """Write all records as one CSV (stay_id, time, name, text); return it and the outcomes found among them."""
    combined = request.scratch / "records.csv"
    outcomes: dict[str, bytes] = {}
    seen: dict[str, str] = {}
    with combined.open("wb") as file:
        file.write(b"stay_id,time,name,text\n")
        for part in parts:
            with request.console.progress(f"Reading {part.name}", total=_size(part)) as bar:
                for name, content, position in members(part, _wanted):
                    bar.update(position)
                    if _OUTCOMES.fullmatch(base_name(name)):
                        outcomes[f"{part / name}"] = content
                        continue
                    stay_id, lines = _record(part, name, content)
                    if stay_id in seen:
                        problem = f"Record {stay_id} is there twice: {seen[stay_id]} and {part / name}."
                        raise InputError(problem, "Remove one of the two.")
                    seen[stay_id] = str(part / name)
                    file.write(lines)
    if not seen:
        raise InputError(f"{source} holds no record such as 132539.txt.", _REMEDY)
    return combined, outcomes


def _size(part: Path) -> int:
    files = part.rglob("*.*") if part.is_dir() else [part]
    return sum(path.stat().st_size for path in files)


def _record(part: Path, name: str, content: bytes) -> tuple[str, bytes]:
    """Return a record's id and its rows, each with the id before it.

    Raises InputError that names file and row where the file has another form.
    """
    where = part / name
    header, _, body = _plain(content).replace(b"\r\n", b"\n").strip(b"\n").partition(b"\n")
    if header.decode("utf-8", "replace").removeprefix("\ufeff").strip() != HEADER:
        other = files.kind_of(content[: files.HEAD_BYTES])
        if other:
            raise InputError(f"{where} is {other[1]}, whatever its name says.", other[2])
        found = header[:60].decode("utf-8", "replace")
        raise InputError(f"{where}, row 1: the header is {found!r}, not {HEADER!r}.", _REMEDY)
    if not _ROWS.fullmatch(body + b"\n"):
        row, line = next(
            (row, line) for row, line in enumerate(body.split(b"\n"), 2) if not _ROWS.fullmatch(line + b"\n")
        )
        found = line[:60].decode("utf-8", "replace")
        raise InputError(f"{where}, row {row}: {found!r} is no time, parameter and value.", _REMEDY)
    try:
        ids = {cells.whole(text) for text in _RECORD_ID.findall(body.decode("ascii", "replace"))} - {None}
    except ValueError:
        ids = set()
    if len(ids) != 1:
        raise InputError(f"{where} has no row 00:00,RecordID with one whole number.", _REMEDY)
    stay_id = ids.pop()
    if stay_id != int(Path(base_name(name)).stem):
        raise InputError(f"{where} holds record {stay_id}.", "Give the file the number of its record.")
    head = f"{stay_id},".encode()
    return str(stay_id), head + body.replace(b"\n", b"\n" + head) + b"\n"


def _plain(content: bytes) -> bytes:
    """Return a record as it is published, where another program saved it with quotes or further columns."""
    if content.startswith(HEADER.encode()) and b'"' not in content:
        return content
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        names = [name.strip().lower() for name in rows[0]]
        places = [names.index(name.lower()) for name in HEADER.split(",")]
        kept = [",".join(row[place] for place in places) for row in rows[1:] if row]
    except (UnicodeDecodeError, ValueError, IndexError, csv.Error):
        return content
    return "\n".join([HEADER, *kept]).encode()


def _load(connection, combined: Path, parts: list[Path], request: Request) -> None:
    """Make the relation `raw` of the combined CSV, with hours in the place of times."""
    kinds = {"stay_id": "BIGINT", "time": "VARCHAR", "name": "VARCHAR", "text": "VARCHAR"}
    rows = scan.csv_sql(combined, kinds)
    times = [row[0] for row in connection.execute(f"SELECT DISTINCT time FROM {rows}").fetchall()]
    hours = [(time, _hours(time, parts)) for time in times]
    scan.store(connection, request.scratch, "times", pd.DataFrame(hours, columns=["time", "hours"]))
    path = request.scratch / "raw.parquet"
    joined = f"SELECT r.stay_id, t.hours, r.name, trim(r.text) AS text FROM {rows} r JOIN times t ON t.time = r.time"
    scan.run(connection, f"COPY ({joined}) TO {scan.literal(path)} (FORMAT parquet)", request.console, "Reading times")
    connection.execute(f"CREATE VIEW raw AS SELECT * FROM {scan.parquet_sql(path)}")


def _hours(time: str | None, parts: list[Path]) -> float:
    parsed = _TIME.fullmatch(time or "")
    if not parsed:
        text = time or ""
        where = _locate(parts, lambda row: row.time == text)
        raise InputError(f"{where}, column Time: {text!r} is no time of the form HH:MM.", _REMEDY)
    return int(parsed[1]) + int(parsed[2]) / 60 + int(parsed[3] or 0) / 3600


def _stays(connection, parts: list[Path]) -> pd.DataFrame:
    """Return a row a stay from the general descriptors; `series` counts the other rows."""
    descriptors = ", ".join(scan.literal(name) for name in DESCRIPTORS)
    sql = f"""
        SELECT stay_id, sum(CASE WHEN hours = 0 AND name IN ({descriptors}) THEN 0 ELSE 1 END) AS series
        FROM raw GROUP BY stay_id
    """
    stays = scan.frame(connection, sql)
    rows = scan.frame(connection, f"SELECT stay_id, name, text FROM raw WHERE hours = 0 AND name IN ({descriptors})")
    age, sex, icu_type = (stays.stay_id.map(_largest(rows, name, parts)) for name in ("Age", "Gender", "ICUType"))
    known = {"subject_id": stays.stay_id, "died": 0, "age": age.where(age > 0), "split": ""}
    return stays.assign(sex=sex.map(SEX).fillna(""), icu_type=icu_type.map(ICU_TYPES).fillna(""), **known)


def _largest(rows: pd.DataFrame, name: str, parts: list[Path]) -> pd.Series:
    """Return the number of a general descriptor for each stay, the largest where there are several."""
    rows = rows[rows.name == name]
    numbers, bad = cells.read(rows.text, "number")
    if name == "Age" and bad.any():
        text = rows.text[bad].iloc[0]
        raise InputError(f"{_locate_value(parts, 'Age', text)}: {text!r} is no age.", "Mend the row; -1 is unknown.")
    return numbers.groupby(rows.stay_id).max()


def _locate_value(parts: list[Path], parameter: str, value: str) -> str:
    return f"{_locate(parts, lambda row: row.parameter == parameter and row.value == value)}, column Value"


def _locate(parts: list[Path], matches: Callable[[Row], bool]) -> str:
    """Return "file, row n" of the first row that matches, "" where none does."""
    return next((row.where for part in parts for row in _rows(part) if matches(row)), "")


def _rows(part: Path) -> Iterator[Row]:
    for name, content, _ in members(part, lambda name: _RECORD.fullmatch(name) is not None):
        for row, line in enumerate(_plain(content).decode("utf-8-sig").splitlines()[1:], 2):
            time, parameter, value = line.split(",")
            yield Row(f"{part / name}, row {row}", time, parameter, value.strip())


# Outcomes.


def _with_outcomes(stays: pd.DataFrame, source: Path, files: dict[str, bytes]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the stays with `died`, and a note where outcomes have no stay.

    Raises InputError where a stay has no outcome.
    """
    died: dict[int, int] = {}
    for name, content in files.items():
        _read_outcomes(name, content, died)
    known = stays.stay_id.isin(list(died))
    where = " and ".join(files)
    if not known.all():
        missing = stays.stay_id[~known]
        problem = (
            f"{len(missing):,} of {len(stays):,} records have no outcome in {where}; the first is {missing.min()}."
        )
        raise InputError(problem, "Name the outcomes of this set with --outcomes.")
    lacking = len(died) - len(stays)
    note = (f"{lacking:,} of {len(died):,} outcomes in {where} have no record in {source}",) if lacking else ()
    return stays.assign(died=stays.stay_id.map(died)), note


def _outcome_files(source: Path, within: dict[str, bytes], given: Path | None) -> dict[str, bytes]:
    """Return the outcomes to use: the given file; else those among the records; else those in or beside the source."""
    if given is not None:
        if not given.is_file():
            raise InputError(f"There is no outcomes file {given}.", "Check the path given to --outcomes.")
        return {str(given): given.read_bytes()}
    if within:
        return within
    for folder in (source, source.parent):
        if folder.is_dir():
            found = sorted(path for path in folder.iterdir() if path.is_file() and _OUTCOMES.fullmatch(path.name))
            if found:
                return {str(path): path.read_bytes() for path in found}
    raise InputError(f"There are no outcomes in or beside {source}.", "Name the file, Outcomes-a.txt, with --outcomes.")


def _read_outcomes(name: str, content: bytes, died: dict[int, int]) -> None:
    """Add the outcome of each record of one file to `died`.

    Raises InputError that names the row, and the column, at fault.
    """
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = [column.strip() for column in rows.fieldnames or ()]
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(f"{name}, row {row}: a byte that is no UTF-8.", _REMEDY) from None
    missing = [column for column in (ID, DIED) if column not in columns]
    if missing:
        problem = f"{name} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}."
        raise InputError(problem, "Use the outcomes file as published.")
    rows.fieldnames = columns
    for line, row in enumerate(rows, 2):
        record, outcome = ((row[column] or "").strip() for column in (ID, DIED))
        id = _read_cell(cells.whole, record, f"{name}, row {line}, column {ID}: {record!r} is no record.")
        dead = _read_cell(cells.flag, outcome, f"{name}, row {line}, column {DIED}: {outcome!r} is neither 0 nor 1.")
        if died.setdefault(id, int(dead)) != int(dead):
            raise InputError(f"{name}, row {line}: record {id} has two outcomes.", "Keep the right one.")


def _read_cell(reader: Callable[[str], int | bool | None], text: str, problem: str) -> int | bool:
    try:
        value = reader(text)
    except ValueError:
        value = None
    if value is None:
        raise InputError(problem, _REMEDY)
    return value
