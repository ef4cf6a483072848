"""tables: raw records of any source -> stays and cleaned events.

Comes in: a folder or archive of records and the table of variables. Goes out: `Records`: the stays of the final cohort
and a Parquet file with their events, in units and categories of the table of variables, the same for every source.

A source is a module here with two functions: `detect(source) -> bool`, which looks at names and headers only, and
`read(source, variables, request) -> Records`.
"""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from mortcond.core.choices import Format
from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.variables import Variables

FORMATS = tuple(Format)  # each a module here, in the order of detection
STAY_COLUMNS = {
    "stay_id": "int64",
    "subject_id": "int64",
    "died": "uint8",
    "age": "float64",  # years; NaN: unknown
    "sex": "str",  # F, M or ""
    "icu_type": "str",  # or ""
    "split": "str",  # train, val, test where the source fixes it, else ""
}


@dataclass(frozen=True)
class Attrition:
    """One step of the cohort: what is left after it, and how many stays it dropped."""

    step: str
    rule: str
    stays: int
    admissions: int | None  # None where the source does not know admissions
    patients: int
    dropped: int


@dataclass(frozen=True)
class Records:
    """What every source gives."""

    source: str  # one of FORMATS
    stays: pd.DataFrame  # a row a stay of the final cohort, sorted by stay_id; columns and types of STAY_COLUMNS
    events: (
        Path  # Parquet: stay_id BIGINT, hours DOUBLE since ICU admission, variable INTEGER, value DOUBLE (a category:
    )
    # its index); at most one value a stay, time and variable; sorted by stay_id, so that chunks are read quickly
    attrition: tuple[Attrition, ...]
    dropped: pd.DataFrame  # stay_id, reason: every stay not kept
    notes: tuple[str, ...] = ()  # what the user should know: unknown variables ignored, values left out
    files: tuple[Path, ...] = ()  # the files that were read
    warnings: tuple[str, ...] = ()  # what the user should not overlook: values that no patient has
    origin: str = ""  # of records of an engine: what and where it is


@dataclass(frozen=True)
class Request:
    """What a source is asked for, beside variables."""

    scratch: Path  # an existing directory for temporary files; the events are written here
    outcomes: Path | None = None  # a file with the outcomes, where the source keeps them apart
    labels: bool = True  # False: outcomes are unknown; died is 0 and no step of the cohort asks for them
    strict: bool = False  # True: a text in the place of a number or category is an error, and not left out
    engine: Any = None  # an engines.Engine that holds the tables; None: they are files here, and DuckDB reads them
    scanned: Path | None = None  # a folder with the rows of a scan that ran elsewhere, in place of the big tables
    window_hours: int = 48
    memory_limit: str = "1GB"
    threads: int = 2
    console: Console = field(default_factory=Console)


def read(source: Path, variables: Variables, request: Request, format: str | None = None) -> Records:
    """Read the records at `source`.

    Parameters
    ----------
    source
        A folder, or what the source's form allows: an archive, a file.
    variables
        The table of variables to which the events are cleaned.
    request
        Where to work, with how much memory, and whether outcomes are needed.
    format
        One of FORMATS; None: told by what the folder holds.

    Raises
    ------
    InputError
        There is nothing there, nothing known, or something unusable in it; file, row and column are named.
    """
    if request.engine is None and not source.exists():
        raise InputError(f"There is no {source}.", "Name a folder of records; mortcond fetch downloads open ones.")
    from mortcond.tables.doubts import doubted

    here = request.engine is None and request.scanned is None
    name = format or detect(source) if here else _mimic(source, request, format)
    return doubted(_adapter(name).read(source, variables, request), variables, request)


def statement(
    source: Path, variables: Variables, request: Request, dialect: str, schemas: tuple[str, ...], format: str | None
) -> str:
    """Return the scan of the big MIMIC tables as SQL for others to run.

    Parameters
    ----------
    source
        A folder with the small tables; the big ones may be missing.
    dialect
        One of portable.DIALECTS.
    schemas
        Where the big tables are in the database; (): where published builds keep them.
    """
    if not source.is_dir():
        raise InputError(f"There is no folder {source}.", "Name a folder with the small tables of MIMIC.")
    return _adapter(_mimic(source, request, format)).statement(source, variables, request, dialect, schemas)


def _mimic(source: Path, request: Request, format: str | None) -> str:
    """Return which form of MIMIC the small tables are of."""
    from mortcond.tables import elsewhere, mimic4

    if format is not None:
        if format not in elsewhere.VERSIONS.values():
            raise UsageError(f"Records of form {format} are read here, by DuckDB.", "Leave the engine out.")
        return format
    if request.engine is not None:
        return elsewhere.version(request.engine.columns("icustays"), request.engine.where)
    table = mimic4.find(source, "icustays") if source.is_dir() else None
    return elsewhere.version(table and tuple(map(str.lower, table.headers[0])), str(source))


def bundled_sample() -> Path:
    """Return the folder of the bundled sample, in an installed package or in a checkout.

    Raises InputError where neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_sample_data", package.parent / "sample_data"):
        if folder.is_dir():
            return folder
    raise InputError("The bundled sample is not there.", "Name a SOURCE, or install mortcond again.")


def detect(source: Path) -> str:
    """Return the first of FORMATS whose files `source` holds.

    Raises InputError where there is none.
    """
    from mortcond.tables import advice

    found = _form_of(source)
    if found is None:
        raise advice.unknown(source, _form_of)
    return found


def _form_of(source: Path) -> str | None:
    return next((name for name in FORMATS if _adapter(name).detect(source)), None)


def _adapter(name: str):
    if name not in FORMATS:
        raise UsageError(f"There is no format {name!r}.", f"Known are: {', '.join(FORMATS)}.")
    return import_module(f"mortcond.tables.{name}")
