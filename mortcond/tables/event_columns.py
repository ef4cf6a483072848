"""The columns in which hospitals write events: time in three forms, a unit and a text beside the value.

Comes in: the table of events. Goes out: what its rows hold as SQL, and the same for one row as Python reads it.
"""

from dataclasses import dataclass

from mortcond.core.errors import InputError
from mortcond.tables import cells, gcs, long, scan, units
from mortcond.tables.cells import READERS
from mortcond.tables.scan import Table, literal
from mortcond.variables import Variable, Variables
from mortcond.variables.cleaning import Reading

TIMES = {"hours": "number", "minutes": "number", "time": "seconds"}  # column: kind of its cells
TO_HOURS = {"hours": 1, "minutes": 60, "time": 3600}
OPTIONAL = ("unit", "text")


@dataclass(frozen=True)
class Layout:
    """How a table writes its events."""

    time: str  # of TIMES; a `time` counts from the stay's `intime`
    has: frozenset[str]  # of OPTIONAL
    worded: tuple[str, ...]  # names whose text counts before their value: categories

    @property
    def columns(self) -> tuple[str, ...]:
        return ("stay_id", self.time, "variable", "value")

    @property
    def kinds(self) -> dict[str, str]:
        """What each column that is parsed must hold."""
        return {"stay_id": "whole", self.time: TIMES[self.time]}

    def sql(self, table: Table) -> str:
        """Return the relation stay_id, moment (in the table's own form), name, text (with its unit), as in `text`."""
        read = {name: READERS[kind](f"e.{name}", cells.raising(f"e.{name}", kind)) for name, kind in self.kinds.items()}
        return f"""
            SELECT {read["stay_id"]} AS stay_id, {read[self.time]} AS moment, nullif(trim(e.variable), '') AS name,
                   {self._text()} AS text
            FROM {table.sql(self.columns, optional=OPTIONAL)} e
        """

    def text(self, row: dict[str, str]) -> str:
        """Return the text of a row: the value, or for categories the text, with its unit."""
        value, word, unit = (row.get(name, "").strip() for name in ("value", "text", "unit"))
        if row["variable"].strip() in self.worded:
            value = word or value
        elif word and cells.is_missing(value):
            value = word
        return units.with_unit(value, "" if cells.is_missing(unit) else unit)

    def reading(self, variable: Variable, text: str) -> Reading:
        """Return what a text, with its unit, means; points of the coma scale stand for the words of MetaVision."""
        value, unit = units.parts(text) if "unit" in self.has else (text, "")
        found = long.own_units(variable, units.converted(variable, value, unit))
        if found.value is None and variable.categories:
            words = sorted({gcs.word(item, value) for item in variable.items("mimic3")} - {value})
            again = (long.own_units(variable, word) for word in words)
            return next((reading for reading in again if reading.value is not None), found)
        return found

    def _text(self) -> str:
        value, word, unit = (f"nullif(trim(e.{name}), '')" for name in ("value", "text", "unit"))
        cell = value
        if "text" in self.has:
            named = f"trim(e.variable) IN ({', '.join(map(literal, self.worded)) or 'NULL'})"
            number = f"CASE WHEN {cells.missing_sql('e.value')} THEN coalesce({word}, {value}) ELSE {value} END"
            cell = f"CASE WHEN {named} THEN coalesce({word}, {value}) ELSE {number} END"
        if "unit" not in self.has:
            return cell
        return f"{cell} || CASE WHEN {cells.missing_sql('e.unit')} THEN '' ELSE ' [' || {unit} || ']' END"


def layout(table: Table, variables: Variables, names: long.Names) -> Layout:
    """Return how a table writes its events.

    Raises InputError where it has no column of times, or several.
    """
    times = [name for name in TIMES if table.has(name)]
    if len(times) > 1:
        problem = f"{table.files[0]} has several columns of times: {', '.join(times)}."
        raise InputError(problem, "Keep one of them.")
    worded = tuple(name for name, (index, _) in names.items() if variables[index].categories)
    return Layout((*times, "hours")[0], frozenset(name for name in OPTIONAL if table.has(name)), worded)


def ambiguous(connection, names: long.Names, variables: Variables, form: Layout) -> tuple[str, ...]:
    """Say of how many points it is not known which word they stand for, and which was taken."""
    notes = []
    for name in form.worded:
        variable = variables[names[name][0]]
        sql = f"SELECT text, count(*) FROM raw WHERE name = {literal(name)} GROUP BY text"
        for text, count in connection.execute(sql).fetchall():
            value = units.parts(text)[0] if "unit" in form.has else text
            item = next((item for item in variable.items("mimic3") if gcs.other_meaning(item, value)), None)
            if item and long.own_units(variable, value).value is None:
                word, other = gcs.word(item, value), gcs.other_meaning(item, value)
                notes.append(f"{name}: the points of {count:,} values mean {word!r} or {other!r}; taken as {word!r}")
    return tuple(notes)


def refuse_unknown_units(connection, table: Table, names: long.Names, variables: Variables, form: Layout) -> None:
    """Raise InputError that names the first row whose unit cannot be brought to its variable's."""
    if "unit" not in form.has:
        return
    listed = ", ".join(map(literal, names)) or "NULL"
    sql = f"SELECT DISTINCT name, text FROM raw WHERE name IN ({listed}) AND text LIKE '%]'"
    seen = sorted({(name, units.parts(text)[1]) for name, text in connection.execute(sql).fetchall()})
    for name, unit in seen:
        variable = variables[names[name][0]]
        if units.conversion(variable, unit) is None:
            where = _locate_unit(table, name, unit)
            problem = f"{where}, column unit: {unit!r} cannot be brought to {variable.unit} ({name})."
            raise InputError(problem, f"Known are: {', '.join(units.known(variable))}; or convert the values.")


def _locate_unit(table: Table, name: str, unit: str) -> str:
    return scan.locate(table, lambda row: row["variable"].strip() == name and row.get("unit", "").strip() == unit)
