"""engines: where the big event tables are, and who scans them.

Comes in: names of tables, and the portable statement. Goes out: small tables and the rows of the scan, as files on this
machine. A module an engine; DuckDB, which reads files by itself, needs none.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mortcond.core.console import Console
from mortcond.core.errors import UsageError

ENGINES = ("duckdb", "spark", "postgres")


class Engine(Protocol):
    """A database, or a cluster, that holds tables and runs SQL."""

    name: str
    folder: Path | None  # a folder of this machine that holds its tables too: the small ones are read from there
    where: str  # for messages and manifests: what and where it is, without any password

    def columns(self, table: str) -> tuple[str, ...] | None:
        """Return the columns of a table in lower case, None where there is no such table."""

    def relation(self, table: str) -> str:
        """Return what SQL calls a table that is there."""

    def save(self, sql: str, folder: Path, console: Console, description: str) -> None:
        """Run a query and write its rows, all cells as text, as CSV or Parquet files into an existing folder.

        Raises InputError where the engine cannot be reached any more, or cannot run it.
        """


def address(source: Path) -> str:
    """Return a SOURCE as an engine needs it: a path has lost a slash of s3a://bucket or hdfs://host on its way."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(source))


@contextmanager
def opened(
    name: str, source: str | None, *, master: str | None = None, dsn: str | None = None
) -> Iterator[Engine | None]:
    """Open an engine; None for duckdb.

    Parameters
    ----------
    name
        One of ENGINES.
    source
        spark: a path that it reads, or catalog.schema of its tables. postgres: schemas, comma-separated; None: all.
    master
        spark: local[2], spark://host:7077, sc://host:15002 (Spark Connect), ...
    dsn
        postgres: a connection string or URI; what it leaves out, libpq's variables and files say (PGPASSWORD, .pgpass).

    Raises
    ------
    InputError
        The engine's library is not installed, or the engine cannot be reached.
    """
    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}.", f"Choose of {', '.join(ENGINES)}.")
    if name == "duckdb":
        yield None
    elif name == "spark":
        from mortcond.tables.engines import spark

        with spark.opened(source, master) as engine:
            yield engine
    else:
        from mortcond.tables.engines import postgres

        with postgres.opened(source, dsn) as engine:
            yield engine
