"""MIMIC tables of any version -> `Records`; what the versions call their things is a `Form`.

Comes in: a folder with the tables, and the form. Goes out: `Records`. The cohort is the form's own; here the big tables
are scanned for the rows of its stays and of the items that count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mortcond.tables import Records, Request, charted, mimic3_cohort, scan
from mortcond.tables.charted import AS_BENCHMARK, Rules
from mortcond.tables.scan import Table, literal, parquet_sql
from mortcond.variables import Variables


@dataclass(frozen=True)
class EventTable:
    """A big table of events: its columns, by their names in this version."""

    stay: str | None  # the ICU stay; None: the table does not say it
    flag: str | None  # what marks a row as an error
    required: bool = True


@dataclass(frozen=True)
class Form:
    """A version of MIMIC."""

    name: str  # of tables.FORMATS
    items: tuple[str, ...]  # the columns of the table of variables that hold its ids, the first one with any counts
    events: dict[str, EventTable]
    find: Callable[[Path, str], Table | None]
    cohort: Callable  # (connection, source, request) -> mimic3_cohort.Cohort
    rules: Rules = AS_BENCHMARK


def read(form: Form, source: Path, variables: Variables, request: Request) -> Records:
    """Read MIMIC tables; see `tables.read`."""
    items = charted.items_of(variables, *form.items)
    tables = _event_tables(form, source)
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        cohort = form.cohort(connection, source, request)
        charted.store_kept(connection, cohort.root, request)
        charted.store_items(connection, items, request)
        _scan(connection, form, tables, request)
        locate = partial(_locate, tables)
        settled = charted.settle(connection, items, variables, request, locate, form.rules)
    stays, attrition, dropped = mimic3_cohort.finish(cohort, settled.with_events, settled.in_window, request)
    files = tuple(path for table in (*cohort.tables, *tables.values()) for path in table.files)
    return Records(form.name, stays, settled.events, attrition, dropped, cohort.notes + settled.notes, files)


def _event_tables(form: Form, source: Path) -> dict[str, Table]:
    found = {name: form.find(source, name) for name in form.events}
    for name, table in found.items():
        if table is None and form.events[name].required:
            raise scan.absent(source, name)
    return {name: table for name, table in found.items() if table is not None}


def _scan(connection, form: Form, tables: dict[str, Table], request: Request) -> None:
    """Make the view `hits` of the rows of all event tables that belong to a root stay and a variable.

    Of the rows with an admission of a root stay, those with another ICU stay go, and those with none (all laboratory
    values) belong to the admission's stay.
    """
    hits = request.scratch / "hits"
    hits.mkdir()
    parsed = dict.fromkeys(("subject_id", "hadm_id", "icustay_id", "stay_id"), "number") | {"charttime": "date"}
    for name, table in tables.items():
        sql = f"COPY ({_scan_sql(form.events[name], table)}) TO {literal(hits / f'{name}.parquet')} (FORMAT parquet)"
        scan.run(connection, sql, request.console, f"Reading {name}", (table,), parsed)
    connection.execute(f"CREATE VIEW hits AS SELECT * FROM {parquet_sql(*sorted(hits.iterdir()))}")


def _scan_sql(event: EventTable, table: Table) -> str:
    columns = ("subject_id", "hadm_id", "charttime", "itemid", "value", "valueuom", *filter(None, [event.stay]))
    stay = f"e.{event.stay}" if event.stay else "NULL"
    unflagged = f"AND (i.keep_flagged OR e.{event.flag} IS NULL OR e.{event.flag} <> '1')" if event.flag else ""
    return f"""
        SELECT k.subject_id, k.stay_id, extract(epoch FROM CAST(e.charttime AS TIMESTAMP)) AS seconds,
               i.ref, e.value, coalesce(e.valueuom, '') AS unit
        FROM {table.sql(columns, optional=(event.flag,) if event.flag else ())} AS e
        JOIN items AS i ON i.item = e.itemid
        JOIN kept AS k ON k.subject_id = {_integer("e.subject_id")} AND k.hadm_id = {_integer("e.hadm_id")}
        WHERE e.value IS NOT NULL AND e.charttime IS NOT NULL
          AND ({stay} IS NULL OR {_integer(stay)} = k.stay_id) {unflagged}
    """


def _integer(column: str) -> str:
    return f"CAST(CAST({column} AS DOUBLE) AS BIGINT)"  # other programs write ids with gaps as 142345.0


def _locate(tables: dict[str, Table], ids: set[str], text: str) -> str:
    found = (
        scan.locate(table, lambda r: r.get("itemid") in ids and r.get("value") == text) for table in tables.values()
    )
    return f"{next(filter(None, found), ' or '.join(tables))}, column VALUE"
