"""Charted events -> settled events, by the rules of the public benchmark (Harutyunyan et al. 2019).

Comes in: `hits`, a relation of the rows that belong to a stay of the cohort and to an item, and `kept`, the stays. Goes
out: a Parquet file of events. All sources that chart as MIMIC does come by here: each distinct text is cleaned once,
several values at one time are settled, and it is found out which stay a time belongs to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import Request, gcs, scan
from mortcond.tables.left_out import LeftOut
from mortcond.tables.scan import literal, parquet_sql
from mortcond.variables import Variables
from mortcond.variables.cleaning import Reading, by_text, examine, spelling

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


@dataclass(frozen=True)
class Rules:
    """In what the sources differ, once their rows are hits; as it is, the benchmark's rules for MIMIC-III."""

    early: bool = False  # a variable's early_hours count: what was charted so long before admission is known at hour 0
    points: bool = False  # the Glasgow coma scale may come as points instead of words


@dataclass(frozen=True)
class Settled:
    """What becomes of the hits."""

    events: Path
    with_events: set[int]  # stays that have any event
    in_window: set[int]  # stays that have one in the window
    notes: tuple[str, ...]


AS_BENCHMARK = Rules()
Locate = Callable[[set[str], str], str]  # item ids, a text -> "file, row n, column c" of the first such row


def items_of(variables: Variables, *sources: str) -> list[Item]:
    """Return the items of all variables: those of the first of `sources` that a variable has any of.

    Raises InputError where there are none.
    """
    items = [
        Item(item, index, variable.item_units.get(item, ""), variable.flagged == "keep")
        for index, variable in enumerate(variables)
        for item in next(filter(None, map(variable.items, sources)), ())
    ]
    if not items:
        raise InputError(
            f"The variables {variables.name} name no items of {sources[0]}.", f"Add a column {sources[0]}."
        )
    return items


def store_items(connection, items: list[Item], request: Request) -> None:
    """Make the table `items`: the place of each in the list, its id as text and number, whether flagged rows count."""
    rows = [(ref, item.item, int(item.item), item.keep_flagged) for ref, item in enumerate(items)]
    columns = ["ref", "item", "item_id", "keep_flagged"]
    scan.store(connection, request.scratch, "items", pd.DataFrame(rows, columns=columns))


def store_kept(connection, root: pd.DataFrame, request: Request) -> None:
    """Make the table `kept`: ids (also as text) and times of the stays, and whether one is the only one of its subject.

    root: subject_id, hadm_id, stay_id, intime and outtime (seconds since 1970), eligible (the task may take the stay).
    """
    alone = ~root.subject_id.duplicated(keep=False)
    kept = root[["subject_id", "hadm_id", "stay_id", "intime", "outtime", "eligible"]].assign(alone=alone)
    texts = {name.replace("_id", "_text"): kept[name].astype("str") for name in ("subject_id", "hadm_id", "stay_id")}
    scan.store(connection, request.scratch, "kept", kept.assign(**texts))


def settle(
    connection, items: list[Item], variables: Variables, request: Request, locate: Locate, rules: Rules = AS_BENCHMARK
) -> Settled:
    """Clean and settle the relation `hits` (subject_id, stay_id, seconds since 1970, ref, value, unit) of `kept`.

    Raises InputError where a text is no value and the request is strict.
    """
    notes = _clean(connection, items, variables, request, locate, rules)
    _opens(connection, variables, request, rules)
    connection.execute(f"CREATE TABLE settled AS {_lone_sql(request)}")
    connection.execute(f"INSERT INTO settled {_shared_sql(request)}")
    notes += _known_at_admission(connection, variables) if rules.early else ()
    events = _write_events(connection, variables, request)
    return Settled(events, _stay_ids(connection, "hits"), _stay_ids(connection, parquet_sql(events)), notes)


def early_seconds(variables: Variables) -> dict[int, int]:
    """Return how long before admission each variable is taken, of those that are taken earlier than at admission."""
    return {i: round(variable.early_hours * 3600) for i, variable in enumerate(variables) if variable.early_hours}


def _clean(
    connection, items: list[Item], variables: Variables, request: Request, locate: Locate, rules: Rules
) -> tuple[str, ...]:
    """Clean each distinct (item, text, unit) of the hits once, into the tables `meaning` and `words`; return notes.

    `meaning` gives the variable and the rank of such a text: of several values at one time the highest rank counts.
    The rank of a number is the number itself; where text order decides, the place in that order, which `words` leads
    back to the number. `part` keeps apart what is to be summed.
    """
    distinct = "SELECT ref, value, unit, count(*) AS rows FROM hits GROUP BY ref, value, unit"
    connection.execute(f"CREATE TABLE texts AS SELECT row_number() OVER () AS id, d.* FROM ({distinct}) d")
    numbers, worded, left_out = [], [], LeftOut(request.strict)
    for id, ref, text, unit, count in _rows(connection, "SELECT id, ref, value, unit, rows FROM texts"):
        item = items[ref]
        variable = variables[item.variable]
        word = gcs.word(item.item, text) if rules.points and variable.categories else text
        reading = Reading(None, "text") if text in MISSING else examine(variable, word, f"{unit} {item.unit}")
        if reading.value is None:
            left_out.add(variable, text, reading, count, partial(locate, {item.item}, text))
        elif by_text(variable):
            word = spelling(variable, word) if variable.categories else word
            worded.append((id, item.variable, word, reading.value))
        else:
            numbers.append((id, item.variable, ref if variable.aggregate == "sum" else -1, reading.value))
    order = {text: float(place) for place, text in enumerate(sorted({text for _, _, text, _ in worded}))}
    numbers += [(id, variable, -1, order[text]) for id, variable, text, _ in worded]
    words = {(variable, text): (order[text], value) for _, variable, text, value in worded}
    _store(connection, request, "ranks", ["id", "variable", "part", "rank"], numbers)
    rows = [(variable, text, *word) for (variable, text), word in words.items()]
    _store(connection, request, "words", ["variable", "text", "rank", "value"], rows)
    meaning = "SELECT t.ref, t.value, t.unit, r.variable, r.part, r.rank FROM texts t JOIN ranks r ON r.id = t.id"
    connection.execute(f"CREATE TABLE meaning AS {meaning}")
    return left_out.notes() + (_ambiguous(connection, items, variables) if rules.points else ())


def _rows(connection, sql: str) -> Iterator[tuple]:
    cursor = connection.execute(sql)
    while rows := cursor.fetchmany(100_000):
        yield from rows


def _store(connection, request: Request, name: str, columns: list[str], rows: list[tuple]) -> None:
    kinds = {"rank": "float64", "value": "float64", "text": "str"}
    frame = pd.DataFrame(rows, columns=columns).astype({column: kinds.get(column, "int64") for column in columns})
    scan.store(connection, request.scratch, name, frame)


def _ambiguous(connection, items: list[Item], variables: Variables) -> tuple[str, ...]:
    """Say of how many values it is not known which word their points stand for, and which was taken."""
    counted: dict[tuple[int, str, str], int] = {}
    refs = ", ".join(str(ref) for ref, item in enumerate(items) if item.item in gcs.ITEMS) or "-1"
    sql = f"SELECT ref, value, count(*) FROM hits WHERE ref IN ({refs}) GROUP BY ref, value"
    for ref, text, count in connection.execute(sql).fetchall():
        other = gcs.other_meaning(items[ref].item, text)
        if other:
            key = (items[ref].variable, gcs.word(items[ref].item, text), other)
            counted[key] = counted.get(key, 0) + count
    return tuple(
        f"{variables[index].name}: the points of {count:,} values mean {word!r} or {other!r}; taken as {word!r}"
        for (index, word, other), count in sorted(counted.items())
    )


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
        FROM ({gcs.with_total("valued", "seconds", variables)}) v ORDER BY stay_id
    """
    scan.run(connection, f"COPY ({events}) TO {literal(path)} (FORMAT parquet)", request.console, "Settling events")
    return path


def _known_at_admission(connection, variables: Variables) -> tuple[str, ...]:
    """Move the last value that was charted before or at admission to hour 0, for the variables that are taken early."""
    listed = ", ".join(map(str, early_seconds(variables))) or "-1"
    early = f"variable IN ({listed}) AND seconds <= 0"
    moved = connection.execute(f"SELECT count(DISTINCT (stay_id, variable)) FROM settled WHERE {early} AND seconds < 0")
    count = moved.fetchall()[0][0]
    connection.execute(f"""
        CREATE TABLE earliest AS SELECT s.* FROM settled s
        JOIN (SELECT stay_id, variable, max(seconds) AS seconds FROM settled WHERE {early} GROUP BY stay_id, variable) l
          ON l.stay_id = s.stay_id AND l.variable = s.variable AND l.seconds = s.seconds
    """)
    connection.execute(f"DELETE FROM settled WHERE {early}")
    connection.execute("INSERT INTO settled SELECT stay_id, 0 AS seconds, variable, part, rank FROM earliest")
    names = " and ".join(f"{variables[i].name} ({variables[i].early_hours:g} h)" for i in early_seconds(variables))
    note = f"{count:,} values charted before ICU admission count as known at hour 0: {names}"
    return (note,) if count else ()


def _opens(connection, variables: Variables, request: Request, rules: Rules) -> None:
    """Make the table `opens`: for each variable, when its window opens, in seconds since admission."""
    early = early_seconds(variables) if rules.early else {}
    rows = [(index, -early.get(index, 0)) for index in range(len(variables))]
    scan.store(connection, request.scratch, "opens", pd.DataFrame(rows, columns=["variable", "opening"]))


def _inside(seconds: str, request: Request) -> str:
    """Return the condition that a time since admission is in the window of its variable, whose opening is `o`."""
    end = request.window_hours * 3600 + TOLERANCE_SECONDS
    return f"{seconds} > o.opening - {TOLERANCE_SECONDS} AND {seconds} < {end}"


def _lone_sql(request: Request) -> str:
    """Return the settled events of subjects with one stay: of several values at one time the highest rank counts."""
    return f"""
        SELECT h.stay_id, h.seconds, m.variable, m.part, max(m.rank) AS rank
        FROM (SELECT k.stay_id, h.seconds - k.intime AS seconds, h.ref, h.value, h.unit
              FROM hits h JOIN kept k ON k.stay_id = h.stay_id WHERE k.alone AND k.eligible) h
        JOIN meaning m ON m.ref = h.ref AND m.value = h.value AND m.unit = h.unit
        JOIN opens o ON o.variable = m.variable
        WHERE {_inside("h.seconds", request)}
        GROUP BY h.stay_id, h.seconds, m.variable, m.part
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
        JOIN opens o ON o.variable = h.variable
        WHERE k.eligible AND {_inside("h.seconds - k.intime", request)})
    """


def _summed(valued: str, variables: Variables) -> str:
    """Add up the parts of variables that are sums, such as urine from several drains at one time."""
    if all(variable.aggregate != "sum" for variable in variables):
        return valued
    by = "stay_id, seconds, variable"
    return f"SELECT {by}, {scan.ordered_sum('value')} AS value FROM ({valued}) p GROUP BY {by}"


def _stay_ids(connection, relation: str) -> set[int]:
    return {row[0] for row in connection.execute(f"SELECT DISTINCT stay_id FROM {relation}").fetchall()}
