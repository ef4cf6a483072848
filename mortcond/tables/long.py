"""Long tables -> events: what all sources share whose records are (stay, hours, name, text) in known units.

Comes in: a DuckDB relation `raw` (stay_id BIGINT, hours DOUBLE, name VARCHAR, text VARCHAR). Goes out: the events of
`Records`. Each distinct text is cleaned once; several values of a variable at one time are settled by rules that do not
depend on the order of rows: the name that the table of variables lists first wins, then the largest value; sums add up.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError
from mortcond.tables import STAY_COLUMNS, Attrition, Request, scan
from mortcond.tables.gcs import with_total
from mortcond.variables import Variable, Variables
from mortcond.variables.cleaning import clean, number

TOLERANCE_HOURS = 1e-6  # at both ends of the window, as in the grid
LISTED = 20  # names in a message
Names = dict[str, tuple[int, int]]  # name in the source -> index of its variable, place among the variable's names


@dataclass
class Cohort:
    """The cohort while it is made: `left` shrinks from step to step."""

    left: pd.DataFrame
    attrition: list[Attrition] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)  # stay_id -> the step that dropped it

    def keep(self, step: str, rule: str, kept: pd.Series | None = None) -> None:
        """Keep the stays for which `kept` is true (None: all), and note the step."""
        dropped = [] if kept is None else self.left.stay_id[~kept].tolist()
        self.left = self.left if kept is None else self.left[kept]
        self.reasons |= dict.fromkeys(dropped, step)
        patients = self.left.subject_id.nunique()
        self.attrition.append(Attrition(step, rule, len(self.left), None, patients, len(dropped)))

    def finish(self) -> tuple[pd.DataFrame, tuple[Attrition, ...], pd.DataFrame]:
        """Return the stays, the attrition and the dropped stays, as `Records` has them."""
        stays = self.left.sort_values("stay_id", ignore_index=True)[list(STAY_COLUMNS)].astype(STAY_COLUMNS)
        dropped = pd.DataFrame(sorted(self.reasons.items()), columns=["stay_id", "reason"])
        return stays, tuple(self.attrition), dropped


def names_of(variables: Variables, source: str, own: bool = False) -> Names:
    """Return the names under which a source keeps the variables; with `own` after them each variable's own name."""
    return {
        item: (index, place)
        for index, variable in enumerate(variables)
        if variable.kind != "static"
        for place, item in enumerate((*variable.items(source), variable.name) if own else variable.items(source))
    }


def own_units(variable: Variable, text: str) -> float | None:
    """Return a value that is already in the variable's unit (a category: its index), None where it is implausible.

    The benchmark's rules repair the units of MIMIC-III and are left out here; those of `extended` apply.

    Raises ValueError where the text is no number, or no category of the variable.
    """
    if variable.categories:
        return float(_category(variable, text))
    rule = "" if variable.rule.startswith("benchmark_") or variable.rule == "presence" else variable.rule
    if clean(replace(variable, rule=rule, low=None, high=None), text) is None:
        raise ValueError(f"{text!r} is no number")
    return clean(replace(variable, rule=rule), text)


def write_events(
    connection,
    variables: Variables,
    names: Names,
    request: Request,
    read_value: Callable[[Variable, str], float | None],
    locate: Callable[[str, str], str],
) -> tuple[Path, tuple[str, ...]]:
    """Clean and settle `raw` into a Parquet file; return it and notes on values that were left out.

    Parameters
    ----------
    read_value
        Gives the value of a text, None where it is no measurement; raises ValueError where it is a fault.
    locate
        Gives "file, row n, column c" of the first row with this name and text.

    Raises
    ------
    InputError
        A text is a fault; file, row and column are named.
    """
    _meanings(connection, variables, names, request, read_value, locate)
    connection.execute(f"CREATE VIEW valued AS {_settled_sql(variables)}")
    path = request.scratch / "events.parquet"
    events = f"""
        SELECT stay_id, hours, CAST(variable AS INTEGER) AS variable, value
        FROM ({with_total("valued", "hours", variables)}) v ORDER BY stay_id
    """
    scan.run(
        connection, f"COPY ({events}) TO {scan.literal(path)} (FORMAT parquet)", request.console, "Settling events"
    )
    return path, _left_out(connection, variables)


def ignored(connection, names: Names) -> tuple[str, ...]:
    """Return a note that lists the names of `raw` that are no variable, none where all are."""
    counts = connection.execute("SELECT name, count(*) FROM raw GROUP BY name ORDER BY count(*) DESC, name").fetchall()
    unknown = [f"{name} ({count:,})" for name, count in counts if name not in names]
    shown = ", ".join(unknown[:LISTED]) + f" and {len(unknown) - LISTED} more" * (len(unknown) > LISTED)
    return (f"{len(unknown)} names that are no variable were ignored, with their rows: {shown}",) if unknown else ()


def measured_stays(connection, events: Path, window_hours: int) -> set[int]:
    """Return the stays that have an event in the window."""
    in_window = f"hours > -{TOLERANCE_HOURS} AND hours < {window_hours + TOLERANCE_HOURS}"
    sql = f"SELECT DISTINCT stay_id FROM {scan.parquet_sql(events)} WHERE {in_window}"
    return {row[0] for row in connection.execute(sql).fetchall()}


def _category(variable: Variable, text: str) -> int:
    index = variable.category_index(text)
    value = number(text)
    if index is None and value is not None:  # 15.0 is the category 15
        index = next((i for i, name in enumerate(variable.categories) if number(name) == value), None)
    if index is None:
        raise ValueError(f"{text!r} is no category of {variable.name} ({', '.join(variable.categories)})")
    return index


def _meanings(connection, variables: Variables, names: Names, request: Request, read_value, locate) -> None:
    """Make the table `meanings`: for each distinct (name, text) its variable, the name's place, and its value."""
    path = request.scratch / "meanings.csv"
    listed = ", ".join(scan.literal(name) for name in names) or "NULL"
    sql = f"SELECT DISTINCT name, text FROM raw WHERE text <> '' AND name IN ({listed})"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "text", "variable", "place", "value"))
        cursor = connection.execute(sql)
        while rows := cursor.fetchmany(100_000):
            for name, text in rows:
                index, place = names[name]
                value = _value(read_value, variables[index], name, text, locate)
                writer.writerow((name, text, index, place, None if value is None else repr(value)))
    kinds = {"name": "VARCHAR", "text": "VARCHAR", "variable": "BIGINT", "place": "BIGINT", "value": "DOUBLE"}
    connection.execute(f"CREATE TABLE meanings AS SELECT * FROM {scan.csv_sql(path, kinds)}")


def _value(read_value, variable: Variable, name: str, text: str, locate) -> float | None:
    try:
        return read_value(variable, text)
    except ValueError as error:
        where = locate(name, text)
        raise InputError(f"{where}: {error} ({name}).", "Mend the row, or leave it out.") from None


def _settled_sql(variables: Variables) -> str:
    """Return the events, one a stay, time and variable."""
    by = "r.stay_id, r.hours, m.variable"
    joined = "FROM raw r JOIN meanings m ON m.name = r.name AND m.text = r.text WHERE m.value IS NOT NULL"
    sums = [str(index) for index, variable in enumerate(variables) if variable.aggregate == "sum"] or ["-1"]
    return f"""
        SELECT {by}, sum(m.value) AS value {joined} AND m.variable IN ({", ".join(sums)}) GROUP BY {by}
        UNION ALL
        SELECT stay_id, hours, variable, value FROM (
            SELECT {by}, max(m.value) AS value,
                   row_number() OVER (PARTITION BY {by} ORDER BY m.place) AS rank
            {joined} AND m.variable NOT IN ({", ".join(sums)}) GROUP BY {by}, m.place
        ) ranked WHERE rank = 1
    """


def _left_out(connection, variables: Variables) -> tuple[str, ...]:
    """Say how many values of each variable were left out, and give examples."""
    sql = """
        SELECT m.variable, m.text, count(*) FROM raw r JOIN meanings m ON m.name = r.name AND m.text = r.text
        WHERE m.value IS NULL GROUP BY m.variable, m.text ORDER BY m.variable, count(*) DESC, m.text
    """
    found: dict[int, list[tuple[str, int]]] = {}
    for index, text, count in connection.execute(sql).fetchall():
        found.setdefault(index, []).append((text, count))
    return tuple(_note(variables[index].name, texts) for index, texts in found.items())


def _note(name: str, texts: list[tuple[str, int]]) -> str:
    examples = ", ".join(text for text, _ in texts[:3]) + ", ..." * (len(texts) > 3)
    return f"{name}: {sum(count for _, count in texts):,} implausible or missing values left out ({examples})"
