"""MIMIC tables that are not on this machine, or too big for it: the same cohort, the scan run by an engine.

Comes in: an engine, or the rows of a scan that somebody ran elsewhere. Goes out: the small tables and the scan's rows
as files on this machine, which everything after that reads as if they were the tables.
"""

from pathlib import Path

import pandas as pd

from mortcond.core.errors import InputError, UsageError
from mortcond.tables import Request, portable, scan
from mortcond.tables.charted import Item
from mortcond.tables.engines import Engine
from mortcond.tables.portable import BigTable
from mortcond.tables.scan import Table

VERSIONS = {"icustay_id": "mimic3", "stay_id": "mimic4"}  # the id of ICUSTAYS tells them apart
SCHEMAS = {  # where mimic-code's builds, and PhysioNet's on BigQuery, keep the big tables
    ("mimic3", "postgres"): ("mimiciii",),
    ("mimic4", "postgres"): ("mimiciv_icu", "mimiciv_hosp"),
    ("mimic3", "bigquery"): ("`physionet-data.mimiciii_clinical`",),
    ("mimic4", "bigquery"): ("`physionet-data.mimiciv_3_1_icu`", "`physionet-data.mimiciv_3_1_hosp`"),
}


def version(columns: tuple[str, ...] | None, where: str) -> str:
    """Return which form of MIMIC a table ICUSTAYS with these columns is of.

    Raises InputError where there is no such table, or it is of neither.
    """
    if columns is None:
        raise InputError(f"{where} has no table ICUSTAYS.", "Name where the tables of MIMIC-III or MIMIC-IV are.")
    found = next((form for id, form in VERSIONS.items() if id in columns), None)
    if found is None:
        problem = f"{where}: ICUSTAYS has neither ICUSTAY_ID nor STAY_ID; it has {', '.join(columns)}."
        raise InputError(problem, "Use the tables as published.")
    return found


def small_tables(form, engine: Engine, request: Request) -> Path:
    """Bring the small tables of a form to this machine; return the folder that holds them.

    Raises InputError where one is not there, or lacks a column.
    """
    if engine.folder is not None:
        return engine.folder
    folder = request.scratch / "small"
    for name, small in form.small.items():
        if not request.labels and not small.unlabelled:
            continue
        columns = engine.columns(name)
        if columns is None and small.optional:
            continue
        relation = _checked(engine, name, small.columns, columns)
        place = folder / name
        place.mkdir(parents=True)
        engine.save(f"SELECT {', '.join(small.columns)} FROM {relation}", place, request.console, f"Reading {name}")
    return folder


def scanned_by(form, engine: Engine, admissions: pd.Series, items: list[Item], request: Request) -> Table:
    """Run the portable statement; return its rows."""
    tables = [table for name, event in form.events.items() if (table := _big_table(engine, name, event))]
    dialect = "postgres" if engine.name == "postgres" else "spark"
    sql = portable.statement(tables, _ids(items), admissions.tolist(), dialect)
    folder = request.scratch / "scanned"
    folder.mkdir()
    engine.save(sql, folder, request.console, f"Scanning on {engine.where}")
    return rows_of(folder)


def rows_of(folder: Path) -> Table:
    """Return the rows of a scan: the CSV or Parquet files of a folder.

    Raises InputError where there are none, or they are of something else.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give --scanned the folder with what the scan wrote.")
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(scan.ENDINGS))
    if not files:
        raise InputError(f"{folder} holds no .csv, .csv.gz or .parquet.", "Give --scanned what the scan wrote.")
    table = scan.joined("scan", files)
    table.sql(portable.COLUMNS)  # refuses files that lack a column
    return table


def printed(form, admissions: pd.Series, items: list[Item], dialect: str, schemas: tuple[str, ...]) -> str:
    """Return the statement for somebody else to run, with what to do with it as its first lines.

    schemas: where the big tables are; () : where published builds keep them.
    """
    if dialect not in portable.DIALECTS:
        raise UsageError(f"There is no dialect {dialect!r}.", f"Choose of {', '.join(portable.DIALECTS)}.")
    places = schemas or SCHEMAS.get((form.name, dialect), ())
    tables = [
        BigTable(name, _placed(name.lower(), event.module, places), event.stay, event.flag)
        for name, event in form.events.items()
    ]
    sql = portable.statement(tables, _ids(items), admissions.tolist(), dialect)
    if dialect == "postgres":
        return f"COPY (\n{sql}) TO STDOUT WITH (FORMAT csv, HEADER);\n"
    return f"-- Save the rows as Parquet or CSV in a folder, and give it to mortcond preprocess --scanned.\n{sql};\n"


def _checked(engine: Engine, name: str, wanted: tuple[str, ...], columns: tuple[str, ...] | None) -> str:
    if columns is None:
        raise InputError(f"{engine.where} has no table {name}.", "Check SOURCE, and the rights on the table.")
    missing = [column for column in wanted if column not in columns]
    if missing:
        problem = f"{engine.where}: {name} has no column {', '.join(missing)}; it has {', '.join(columns)}."
        raise InputError(problem, "Use the table as published.")
    return engine.relation(name)


def _big_table(engine: Engine, name: str, event) -> BigTable | None:
    columns = engine.columns(name)
    if columns is None and not event.required:
        return None
    wanted = ("subject_id", "hadm_id", "charttime", "itemid", "value", "valueuom", *filter(None, [event.stay]))
    relation = _checked(engine, name, wanted, columns)
    return BigTable(name, relation, event.stay, event.flag if event.flag in columns else None)


def _placed(table: str, module: str, schemas: tuple[str, ...]) -> str:
    schema = next((schema for schema in schemas if module in schema.lower()), (*schemas, "")[0])
    return f"{schema}.{table}" if schema else table


def _ids(items: list[Item]) -> list[int]:
    return sorted({int(item.item) for item in items})
