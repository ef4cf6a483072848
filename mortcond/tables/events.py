"""Events of any hospital -> stays and events.

Comes in: a folder with the tables `events` (stay_id, hours, variable, value; optional: unit, text) and `stays`
(stay_id, subject_id, died; optional: intime, age, sex, icu_type, split), each as CSV, CSV.gz or Parquet; or the file of
the events, with that of the stays beside it or given by --outcomes. Goes out: `Records`.

`hours` count from ICU admission; `minutes` may stand in their place, or `time`, a date and time, with `intime` in the
stays. `variable` is a name of the table of variables (or of its column `events`), `value` is in `unit`, without one in
that variable's unit; a category comes by its name or one of its spellings, in `text` or `value`. The largest of several
values at one time counts, so that the order of rows never matters; sums add up. All stays stay in that have an event in
the window.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, cells, event_columns, long, scan
from mortcond.tables.event_columns import TO_HOURS, Layout
from mortcond.tables.scan import Table
from mortcond.variables import Variables

OPTIONAL = ("age", "sex", "icu_type", "split")
SEX = {"f": "F", "female": "F", "m": "M", "male": "M"}
SPLITS = ("train", "val", "test")


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
    form = event_columns.layout(events_table, variables, names)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        if form.time == "time":
            _store_begins(connection, stays_table, request)
        notes = _load(connection, events_table, form, request)
        notes += long.ignored(connection, names)
        _refuse_unknown(connection, events_table, names, variables)
        stays = _stays(connection, stays_table, request)
        notes += _strangers(connection, stays, request)
        event_columns.refuse_unknown_units(connection, events_table, names, variables, form)
        notes += event_columns.ambiguous(connection, names, variables, form)
        locate = partial(_locate, events_table, form)
        events, left_out = long.write_events(connection, variables, names, request, form.reading, locate)
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


def _store_begins(connection, table: Table | None, request: Request) -> None:
    """Make the table `begins`: when each stay began, in seconds since 1970.

    Raises InputError where the stays do not tell.
    """
    if table is None or not table.has("intime"):
        where = f"{table.files[0]} has no column intime." if table else "There is no table of stays."
        raise InputError(f"{where} The events have times, and no hours since admission.", "Add intime to the stays.")
    rows = scan.frame(connection, f"SELECT stay_id, intime FROM {table.sql(('stay_id', 'intime'))} s", (table,))
    texts = rows.fillna("").astype("str").apply(lambda column: column.str.strip())
    begun, bad = cells.read(texts.intime, "seconds")
    _refuse(texts, table, bad | begun.isna(), "intime", f"is {cells.FORMS['seconds']}")
    begins = pd.DataFrame({"stay_id": _whole(texts, table, "stay_id"), "begun": begun.astype("float64")})
    scan.store(connection, request.scratch, "begins", begins)


def _load(connection, table: Table, form: Layout, request: Request) -> tuple[str, ...]:
    """Make the relation `raw` of the events, and `seen` of every row with a stay; return a note on what is left out.

    A row without a value tells that its stay is there; one without stay, time or variable tells nothing.
    """
    path = request.scratch / "loaded.parquet"
    copy = f"COPY ({form.sql(table)}) TO {scan.literal(path)} (FORMAT parquet)"
    scan.run(connection, copy, request.console, f"Reading {table.name}", (table,), form.kinds)
    begun, join = ("b.begun", "LEFT JOIN begins b ON b.stay_id = l.stay_id") if form.time == "time" else ("0", "")
    rows = f"""
        SELECT l.stay_id, (l.moment - {begun}) / {TO_HOURS[form.time]} AS hours, l.name, l.text
        FROM {scan.parquet_sql(path)} l {join} WHERE l.stay_id IS NOT NULL
    """
    connection.execute(f"CREATE VIEW seen AS {rows}")
    connection.execute(
        "CREATE VIEW raw AS SELECT * FROM seen WHERE text IS NOT NULL AND hours IS NOT NULL AND name IS NOT NULL"
    )
    lost = "text IS NOT NULL AND (stay_id IS NULL OR moment IS NULL OR name IS NULL)"
    count = connection.execute(f"SELECT count(*) FROM {scan.parquet_sql(path)} WHERE {lost}").fetchall()[0][0]
    return _incomplete(table, form, count, request) if count else ()


def _incomplete(table: Table, form: Layout, count: int, request: Request) -> tuple[str, ...]:
    """Return a note on rows that lack a stay, a time or a variable; raises InputError where the request is strict."""

    def incomplete(row: dict[str, str]) -> bool:
        placed = row["variable"].strip() and not any(cells.is_missing(row[name]) for name in form.kinds)
        return row["value"].strip() != "" and not placed

    where = scan.locate(table, incomplete)
    if request.strict:
        raise InputError(
            f"{where}: a row without stay_id, {form.time} or variable.", "Mend the row, or leave out --strict."
        )
    return (f"{count:,} rows without stay_id, {form.time} or variable left out; the first is {where}",)


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
        stays = scan.frame(connection, "SELECT DISTINCT stay_id FROM seen ORDER BY stay_id")
        return stays.assign(subject_id=stays.stay_id, died=0, age=float("nan"), sex="", icu_type="", split="")
    required = ("stay_id", "subject_id", *(("died",) if request.labels else ()))
    optional = OPTIONAL if request.labels else ("died", *OPTIONAL)
    raw = scan.frame(connection, f"SELECT * FROM {table.sql(required, optional)} s", (table,))
    if raw.empty:
        raise InputError(f"{table.files[0]} holds no stay.", "Give it a row a stay.")
    texts = raw.fillna("").astype("str").apply(lambda column: column.str.strip())
    stays = pd.DataFrame({column: _whole(texts, table, column) for column in ("stay_id", "subject_id")})
    _refuse(texts, table, stays.stay_id.duplicated(), "stay_id", "is there twice")
    age, no_age = cells.read(texts.age, "number")
    _refuse(texts, table, no_age, "age", "is no number")
    words = texts[["sex", "icu_type", "split"]].map(lambda text: "" if cells.is_missing(text) else text)
    sex = words.sex.str.lower().map(SEX)
    _refuse(texts, table, sex.isna() & (words.sex != ""), "sex", "is neither F nor M, nor empty")
    _refuse(texts, table, ~words.split.isin(("", *SPLITS)), "split", f"is none of {', '.join(SPLITS)}")
    facts = {"age": age, "sex": sex.fillna(""), "icu_type": words.icu_type, "split": words.split}
    return stays.assign(died=_died(texts, table) if request.labels else 0, **facts)


def _died(texts: pd.DataFrame, table: Table) -> pd.Series:
    died, bad = cells.read(texts.died, "flag")
    _refuse(texts, table, bad | texts.died.map(cells.is_missing), "died", "is neither 0 nor 1")
    return died.astype("uint8")


def _whole(texts: pd.DataFrame, table: Table, column: str) -> pd.Series:
    numbers, bad = cells.read(texts[column], "whole")
    _refuse(texts, table, bad | numbers.isna(), column, f"is {cells.FORMS['whole']}")
    return numbers.astype("int64")


def _refuse(texts: pd.DataFrame, table: Table, bad: pd.Series, column: str, fault: str) -> None:
    if bad.any():
        stay, cell = texts.stay_id[bad].iloc[0], texts[column][bad].iloc[0]

        def matches(row: dict[str, str]) -> bool:
            return row.get("stay_id", "").strip() == stay and row.get(column, "").strip() == cell

        raise InputError(f"{scan.locate(table, matches)}, column {column}: {cell!r} {fault}.", "Mend the row.")


def _strangers(connection, stays: pd.DataFrame, request: Request) -> tuple[str, ...]:
    """Return a note on stays with events that are in no row of the stays, none where there are none.

    Raises InputError where no event has a stay.
    """
    scan.store(connection, request.scratch, "listed", stays[["stay_id"]])
    sql = """
        SELECT count(*), count(l.stay_id) FROM (SELECT DISTINCT stay_id FROM seen) r
        LEFT JOIN listed l ON l.stay_id = r.stay_id
    """
    everyone, known = connection.execute(sql).fetchall()[0]
    if not known:
        problem = "No event belongs to a stay of the table of stays: no stay_id is in both tables."
        raise InputError(problem, "Check that both tables use the same stay_id.")
    note = f"{everyone - known:,} of {everyone:,} stays with events are not in the table of stays"
    return (note,) if known < everyone else ()


def _locate(table: Table, form: Layout, name: str, text: str) -> str:
    where = scan.locate(table, lambda row: row["variable"].strip() == name and form.text(row) == text)
    return f"{where}, column value"
