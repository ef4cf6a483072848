"""Whether all times of a hospital are of one kind. Comes in: its tables. Goes out: nothing, a note, or an error.

A time with a zone counts in UTC, one without as it stands. Where one table has an offset and another has none, what was
charted would be hours away from its stay.
"""

from mortcond.core.errors import InputError
from mortcond.tables import cells, scan
from mortcond.tables.scan import Table

TIMES = ("intime", "admittime", "dod", "charttime")
LOOKED_AT = 1000  # rows of a table: a program writes all its times in one way


def checked(connection, tables: tuple[Table, ...]) -> tuple[str, ...]:
    """Return a note where some times are in UTC and others have no zone.

    Raises InputError where some have another offset and others have no zone.
    """
    found = [place for table in tables for place in _kinds(connection, table)]
    bare = next((place for *place, kinds in found if "" in kinds), None)
    offset = next((place for *place, kinds in found if kinds - {"", "UTC"}), None)
    utc = next((place for *place, kinds in found if "UTC" in kinds), None)
    if bare and offset:
        problem = f"{_named(offset)} has an offset from UTC, {_named(bare)} has none: they cannot be compared."
        raise InputError(problem, "Write all times in one way, best without a zone.")
    return (f"{_named(utc)} is in UTC, {_named(bare)} has no zone: taken for UTC too",) if bare and utc else ()


def _kinds(connection, table: Table) -> list[tuple[Table, str, set[str]]]:
    """Return for each column of times which kinds of zone its first rows have."""
    columns = tuple(filter(table.has, TIMES))
    if not columns:
        return []
    rows = f"SELECT * FROM {table.sql(columns)} t LIMIT {LOOKED_AT}"
    zones = ", ".join(f"{cells.zone_sql(f't.{column}')} AS {column}" for column in columns)
    found = scan.frame(connection, f"SELECT DISTINCT {zones} FROM ({rows}) t", (table,))
    return [(table, column, set(found[column].dropna())) for column in columns]


def _named(place: list) -> str:
    table, column = place
    return f"{column.upper()} of {table.files[0]}"
