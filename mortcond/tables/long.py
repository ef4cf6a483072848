"""Long tables -> events: what all sources share whose records are (stay, hours, name, text) in known units.

Comes in: a DuckDB relation `raw` (stay_id BIGINT, hours DOUBLE, name VARCHAR, text VARCHAR). Goes out: the events of
`Records`. Each distinct text is cleaned once; several values of a variable at one time are settled by rules that do not
depend on the order of rows: the name that the table of variables lists first wins, then the largest value; sums add up.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd

from mortcond.tables import STAY_COLUMNS, Attrition, Request, scan
from mortcond.tables.gcs import with_total
from mortcond.tables.left_out import LeftOut
from mortcond.variables import Variable, Variables
from mortcond.variables.cleaning import Reading, category, examine

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


def own_units(variable: Variable, text: str) -> Reading:
    """Return what a text means that is already in the variable's unit (a category: by its name or a spelling).

    The benchmark's rules repair the units of MIMIC-III and are left out here; those of `extended` apply.
    """
    if variable.categories:
        loose = replace(variable, rule=variable.rule or "gcs_total")  # in any case
        named = category(replace(loose, spellings=tuple((name,) for name in variable.categories)), text)
        index = category(loose, text) if named is None else named
        return Reading(None, "text") if index is None else Reading(float(index))
    benchmark = variable.rule.startswith("benchmark_") or variable.rule == "presence"
    return examine(replace(variable, rule="") if benchmark else variable, text)


def write_events(
    connection,
    variables: Variables,
    names: Names,
    request: Request,
    read_value: Callable[[Variable, str], Reading],
    locate: Callable[[str, str], str],
) -> tuple[Path, tuple[str, ...]]:
    """Clean and settle `raw` into a Parquet file; return it and notes on values that were left out.

    Parameters
    ----------
    read_value
        Gives what a text means.
    locate
        Gives "file, row n, column c" of the first row with this name and text.

    Raises
    ------
    InputError
        A text is no value, and the request is strict; file, row and column are named.
    """
    left_out = _meanings(connection, variables, names, request, read_value, locate)
    connection.execute(f"CREATE VIEW valued AS {_settled_sql(variables)}")
    path = request.scratch / "events.parquet"
    events = f"""
        SELECT stay_id, hours, CAST(variable AS INTEGER) AS variable, value
        FROM ({with_total("valued", "hours", variables)}) v ORDER BY stay_id
    """
    scan.run(
        connection, f"COPY ({events}) TO {scan.literal(path)} (FORMAT parquet)", request.console, "Settling events"
    )
    return path, left_out.notes()


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


def _meanings(connection, variables: Variables, names: Names, request: Request, read_value, locate) -> LeftOut:
    """Make the table `meanings`: for each distinct (name, text) its variable, the name's place, and its value."""
    path, left_out = request.scratch / "meanings.csv", LeftOut(request.strict)
    listed = ", ".join(scan.literal(name) for name in names) or "NULL"
    sql = f"SELECT name, text, count(*) FROM raw WHERE text <> '' AND name IN ({listed}) GROUP BY name, text"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "text", "variable", "place", "value"))
        cursor = connection.execute(sql)
        while rows := cursor.fetchmany(100_000):
            for name, text, count in rows:
                index, place = names[name]
                reading = read_value(variables[index], text)
                if reading.value is None:
                    left_out.add(variables[index], text, reading, count, partial(locate, name, text))
                else:
                    writer.writerow((name, text, index, place, repr(reading.value)))
    kinds = {"name": "VARCHAR", "text": "VARCHAR", "variable": "BIGINT", "place": "BIGINT", "value": "DOUBLE"}
    connection.execute(f"CREATE TABLE meanings AS SELECT * FROM {scan.csv_sql(path, kinds)}")
    return left_out


def _settled_sql(variables: Variables) -> str:
    """Return the events, one a stay, time and variable."""
    by = "r.stay_id, r.hours, m.variable"
    joined = "FROM raw r JOIN meanings m ON m.name = r.name AND m.text = r.text"
    sums = [str(index) for index, variable in enumerate(variables) if variable.aggregate == "sum"] or ["-1"]
    total = scan.ordered_sum("m.value")
    return f"""
        SELECT {by}, {total} AS value {joined} WHERE m.variable IN ({", ".join(sums)}) GROUP BY {by}
        UNION ALL
        SELECT stay_id, hours, variable, value FROM (
            SELECT {by}, max(m.value) AS value,
                   row_number() OVER (PARTITION BY {by} ORDER BY m.place) AS rank
            {joined} WHERE m.variable NOT IN ({", ".join(sums)}) GROUP BY {by}, m.place
        ) ranked WHERE rank = 1
    """
