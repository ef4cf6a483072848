"""Events of any hospital -> stays and events.

Comes in: a folder with the tables `events` (stay_id, hours, variable, value) and `stays` (stay_id, subject_id, died;
optional: age, sex, icu_type, split), each as CSV, CSV.gz or Parquet; or the file of the events, with that of the stays
beside it or given by --outcomes. Goes out: `Records`.

`hours` count from ICU admission. `variable` is a name of the table of variables (or of its column `events`), `value` is
in that variable's unit, a category by its name or one of its spellings. The largest of several values at one time
counts, so that the order of rows never matters; sums add up. All stays stay in that have an event in the window.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, long, scan
from mortcond.tables.scan import Table
from mortcond.variables import Variables

EVENT_COLUMNS = ("stay_id", "hours", "variable", "value")
OPTIONAL = ("age", "sex", "icu_type", "split")
DIED = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
SEX = {"f": "F", "female": "F", "m": "M", "male": "M"}
SPLITS = ("train", "val", "test")
_BAD_CELLS = {
    "stay_id": "stay_id IS NULL OR stay_id <> floor(stay_id)",
    "hours": "hours IS NULL OR hours <> hours OR hours - hours <> 0",
    "name": "name IS NULL OR name = ''",
}
MISSING = ("nan", "NaN", "NA", "NULL", "null")


def detect(source: Path) -> bool:
    """Say whether there is a table `events` in a folder, or a table as one file."""
    if source.is_dir():
        return any(scan.table_files(source, "events"))
    return source.name.lower().endswith(scan.ENDINGS)


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read a table of events and one of stays; see `tables.read`."""
    events_table = scan.require(source, "events") if source.is_dir() else scan.single(source)
    stays_table = _stays_table(source, request)
    names = long.names_of(variables, "events", own=True)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        _load(connection, events_table, request)
        notes = long.ignored(connection, names)
        _refuse_unknown(connection, events_table, names, variables)
        stays = _stays(connection, stays_table, request)
        notes += _strangers(connection, stays, request)
        locate = partial(_locate, events_table)
        events, left_out = long.write_events(connection, variables, names, request, long.own_units, locate)
        measured = long.measured_stays(connection, events, request.window_hours)
    cohort = long.Cohort(stays)
    cohort.keep("start", "a row in the table of stays")
    in_window = cohort.left.stay_id.isin(measured)
    cohort.keep("no_events_in_window", f"an event in the first {request.window_hours} hours", in_window)
    kept, attrition, dropped = cohort.finish()
    files = events_table.files + (stays_table.files if stays_table else ())
    return Records("events", kept, events, attrition, dropped, notes + left_out, files)


def _stays_table(source: Path, request: Request) -> Table | None:
    if request.outcomes is not None:
        if not request.outcomes.is_file():
            raise InputError(f"There is no table of stays {request.outcomes}.", "Check the path given to --outcomes.")
        return scan.single(request.outcomes)
    folder = source if source.is_dir() else source.parent
    return scan.require(folder, "stays") if request.labels else scan.find(folder, "stays")


def _load(connection, table: Table, request: Request) -> None:
    """Make the relation `raw` of the events; their numbers are checked on the way."""
    path = request.scratch / "loaded.parquet"
    missing = ", ".join(scan.literal(text) for text in MISSING)
    sql = f"""
        SELECT CAST(stay_id AS DOUBLE) AS stay_id, CAST(hours AS DOUBLE) AS hours, trim(variable) AS name,
               trim(value) AS text
        FROM {table.sql(EVENT_COLUMNS)} e
        WHERE value IS NOT NULL AND trim(value) NOT IN ({missing})
    """
    copy = f"COPY ({sql}) TO {scan.literal(path)} (FORMAT parquet)"
    kinds = {"stay_id": "number", "hours": "number"}
    scan.run(connection, copy, request.console, f"Reading {table.name}", (table,), kinds)
    for column, bad in _BAD_CELLS.items():
        sql = f"SELECT {column} FROM {scan.parquet_sql(path)} WHERE {bad} LIMIT 1"
        found = connection.execute(sql).fetchall()
        if found:
            raise InputError(f"{_locate_bad(table, column, found[0][0])}.", "Mend the row, or leave it out.")
    typed = "CAST(stay_id AS BIGINT) AS stay_id, hours, name, text"
    connection.execute(f"CREATE VIEW raw AS SELECT {typed} FROM {scan.parquet_sql(path)}")


def _locate_bad(table: Table, column: str, value: float | str | None) -> str:
    name = "variable" if column == "name" else column
    text = "" if value is None else str(value)

    def matches(row: dict[str, str]) -> bool:
        cell = row[name].strip()
        return row["value"].strip() not in ("", *MISSING) and (cell == text or (text != "" and float(cell) == value))

    wanted = {"stay_id": "a whole number", "hours": "a number of hours", "name": "a variable"}[column]
    return f"{scan.locate(table, matches)}, column {name}: {text!r} is not {wanted}"


def _refuse_unknown(connection, table: Table, names: long.Names, variables: Variables) -> None:
    known = [row[0] for row in connection.execute("SELECT DISTINCT name FROM raw").fetchall() if row[0] in names]
    if not known:
        wanted = ", ".join(variable.name for variable in variables if variable.kind != "static")
        where = " and ".join(map(str, table.files))
        problem = f"{where}: no row has a variable of {variables.name} in column variable."
        raise InputError(problem, f"Its variables are {wanted}; or give a table of your own with --variables.")


def _stays(connection, table: Table | None, request: Request) -> pd.DataFrame:
    """Return the table of stays, checked, with the columns of STAY_COLUMNS.

    Raises InputError that names file, row and column at fault.
    """
    if table is None:
        stays = scan.frame(connection, "SELECT DISTINCT stay_id FROM raw ORDER BY stay_id")
        return stays.assign(subject_id=stays.stay_id, died=0, age=float("nan"), sex="", icu_type="", split="")
    required = ("stay_id", "subject_id", *(("died",) if request.labels else ()))
    optional = OPTIONAL if request.labels else ("died", *OPTIONAL)
    raw = scan.frame(connection, f"SELECT * FROM {table.sql(required, optional)} s", (table,))
    if raw.empty:
        raise InputError(f"{table.files[0]} holds no stay.", "Give it a row a stay.")
    texts = raw.fillna("").astype("str").apply(lambda column: column.str.strip())
    stays = pd.DataFrame({column: _whole(texts, table, column) for column in ("stay_id", "subject_id")})
    _refuse(texts, table, stays.stay_id.duplicated(), "stay_id", "is there twice")
    died = texts.died.str.lower().map(DIED)
    if request.labels:
        _refuse(texts, table, died.isna(), "died", "is neither 0 nor 1")
    age = pd.to_numeric(texts.age, errors="coerce").astype("float64")
    _refuse(texts, table, age.isna() & (texts.age != "") & (texts.age.str.lower() != "nan"), "age", "is no number")
    sex = texts.sex.str.lower().map(SEX)
    _refuse(texts, table, sex.isna() & (texts.sex != ""), "sex", "is neither F nor M, nor empty")
    _refuse(texts, table, ~texts.split.isin(("", *SPLITS)), "split", f"is none of {', '.join(SPLITS)}")
    facts = {"age": age, "sex": sex.fillna(""), "icu_type": texts.icu_type, "split": texts.split}
    return stays.assign(died=died.fillna(0) if request.labels else 0, **facts)


def _whole(texts: pd.DataFrame, table: Table, column: str) -> pd.Series:
    numbers = pd.to_numeric(texts[column], errors="coerce").astype("float64")
    _refuse(texts, table, numbers.isna() | (numbers % 1 != 0), column, "is no whole number")
    return numbers.astype("int64")


def _refuse(texts: pd.DataFrame, table: Table, bad: pd.Series, column: str, fault: str) -> None:
    if bad.any():
        stay, cell = texts.stay_id[bad].iloc[0], texts[column][bad].iloc[0]

        def matches(row: dict[str, str]) -> bool:
            return row["stay_id"].strip() == stay and row.get(column, "").strip() == cell

        raise InputError(f"{scan.locate(table, matches)}, column {column}: {cell!r} {fault}.", "Mend the row.")


def _strangers(connection, stays: pd.DataFrame, request: Request) -> tuple[str, ...]:
    """Return a note on stays with events that are in no row of the stays, none where there are none.

    Raises InputError where no event has a stay.
    """
    scan.store(connection, request.scratch, "listed", stays[["stay_id"]])
    sql = """
        SELECT count(*), count(l.stay_id) FROM (SELECT DISTINCT stay_id FROM raw) r
        LEFT JOIN listed l ON l.stay_id = r.stay_id
    """
    everyone, known = connection.execute(sql).fetchall()[0]
    if not known:
        problem = "No event belongs to a stay of the table of stays: no stay_id is in both tables."
        raise InputError(problem, "Check that both tables use the same stay_id.")
    note = f"{everyone - known:,} of {everyone:,} stays with events are not in the table of stays"
    return (note,) if known < everyone else ()


def _locate(table: Table, name: str, text: str) -> str:
    where = scan.locate(table, lambda row: row["variable"].strip() == name and row["value"].strip() == text)
    return f"{where}, column value"
