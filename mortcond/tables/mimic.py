"""MIMIC tables of any version -> `Records`; what the versions call their things is a `Form`.

Comes in: a folder with the tables, and the form. Goes out: `Records`. The cohort is the form's own; here the big tables
are scanned for the rows of its stays and of the items that count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mortcond.tables import Records, Request, cells, charted, elsewhere, mimic3_cohort, scan, zones
from mortcond.tables.charted import AS_BENCHMARK, Rules
from mortcond.tables.scan import Table, literal, parquet_sql
from mortcond.variables import Variables


@dataclass(frozen=True)
class EventTable:
    """A big table of events: its columns, by their names in this version."""

    stay: str | None  # the ICU stay; None: the table does not say it
    flag: str | None  # what marks a row as an error
    required: bool = True
    module: str = "icu"  # of MIMIC-IV: icu or hosp


@dataclass(frozen=True)
class SmallTable:
    """A table that the cohort is made of."""

    columns: tuple[str, ...]
    unlabelled: bool = False  # whether it is needed without outcomes too
    optional: bool = False


SCANNED = {"scan": EventTable(stay="stay_id", flag="flag")}  # all event tables in one, as the portable statement gives


@dataclass(frozen=True)
class Form:
    """A version of MIMIC."""

    name: str  # of tables.FORMATS
    items: tuple[str, ...]  # the columns of the table of variables that hold its ids, the first one with any counts
    events: dict[str, EventTable]
    find: Callable[[Path, str], Table | None]
    cohort: Callable  # (connection, source, request) -> mimic3_cohort.Cohort
    small: dict[str, SmallTable]
    rules: Rules = AS_BENCHMARK


def read(form: Form, source: Path, variables: Variables, request: Request) -> Records:
    """Read MIMIC tables; see `tables.read`."""
    items = charted.items_of(variables, *form.items)
    engine = request.engine
    folder = elsewhere.small_tables(form, engine, request) if engine else source
    tables = {} if engine or request.scanned else _event_tables(form, folder)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        cohort = form.cohort(connection, folder, request)
        charted.store_kept(connection, cohort.root, request)
        charted.store_items(connection, items, request)
        if engine:
            tables = {"scan": elsewhere.scanned_by(form, engine, cohort.root.hadm_id, items, request)}
        elif request.scanned:
            tables = {"scan": elsewhere.rows_of(request.scanned)}
        zoned = zones.checked(connection, (*cohort.tables, *tables.values()))
        _scan(connection, SCANNED if engine or request.scanned else form.events, tables, request)
        locate = partial(_locate, tables)
        settled = charted.settle(connection, items, variables, request, locate, form.rules)
    stays, attrition, dropped = mimic3_cohort.finish(cohort, settled.with_events, settled.in_window, request)
    files = tuple(path for table in (*cohort.tables, *tables.values()) for path in table.files)
    origin = f"{source} on {engine.where}" if engine else ""
    notes = cohort.notes + zoned + settled.notes
    known = {"notes": notes, "files": () if engine else files, "origin": origin}
    return Records(form.name, stays, settled.events, attrition, dropped, **known)


def statement(
    form: Form, source: Path, variables: Variables, request: Request, dialect: str, schemas: tuple[str, ...]
) -> str:
    """Return the portable scan for the cohort of the small tables in `source`; see `elsewhere.printed`."""
    items = charted.items_of(variables, *form.items)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        cohort = form.cohort(connection, source, request)
    return elsewhere.printed(form, cohort.root.hadm_id, items, dialect, schemas)


def _event_tables(form: Form, source: Path) -> dict[str, Table]:
    found = {name: form.find(source, name) for name in form.events}
    for name, table in found.items():
        if table is None and form.events[name].required:
            raise scan.absent(source, name)
    return {name: table for name, table in found.items() if table is not None}


def _scan(connection, events: dict[str, EventTable], tables: dict[str, Table], request: Request) -> None:
    """Make the view `hits` of the rows of all event tables that belong to a root stay and a variable.

    Of the rows with an admission of a root stay, those with another ICU stay go, and those with none (all laboratory
    values) belong to the admission's stay.
    """
    hits = request.scratch / "hits"
    hits.mkdir()
    ids = ("subject_id", "hadm_id", "icustay_id", "stay_id", "itemid")
    for name, table in tables.items():
        sql = f"COPY ({_scan_sql(events[name], table)}) TO {literal(hits / f'{name}.parquet')} (FORMAT parquet)"
        kinds = dict.fromkeys(ids, "whole") | {"charttime": "seconds"}
        kinds |= {events[name].flag: "flag"} if events[name].flag else {}
        scan.run(connection, sql, request.console, f"Reading {name}", (table,), kinds)
    rows = f"SELECT * FROM {parquet_sql(*sorted(hits.iterdir()))} WHERE seconds IS NOT NULL"
    connection.execute(f"CREATE VIEW hits AS {rows}")


def _scan_sql(event: EventTable, table: Table) -> str:
    columns = ("subject_id", "hadm_id", "charttime", "itemid", "value", "valueuom", *filter(None, [event.stay]))
    seconds = cells.seconds_sql("e.charttime", cells.raising("e.charttime", "seconds"))
    return f"""
        SELECT k.subject_id, k.stay_id, {seconds} AS seconds, i.ref, e.value, coalesce(e.valueuom, '') AS unit
        FROM {table.sql(columns, optional=(event.flag,) if event.flag else ())} AS e
        JOIN items AS i ON i.item_id = {_key("e.itemid")}
        JOIN kept AS k ON k.subject_id = {_key("e.subject_id")} AND k.hadm_id = {_key("e.hadm_id")}
        WHERE e.value IS NOT NULL {_of_stay(event)} {_unflagged(event)}
    """


def _of_stay(event: EventTable) -> str:
    if event.stay is None:
        return ""
    cell = f"e.{event.stay}"
    return f"AND ({cell} IS NULL OR {cell} = k.stay_text OR coalesce({_key(cell)}, k.stay_id) = k.stay_id)"


def _key(cell: str) -> str:
    return cells.whole_sql(cell, cells.raising(cell, "whole"))


def _unflagged(event: EventTable) -> str:
    cell = f"e.{event.flag}"
    return f"AND (i.keep_flagged OR NOT {cells.flag_sql(cell, cells.raising(cell, 'flag'))})" if event.flag else ""


def _locate(tables: dict[str, Table], ids: set[str], text: str) -> str:
    def matches(row: dict[str, str]) -> bool:
        return row.get("value") == text and any(cells.same(row.get("itemid", ""), int(item)) for item in ids)

    found = (scan.locate(table, matches) for table in tables.values())
    return f"{next(filter(None, found), ' or '.join(tables))}, column VALUE"
