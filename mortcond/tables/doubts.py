"""What the records say and no patient has: told, and where it is a fact of the stay, taken for unknown.

Comes in: `Records`. Goes out: the same with warnings. A value of a variable without a plausible range counts, as in the
public benchmark; it is named with its stay, and with what `extended` would make of it.
"""

from collections.abc import Iterator
from dataclasses import replace

import duckdb
import numpy as np

from mortcond.tables import Records, Request
from mortcond.tables.scan import parquet_sql
from mortcond.variables import Variables
from mortcond.variables.plausible import ranges, shown, treatment

OLDEST_YEARS = 130
LISTED = 4  # variables in a warning


def doubted(records: Records, variables: Variables, request: Request) -> Records:
    """Return the records with warnings of what no patient has."""
    stays = records.stays
    impossible = (stays.age < 0) | (stays.age > OLDEST_YEARS)
    warnings = list(_values(records, variables, request))
    if impossible.any():
        first = stays[impossible].iloc[0]
        known = f"{impossible.sum():,} ages outside 0 to {OLDEST_YEARS} years count as unknown"
        warnings.append(f"{known}: {shown(first.age)} in stay {first.stay_id}.")
        stays = stays.assign(age=stays.age.where(~impossible))
    return replace(records, stays=stays, warnings=records.warnings + tuple(warnings))


def _values(records: Records, variables: Variables, request: Request) -> Iterator[str]:
    found = ranges(variables)
    rows = _outside(records, {i: (v.low, v.high) for i, v in found.items()}, request) if found else []
    told = []
    for index, count, stays, stay, value in rows:
        limits = f"{found[index].low:g} to {found[index].high:g} {found[index].unit}".removesuffix(
            " 1"
        )  # pH has no unit
        many = f"{count:,} value{'s' * (count > 1)} of {stays:,} stay{'s' * (stays > 1)} outside {limits}"
        treated = treatment(found[index], value)
        told.append(f"{variables[index].name}: {many}, such as {shown(value)} in stay {stay} ({treated})")
    if told:
        more = f"; and {len(told) - LISTED} more variables" if len(told) > LISTED else ""
        yield f"{variables.name} has no plausible ranges, so these values count. {'; '.join(told[:LISTED])}{more}."


def _outside(records: Records, limits: dict[int, tuple[float, float]], request: Request) -> list[tuple]:
    """Return variable, values, stays, and the farthest value with its stay, those farthest out first."""
    listed = ", ".join(f"({index}, {low!r}, {high!r})" for index, (low, high) in limits.items())
    sql = f"""
        SELECT e.variable, count(*), count(DISTINCT e.stay_id), arg_max(e.stay_id, abs(e.value)),
               arg_max(e.value, abs(e.value)), max(abs(e.value) / l.high) AS far
        FROM {parquet_sql(records.events)} e JOIN (VALUES {listed}) AS l(variable, low, high) ON l.variable = e.variable
        WHERE (e.value < l.low OR e.value > l.high) AND e.hours >= 0 AND e.hours <= {request.window_hours}
          AND e.stay_id IN (SELECT unnest(?)) GROUP BY e.variable ORDER BY far DESC, e.variable
    """
    with duckdb.connect(config={"threads": 1, "memory_limit": "256MB"}) as connection:
        rows = connection.execute(sql, [records.stays.stay_id.to_numpy(np.int64).tolist()]).fetchall()
    return [row[:5] for row in rows]
