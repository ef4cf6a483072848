"""The one heavy step as one SQL text that every engine runs: of the big event tables the rows that can count.

Comes in: where the tables are, the items, and the admissions of the cohort. Goes out: the text. Its rows are those of
the items and admissions, all cells as text, under the same names for every version of MIMIC (COLUMNS); everything that
engines do in different ways (dates, text order, missing marks) is left to DuckDB, which settles the few rows that come
back. The small tables stand in the text itself, so that it can run where nothing may be written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap

DIALECTS = ("duckdb", "postgres", "spark", "databricks", "bigquery")
COLUMNS = ("source", "subject_id", "hadm_id", "stay_id", "charttime", "itemid", "value", "valueuom", "flag")
TEXT_LENGTH = 4000  # MIMIC's longest value has 255 characters


@dataclass(frozen=True)
class BigTable:
    """A big event table in a database."""

    name: str
    relation: str  # what the database calls it
    stay: str | None  # its column of ICU stays; None: the table does not say them
    flag: str | None  # its column of errors; None: it has none


def statement(tables: Iterable[BigTable], items: Iterable[int], admissions: Iterable[int], dialect: str) -> str:
    """Return the scan of all tables; the same text for all DIALECTS but bigquery, which has other words for types."""
    selects = "\nUNION ALL\n".join(_select(table, dialect) for table in tables)
    small = (_small("itemid", items, dialect), _small("hadm_id", admissions, dialect))
    return f"WITH items AS (\n{small[0]}\n), kept AS (\n{small[1]}\n)\n{selects}\n"


def _select(table: BigTable, dialect: str) -> str:
    cells = {"subject_id": "subject_id", "hadm_id": "hadm_id", "stay_id": table.stay, "charttime": "charttime"}
    cells |= {"itemid": "itemid", "value": "value", "valueuom": "valueuom", "flag": table.flag}
    kind = "STRING" if dialect == "bigquery" else f"VARCHAR({TEXT_LENGTH})"
    picked = ",\n  ".join(
        f"CAST({f'e.{cell}' if cell else 'NULL'} AS {kind}) AS {name}" for name, cell in cells.items()
    )
    return f"""SELECT '{table.name}' AS source,
  {picked}
FROM {table.relation} e
JOIN items i ON i.itemid = {_id("e.itemid", dialect)}
JOIN kept k ON k.hadm_id = {_id("e.hadm_id", dialect)}
WHERE e.value IS NOT NULL AND e.charttime IS NOT NULL"""


def _id(cell: str, dialect: str) -> str:
    """Return an id as a number; 142345.0 is one too, and so is one of 19 digits, which a bare NUMERIC may not hold.

    DOUBLE is no type of PostgreSQL, and BigQuery's NUMERIC always has 29 digits before its point.
    """
    return f"CAST(CAST({cell} AS {'NUMERIC' if dialect == 'bigquery' else 'DECIMAL(38, 0)'}) AS BIGINT)"


def _small(column: str, values: Iterable[int], dialect: str) -> str:
    """Return a query that gives a small table of whole numbers."""
    if dialect == "bigquery":
        return f"SELECT {column} FROM UNNEST([\n{_lines(map(str, values))}\n]) AS {column}"
    return f"SELECT v.{column} FROM (VALUES\n{_lines(f'({value})' for value in values)}\n) AS v({column})"


def _lines(values: Iterable[str]) -> str:
    return "\n".join(wrap(", ".join(values) or "(-1)", 118))
