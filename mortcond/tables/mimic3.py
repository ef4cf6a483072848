"""MIMIC-III tables -> stays and events, by the rules of the public benchmark (Harutyunyan et al. 2019).

Comes in: a folder with ADMISSIONS, PATIENTS, ICUSTAYS, DIAGNOSES_ICD, D_ICD_DIAGNOSES, CHARTEVENTS, LABEVENTS and,
where a variable needs it, OUTPUTEVENTS. Goes out: `Records`. The cohort is made in mimic3_cohort; here is the way of
the events: scan (keep the items and admissions that count), clean (each distinct text once), settle (several values at
one time; which stay a time belongs to).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Records, Request, mimic3_cohort, scan
from mortcond.tables.gcs import with_total
from mortcond.tables.scan import Table, literal, parquet_sql
from mortcond.variables import Variable, Variables
from mortcond.variables.cleaning import by_text, clean

EVENT_TABLES = {  # table: (columns, the column that flags an error)
    "CHARTEVENTS": (("subject_id", "hadm_id", "icustay_id", "charttime", "itemid", "value", "valueuom"), "error"),
    "LABEVENTS": (("subject_id", "hadm_id", "charttime", "itemid", "value", "valueuom"), None),
    "OUTPUTEVENTS": (("subject_id", "hadm_id", "icustay_id", "charttime", "itemid", "value", "valueuom"), "iserror"),
}
PARSED = {"subject_id": "number", "hadm_id": "number", "icustay_id": "number", "charttime": "date"}
# The benchmark runs under pandas 1.5, whose texts for a missing value these are; "None" is not among them.
MISSING = frozenset(
    """
    #N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|n/a|nan|null
    """.strip().split("|")
)
TOLERANCE_SECONDS = 0.0036  # the benchmark's 1e-6 hours at both ends of the window


@dataclass(frozen=True)
class Item:
    """One id of the source: which variable it measures, and in which unit if the source does not write it."""

    item: str
    variable: int
    unit: str
    keep_flagged: bool  # rows that the source flags as errors


def detect(source: Path) -> bool:
    """Say whether a folder holds MIMIC-III tables: ICUSTAYS with CHARTEVENTS."""
    return source.is_dir() and all(any(scan.table_files(source, name)) for name in ("ICUSTAYS", "CHARTEVENTS"))


def read(source: Path, variables: Variables, request: Request) -> Records:
    """Read MIMIC-III tables; see `tables.read`."""
    items = [
        Item(item, index, variable.item_units.get(item, ""), variable.flagged == "keep")
        for index, variable in enumerate(variables)
        for item in variable.items("mimic3")
    ]
    if not items:
        raise InputError(f"The variables {variables.name} name no items of mimic3.", "Add the column mimic3.")
    tables = {name: scan.require(source, name) for name in ("CHARTEVENTS", "LABEVENTS")}
    outputs = scan.find(source, "OUTPUTEVENTS")
    tables |= {"OUTPUTEVENTS": outputs} if outputs else {}
    with scan.connect(request.scratch, request.memory_limit, request.threads) as connection:
        cohort = mimic3_cohort.read(connection, source, request)
        scan.store(connection, request.scratch, "kept", _kept(cohort.root))
        _scan(connection, tables, items, request)
        notes = _clean(connection, tables, items, variables, request)
        connection.execute(f"CREATE TABLE settled AS {_lone_sql(request)} UNION ALL {_shared_sql(request)}")
        _refuse_unknown_words(connection, tables, items, variables)
        events = _write_events(connection, variables, request)
        with_events = _stay_ids(connection, "hits")
        in_window = _stay_ids(connection, parquet_sql(events))
    stays, attrition, dropped = mimic3_cohort.finish(cohort, with_events, in_window, request)
    files = tuple(path for table in (*cohort.tables, *tables.values()) for path in table.files)
    return Records("mimic3", stays, events, attrition, dropped, notes, files)


def _kept(root: pd.DataFrame) -> pd.DataFrame:
    """Return ids and times of the root stays, and whether a stay is the only one of its subject."""
    alone = ~root.subject_id.duplicated(keep=False)
    return root[["subject_id", "hadm_id", "stay_id", "intime", "outtime", "eligible"]].assign(alone=alone)


def _scan(connection, tables: dict[str, Table], items: list[Item], request: Request) -> None:
    """Write the rows of all event tables that belong to a root stay and a variable to `hits.parquet`.

    Of the rows with an admission of a root stay, those with another ICU stay go, and those with none (all laboratory
    values) belong to the admission's stay.
    """
    rows = [(ref, item.item, item.keep_flagged) for ref, item in enumerate(items)]
    scan.store(connection, request.scratch, "items", pd.DataFrame(rows, columns=["ref", "item", "keep_flagged"]))
    hits = request.scratch / "hits"
    hits.mkdir()
    for name, table in tables.items():
        sql = f"COPY ({_scan_sql(name, table)}) TO {literal(hits / f'{name}.parquet')} (FORMAT parquet)"
        scan.run(connection, sql, request.console, f"Reading {name}", (table,), PARSED)
    connection.execute(f"CREATE VIEW hits AS SELECT * FROM {parquet_sql(*sorted(hits.iterdir()))}")


def _scan_sql(name: str, table: Table) -> str:
    columns, flag = EVENT_TABLES[name]
    stay = "e.icustay_id" if "icustay_id" in columns else "NULL"
    unflagged = f"AND (i.keep_flagged OR e.{flag} IS NULL OR e.{flag} <> '1')" if flag else ""
    return f"""
        SELECT k.subject_id, k.stay_id, extract(epoch FROM CAST(e.charttime AS TIMESTAMP)) AS seconds,
               i.ref, e.value, coalesce(e.valueuom, '') AS unit
        FROM {table.sql(columns, optional=(flag,) if flag else ())} AS e
        JOIN items AS i ON i.item = e.itemid
        JOIN kept AS k ON k.subject_id = {_integer("e.subject_id")} AND k.hadm_id = {_integer("e.hadm_id")}
        WHERE e.value IS NOT NULL AND e.charttime IS NOT NULL
          AND ({stay} IS NULL OR {_integer(stay)} = k.stay_id) {unflagged}
    """


def _integer(column: str) -> str:
    return f"CAST(CAST({column} AS DOUBLE) AS BIGINT)"  # other programs write ids with gaps as 142345.0


def _clean(connection, tables: dict[str, Table], items: list[Item], variables: Variables, request: Request) -> tuple:
    """Clean each distinct (item, text, unit) of the hits once, into the tables `meaning` and `words`; return notes.

    `meaning` gives the variable and the rank of such a text: of several values at one time the highest rank counts.
    The rank of a number is the number itself; where text order decides, the place in that order, which `words` leads
    back to the number. `part` keeps apart what is to be summed.
    """
    distinct = "SELECT DISTINCT ref, value, unit FROM hits"
    connection.execute(f"CREATE TABLE texts AS SELECT row_number() OVER () AS id, d.* FROM ({distinct}) d")
    numbers, worded, ignored = [], [], {}
    for id, ref, text, unit in _rows(connection, "SELECT id, ref, value, unit FROM texts"):
        item = items[ref]
        variable = variables[item.variable]
        value = None if text in MISSING else _value(variable, text, f"{unit} {item.unit}", item, tables)
        if value is None:
            ignored.setdefault(variable.name, set()).add(text)
        elif by_text(variable):
            worded.append((id, item.variable, text, value))
        else:
            numbers.append((id, item.variable, ref if variable.aggregate == "sum" else -1, value))
    order = {text: float(place) for place, text in enumerate(sorted({text for _, _, text, _ in worded}))}
    numbers += [(id, variable, -1, order[text]) for id, variable, text, _ in worded]
    words = {(variable, text): (order[text], value) for _, variable, text, value in worded}
    _store(connection, request, "ranks", ["id", "variable", "part", "rank"], numbers)
    rows = [(variable, text, *word) for (variable, text), word in words.items()]
    _store(connection, request, "words", ["variable", "text", "rank", "value"], rows)
    meaning = "SELECT t.ref, t.value, t.unit, r.variable, r.part, r.rank FROM texts t JOIN ranks r ON r.id = t.id"
    connection.execute(f"CREATE TABLE meaning AS {meaning}")
    return tuple(_note(name, texts) for name, texts in sorted(ignored.items()))


def _rows(connection, sql: str) -> Iterator[tuple]:
    cursor = connection.execute(sql)
    while rows := cursor.fetchmany(100_000):
        yield from rows


def _store(connection, request: Request, name: str, columns: list[str], rows: list[tuple]) -> None:
    kinds = {"rank": "float64", "value": "float64", "text": "str"}
    frame = pd.DataFrame(rows, columns=columns).astype({column: kinds.get(column, "int64") for column in columns})
    scan.store(connection, request.scratch, name, frame)


def _value(variable: Variable, text: str, unit: str, item: Item, tables: dict[str, Table]) -> float | None:
    """Clean a text; one that the text order ranks and that means nothing is NaN, an error only if it is ever used."""
    try:
        return clean(variable, text, unit)
    except ValueError as error:
        if by_text(variable):
            return math.nan
        raise _fault(tables, {item.item}, variable, text, error) from None


def _refuse_unknown_words(connection, tables: dict[str, Table], items: list[Item], variables: Variables) -> None:
    """Raise InputError where a settled event is a text that is no number, or no category, of its variable."""
    sql = """
        SELECT s.variable, min(w.text) FROM settled s JOIN words w ON w.variable = s.variable AND w.rank = s.rank
        WHERE w.value IS NULL GROUP BY s.variable ORDER BY s.variable
    """
    for index, text in connection.execute(sql).fetchall():
        ids = {item.item for item in items if item.variable == index}
        kind = "category" if variables[index].categories else "number"
        raise _fault(tables, ids, variables[index], text, f"{text!r} is no {kind}")


def _fault(tables: dict[str, Table], ids: set[str], variable: Variable, text: str, fault) -> InputError:
    found = (
        scan.locate(table, lambda r: r.get("itemid") in ids and r.get("value") == text) for table in tables.values()
    )
    where = next(filter(None, found), " or ".join(tables))
    problem = f"{where}, column VALUE: {fault} ({variable.name})."
    return InputError(problem, "Mend the row, or take the item out of the table of variables.")


def _note(name: str, texts: set[str]) -> str:
    examples = ", ".join(repr(text) for text in sorted(texts)[:3]) + ", ..." * (len(texts) > 3)
    return f"{name}: left out as no measurement, or outside the plausible range: {examples}"


def _write_events(connection, variables: Variables, request: Request) -> Path:
    """Write the settled events, a value for each stay, time and variable; return the Parquet file."""
    valued = """
        SELECT s.stay_id, s.seconds, s.variable, coalesce(w.value, s.rank) AS value
        FROM settled s LEFT JOIN words w ON w.variable = s.variable AND w.rank = s.rank
    """
    connection.execute(f"CREATE VIEW valued AS {_summed(valued, variables)}")
    path = request.scratch / "events.parquet"
    events = f"""
        SELECT stay_id, seconds / 3600 AS hours, CAST(variable AS INTEGER) AS variable, value
        FROM ({with_total("valued", "seconds", variables)}) v ORDER BY stay_id
    """
    scan.run(connection, f"COPY ({events}) TO {literal(path)} (FORMAT parquet)", request.console, "Settling events")
    return path


def _inside(request: Request) -> str:
    """Return the condition that a time of `h` is in the window of stay `k`, and that the task may take that stay."""
    end = request.window_hours * 3600 + TOLERANCE_SECONDS
    return f"k.eligible AND h.seconds - k.intime > -{TOLERANCE_SECONDS} AND h.seconds - k.intime < {end}"


def _lone_sql(request: Request) -> str:
    """Return the settled events of subjects with one stay: of several values at one time the highest rank counts."""
    return f"""
        SELECT k.stay_id, h.seconds - k.intime AS seconds, m.variable, m.part, max(m.rank) AS rank
        FROM hits h JOIN kept k ON k.stay_id = h.stay_id
        JOIN meaning m ON m.ref = h.ref AND m.value = h.value AND m.unit = h.unit
        WHERE k.alone AND {_inside(request)}
        GROUP BY k.stay_id, h.seconds - k.intime, m.variable, m.part
    """


def _shared_sql(request: Request) -> str:
    """Return the settled events of subjects with several stays.

    They are settled before stays are told apart. A time belongs to a stay if any event of the subject at that time was
    recorded under it, or if it lies within the stay.
    """
    return f"""
        (WITH cleaned AS (
            SELECT h.subject_id, h.stay_id, h.seconds, m.variable, m.part, m.rank
            FROM hits h JOIN kept k ON k.stay_id = h.stay_id
            JOIN meaning m ON m.ref = h.ref AND m.value = h.value AND m.unit = h.unit
            WHERE NOT k.alone
        ), members AS (
            SELECT subject_id, seconds, stay_id FROM cleaned
            UNION
            SELECT c.subject_id, c.seconds, k.stay_id FROM cleaned c
            JOIN kept k ON k.subject_id = c.subject_id AND c.seconds >= k.intime AND c.seconds <= k.outtime
        )
        SELECT k.stay_id, h.seconds - k.intime AS seconds, h.variable, h.part, h.rank
        FROM (SELECT subject_id, seconds, variable, part, max(rank) AS rank FROM cleaned
              GROUP BY subject_id, seconds, variable, part) h
        JOIN members b ON b.subject_id = h.subject_id AND b.seconds = h.seconds
        JOIN kept k ON k.stay_id = b.stay_id
        WHERE {_inside(request)})
    """


def _summed(valued: str, variables: Variables) -> str:
    """Add up the parts of variables that are sums, such as urine from several drains at one time."""
    if all(variable.aggregate != "sum" for variable in variables):
        return valued
    by = "stay_id, seconds, variable"
    return f"SELECT {by}, sum(value) AS value FROM ({valued}) p GROUP BY {by}"


def _stay_ids(connection, relation: str) -> set[int]:
    return {row[0] for row in connection.execute(f"SELECT DISTINCT stay_id FROM {relation}").fetchall()}
