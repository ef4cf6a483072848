"""The public benchmark's own folder (Harutyunyan et al. 2019) -> stays and events.

Comes in: `in-hospital-mortality/` with `train/` and `test/`, each a `listfile.csv` (stay, y_true) and a file a stay
(`10006_episode1_timeseries.csv`: Hours and a column a channel). Goes out: `Records`.

The patient is the first number of a file's name; the stay's id is 1000 times the patient plus the episode, so 10006001
in the example, whatever else is in the folder. The folders are the split; where the benchmark's `val_listfile.csv` is
beside them, its stays are the validation split, else a hash of the patient parts train from val. The values are used as
they stand, since the benchmark has cleaned them.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, cells, long, scan
from mortcond.variables import Variables
from mortcond.variables.cleaning import NUMBER

TASK = "in-hospital-mortality"
FOLDERS = ("train", "test")
LIST, STAY, DIED, HOURS = "listfile.csv", "stay", "y_true", "Hours"
EPISODES = 1000  # a patient's stays at most: the place of the episode in the stay's id
_NAME = re.compile(r"([0-9]+)_episode([0-9]{1,3})_timeseries\.csv", re.ASCII)
_REMEDY = "Make the folder again with the benchmark's scripts."


@dataclass(frozen=True)
class Stay:
    """One row of a list file."""

    path: Path
    stay_id: int
    subject_id: int
    died: int
    split: str


def detect(source: Path) -> bool:
    """Say whether a folder, or its folder in-hospital-mortality, has list files."""
    return source.is_dir() and any((_root(source) / folder / LIST).is_file() for folder in FOLDERS)


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read the benchmark's folder; see `tables.read`."""
    root = _root(source)
    listed = [
        stay for folder in FOLDERS if (root / folder / LIST).is_file() for stay in _listed(root, folder, request.labels)
    ]
    if not listed:
        raise InputError(f"{root}: its list files list no stay.", _REMEDY)
    names = long.names_of(variables, "benchmark", own=True)
    groups = _combine(listed, request)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        _load(connection, groups, request)
        notes = long.ignored(connection, names)
        locate = partial(_locate, listed)
        events, left_out = long.write_events(connection, variables, names, request, long.own_units, locate)
        measured = long.measured_stays(connection, events, request.window_hours)
    cohort = long.Cohort(_stays(listed))
    cohort.keep("start", "a row in a list file")
    in_window = cohort.left.stay_id.isin(measured)
    cohort.keep("no_events_in_window", f"an event in the first {request.window_hours} hours", in_window)
    kept, attrition, dropped = cohort.finish()
    return Records("benchmark", kept, events, attrition, dropped, notes + left_out)


def _root(source: Path) -> Path:
    return source / TASK if (source / TASK).is_dir() else source


def _listed(root: Path, folder: str, labels: bool) -> list[Stay]:
    """Return the stays of a list file.

    Raises InputError that names the row and the column at fault.
    """
    path = root / folder / LIST
    validation = {row[STAY] for _, row in _rows(root / "val_listfile.csv", (STAY,))} if folder == "train" else set()
    stays: dict[int, Stay] = {}
    for line, row in _rows(path, (STAY, DIED) if labels else (STAY,)):
        name = _NAME.fullmatch(row[STAY])
        if not name:
            problem = (
                f"{path}, row {line}, column {STAY}: {row[STAY]!r} is no name such as 10006_episode1_timeseries.csv."
            )
            raise InputError(problem, _REMEDY)
        died = _died(row[DIED]) if labels else 0
        if died is None:
            raise InputError(f"{path}, row {line}, column {DIED}: {row[DIED]!r} is neither 0 nor 1.", _REMEDY)
        patient, episode = int(name[1]), int(name[2])
        stay_id = patient * EPISODES + episode
        if stay_id > cells.LONGEST:
            raise InputError(f"{path}, row {line}: the number of patient {patient} is too large.", "Number them anew.")
        if stay_id in stays:
            raise InputError(f"{path}, row {line}: {row[STAY]} is listed twice.", "Keep one of the rows.")
        file = root / folder / row[STAY]
        if not file.is_file():
            raise InputError(f"{path}, row {line}: there is no {file}.", _REMEDY)
        split = "val" if row[STAY] in validation else folder
        stays[stay_id] = Stay(file, stay_id, patient, died, split)
    return list(stays.values())


def _died(text: str) -> int | None:
    try:
        return None if cells.is_missing(text) else int(cells.flag(text))
    except ValueError:
        return None


def _rows(path: Path, columns: tuple[str, ...] = (STAY, DIED)) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a list file with their numbers; none where the file is not there."""
    if not path.is_file():
        return
    rows = csv.DictReader(io.StringIO(_text(path), newline=""))
    missing = [column for column in columns if column not in (rows.fieldnames or ())]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}.", f"A list file has {STAY} and {DIED}.")
    for line, row in enumerate(rows, 2):
        yield line, {column: (row.get(column) or "").strip() for column in (STAY, DIED)}


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, row {row}: a byte that is no UTF-8.", _REMEDY) from None


def _combine(listed: list[Stay], request: Request) -> dict[tuple[str, ...], Path]:
    """Write the series of all stays into one CSV for each header that occurs, the stay's id before each row."""
    files: dict[tuple[str, ...], Path] = {}
    with request.console.progress("Reading time series", total=len(listed)) as bar:
        for stay in listed:
            header, rows = _series(stay.path)
            if header not in files:
                files[header] = request.scratch / f"series-{len(files)}.csv"
                columns = ["stay_id", *(f"c{place}" for place in range(len(header)))]
                files[header].write_text(",".join(columns) + "\n", encoding="utf-8")
            with files[header].open("a", encoding="utf-8", newline="") as file:
                file.writelines(f"{stay.stay_id},{row}\n" for row in rows)
            bar.advance()
    return files


def _series(path: Path) -> tuple[tuple[str, ...], list[str]]:
    """Return the header and the rows of a stay's file.

    Raises InputError that names the row, and the column, at fault.
    """
    lines = _text(path).splitlines()
    header = tuple(name.strip() for name in lines[0].split(",")) if lines else ()
    if header[:1] != (HOURS,) or len(set(header)) < len(header):
        found = lines[0][:80] if lines else ""
        raise InputError(f"{path}, row 1: the columns are not {HOURS} and channels but {found!r}.", _REMEDY)
    rows = [line for line in lines[1:] if line]
    for number, row in enumerate(rows, 2):
        if row.count(",") != len(header) - 1:
            raise InputError(f"{path}, row {number}: {row.count(',') + 1} columns, not {len(header)}.", _REMEDY)
        hours = row[: row.index(",")] if "," in row else row
        if not NUMBER.fullmatch(hours):
            raise InputError(f"{path}, row {number}, column {HOURS}: {hours!r} is no number.", _REMEDY)
    return header, rows


def _load(connection, groups: dict[tuple[str, ...], Path], request: Request) -> None:
    """Make the relation `raw` of the combined files: a row a value."""
    parts = []
    for place, (header, path) in enumerate(groups.items()):
        kinds = {"stay_id": "BIGINT", "c0": "DOUBLE"} | {f"c{i}": "VARCHAR" for i in range(1, len(header))}
        connection.execute(f"CREATE TABLE wide{place} AS SELECT * FROM {scan.csv_sql(path, kinds)}")
        parts += [
            f"SELECT stay_id, c0 AS hours, {scan.literal(name)} AS name, trim(c{i}) AS text FROM wide{place} "
            f"WHERE c{i} IS NOT NULL"
            for i, name in enumerate(header)
            if i
        ]
    if not parts:
        raise InputError("The time series have no channels.", _REMEDY)
    path = request.scratch / "raw.parquet"
    sql = f"COPY ({' UNION ALL '.join(parts)}) TO {scan.literal(path)} (FORMAT parquet)"
    scan.run(connection, sql, request.console, "Reading channels")
    connection.execute(f"CREATE VIEW raw AS SELECT * FROM {scan.parquet_sql(path)}")


def _stays(listed: list[Stay]) -> pd.DataFrame:
    rows = [(stay.stay_id, stay.subject_id, stay.died, stay.split) for stay in listed]
    stays = pd.DataFrame(rows, columns=["stay_id", "subject_id", "died", "split"])
    twice = stays.stay_id.duplicated()
    if twice.any():
        stay = listed[int(twice.to_numpy().argmax())]
        raise InputError(f"{stay.path.name} is in the list files of both {' and '.join(FOLDERS)}.", "Keep one of them.")
    return stays.assign(age=float("nan"), sex="", icu_type="")


def _locate(listed: list[Stay], name: str, text: str) -> str:
    for stay in listed:
        header, rows = _series(stay.path)
        place = header.index(name) if name in header else -1
        for number, row in enumerate(rows, 2):
            if place > 0 and row.split(",")[place].strip() == text:
                return f"{stay.path}, row {number}, column {name}"
    return ""
