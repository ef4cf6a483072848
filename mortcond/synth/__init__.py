"""synth: a synthetic hospital in the form of MIMIC-III tables, of any size. No patient is in it.

Comes in: how many stays, a seed. Goes out: ten tables as CSV, CSV.gz or Parquet, the same bytes for the same seed, made
and written a block of stays at a time, so that memory stays flat.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from mortcond.synth.charting import Chart
from mortcond.synth.csvbytes import header, lines, numbers
from mortcond.synth.people import LONGEST_DAYS, Stays, make_stays
from mortcond.synth.physiology import signals
from mortcond.synth.tables import COLUMNS, EMPTY, Columns, dictionaries, events, people

STAYS_AT_ONCE = 128
FULL_CHART_AN_HOUR = 9.5  # rows an hour that the variables of the field use where nothing is thinned out
USED_SHARE = 0.8  # of a thin chart: the rest are items that no variable uses, as in a real one
GZIP_LEVEL = 7  # 9 takes three times as long for half a percent
WHOLE_STAY = int(24 * LONGEST_DAYS)  # hours
OTHER_TABLES = {"LABEVENTS": "lab", "OUTPUTEVENTS": "output"}


@dataclass(frozen=True)
class Hospital:
    """What to make."""

    stays: int  # rows of ICUSTAYS
    seed: int = 0
    events_per_stay: int = (
        400  # rows of CHARTEVENTS, about (MIMIC-III: 5,400); where few, the other tables are thin too
    )
    hours: int = WHOLE_STAY  # charts end so many hours after admission to the unit
    form: str = "csv"  # csv, csv.gz or parquet


@dataclass
class Table:
    """An open table: what is written so far, and where."""

    name: str
    file: IO[bytes]
    rows: int = 0
    names: list[str] = field(default_factory=list)

    def write(self, columns: Columns) -> None:
        """Append rows; a column that is not given is empty."""
        count = len(next(iter(columns.values())))
        if not count:
            return
        columns = columns | {"ROW_ID": numbers(np.arange(self.rows + 1, self.rows + count + 1))}
        empty = np.broadcast_to(EMPTY, count)
        self.file.writelines(lines([columns.get(name, empty) for name in self.names]))
        self.rows += count


def write(target: Path, hospital: Hospital, advance: Callable[[int, int], None] = lambda stays, rows: None) -> dict:
    """Write the tables of a hospital into the existing directory `target`.

    Parameters
    ----------
    advance
        Called after each block with the number of stays done and the rows of CHARTEVENTS in it.

    Returns
    -------
    Rows by table, and how many patients, admissions and stays there are, how many of them died in the hospital.
    """
    suffix = ".csv.gz" if hospital.form == "csv.gz" else ".csv"
    counts = {"patients": 0, "admissions": 0, "deaths": 0}
    with ExitStack() as stack:
        tables = {name: stack.enter_context(_open(target, name, suffix)) for name in COLUMNS}
        for name, columns in dictionaries().items():
            tables[name].write(columns)
        for stays, generator in blocks(hospital):
            before = tables["CHARTEVENTS"].rows
            for name, columns in block_tables(hospital, stays, generator):
                tables[name].write(columns)
            counts["patients"] += int(stays.first_of_patient.sum())
            counts["admissions"] += int(stays.first_of_admission.sum())
            counts["deaths"] += int(stays.died.sum())
            advance(len(stays), tables["CHARTEVENTS"].rows - before)
    if hospital.form == "parquet":
        for name in COLUMNS:
            _to_parquet(target / f"{name}.csv")
    return {"stays": hospital.stays} | counts | {"rows": {name: table.rows for name, table in tables.items()}}


def blocks(hospital: Hospital) -> Iterator[tuple[Stays, np.random.Generator]]:
    """Yield the stays block by block, each with a generator of its own: a larger hospital begins with the same."""
    for first in range(0, hospital.stays, STAYS_AT_ONCE):
        generator = np.random.default_rng([hospital.seed, first])
        stays = make_stays(first, min(STAYS_AT_ONCE, hospital.stays - first), generator)
        yield stays, generator


def block_tables(hospital: Hospital, stays: Stays, generator: np.random.Generator) -> Iterator[tuple[str, Columns]]:
    """Yield the rows of a block of stays, table by table."""
    yield from people(stays, generator).items()
    hours = int(min(np.ceil(stays.hours.max()), hospital.hours))
    charted_hours = 75 if hospital.hours >= 168 else 0.8 * hospital.hours  # on average
    density = min(1.0, USED_SHARE * hospital.events_per_stay / (FULL_CHART_AN_HOUR * charted_hours))
    chart = Chart(stays, signals(stays, hours, generator), generator, density)
    found = chart.events("chart", hospital.events_per_stay * len(stays))
    yield "CHARTEVENTS", events("CHARTEVENTS", found, stays, generator)
    for name, table in OTHER_TABLES.items():
        yield name, events(name, chart.events(table), stays, generator)


@contextmanager
def _open(target: Path, name: str, suffix: str) -> Iterator[Table]:
    with ExitStack() as stack:
        file = stack.enter_context((target / f"{name}{suffix}").open("wb"))
        if suffix == ".csv.gz":  # no time and no name in the header: the same bytes for the same seed
            file = stack.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0))
        names = COLUMNS[name].split()
        file.write(header(names))
        yield Table(name, file, names=names)


TYPES = {"LOS": "DOUBLE", "VALUENUM": "DOUBLE", "ICD9_CODE": "VARCHAR", "DOD_HOSP": "TIMESTAMP", "DOD_SSN": "TIMESTAMP"}
WHOLE = {"ROW_ID", "ITEMID", "CGID", "SEQ_NUM", "WARNING", "ERROR", "ISERROR"}


def column_type(name: str) -> str:
    """Return the SQL type of a column of MIMIC-III."""
    if name in TYPES:
        return TYPES[name]
    if name.endswith("TIME") or name in ("DOB", "DOD"):
        return "TIMESTAMP"
    whole = name in WHOLE or name.endswith(("SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "WARDID", "_FLAG", "_DATA"))
    return "BIGINT" if whole else "VARCHAR"


def _to_parquet(path: Path) -> None:
    """Put a Parquet file in the place of a CSV file, with typed columns; missing texts become NULL."""
    from mortcond.core.duckdb import duckdb

    types = {name: column_type(name) for name in COLUMNS[path.stem].split()}
    listed = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    options = f"auto_detect=false, header=true, delim=',', quote='\"', escape='\"', columns={{{listed}}}"
    with duckdb.connect(config={"threads": 1, "memory_limit": "500MB"}) as connection:
        source, target = (str(p).replace("'", "''") for p in (path, path.with_suffix(".parquet")))
        connection.execute(f"COPY (SELECT * FROM read_csv('{source}', {options})) TO '{target}' (FORMAT parquet)")
    path.unlink()
