"""PostgreSQL, with the tables as mimic-code builds them. Comes in: a connection string. Goes out: an `Engine`.

Rows come by COPY, so that neither side holds them all, and become Parquet in pieces. Nothing is written to the
database: a role that may only read, or a replica, is enough.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mortcond.core.console import Console
from mortcond.core.duckdb import duckdb
from mortcond.core.errors import InputError
from mortcond.core.libraries import how_to_install
from mortcond.tables.scan import csv_sql, literal

PIECE_BYTES = 64 * 2**20  # of CSV, before it becomes Parquet
CONNECT_SECONDS = 10
_SYSTEM = ("pg_catalog", "information_schema")


@dataclass
class PostgresEngine:
    """An open connection; see `engines.Engine`."""

    connection: object
    where: str
    schemas: tuple[str, ...]  # that are searched; () : all
    name: str = "postgres"
    folder: None = None
    found: dict[str, str] = field(default_factory=dict)  # table -> relation

    def columns(self, table: str) -> tuple[str, ...] | None:
        sql = """
            SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
            WHERE lower(c.relname) = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0
              AND NOT a.attisdropped AND n.nspname <> ALL (%s) AND (%s OR n.nspname = ANY (%s))
            ORDER BY a.attnum
        """
        parameters = (table.lower(), list(_SYSTEM), not self.schemas, list(self.schemas))
        with _explained(self.where):
            rows = self.connection.execute(sql, parameters).fetchall()
        places = sorted({(schema, name) for schema, name, _ in rows})
        if len(places) > 1:
            both = " and ".join(".".join(place) for place in places[:2])
            raise InputError(f"{self.where} holds {table} twice: {both}.", "Name the schema as SOURCE.")
        if not places:
            return None
        self.found[table] = ".".join(map(_quoted, places[0]))
        return tuple(column.lower() for _, _, column in rows)

    def relation(self, table: str) -> str:
        return self.found[table]

    def save(self, sql: str, folder: Path, console: Console, description: str) -> None:
        with _explained(self.where), console.progress(description) as bar, self.connection.cursor() as cursor:
            header = _header(cursor, sql)
            with cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)") as rows:
                for piece, megabytes in _pieces(rows, folder, header):
                    _to_parquet(piece, header)
                    bar.advance(1, note=f"{megabytes:,.0f} MB")


@contextmanager
def opened(source: str | None, dsn: str | None) -> Iterator[PostgresEngine]:
    """Connect; see `engines.opened`."""
    try:
        import psycopg
    except ImportError:
        raise InputError("psycopg is not installed.", how_to_install("psycopg")) from None
    schemas = tuple(part.strip() for part in (source or "").split(",") if part.strip())
    where = described(dsn or "")
    with _explained(where):
        connection = psycopg.connect(dsn or "", connect_timeout=CONNECT_SECONDS, autocommit=False)
    try:
        with _explained(where):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")  # all tables of one moment
        yield PostgresEngine(connection, where, schemas)
    finally:
        connection.close()


def described(dsn: str) -> str:
    """Return "PostgreSQL at host, database name" of a connection string, without user and password."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error as error:
        raise InputError(f"--dsn is no connection string of PostgreSQL: {_first_line(error)}.", "See --help.") from None
    host = f" at {parts['host']}" if parts.get("host") else ""
    database = f", database {parts['dbname']}" if parts.get("dbname") else ""
    return f"PostgreSQL{host}{database}"


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what psycopg raises into an InputError that names the cause."""
    import psycopg

    try:
        yield
    except psycopg.OperationalError as error:
        remedy = "Check --dsn, the password (PGPASSWORD or .pgpass) and the server, and run the command again."
        raise InputError(f"{where} cannot be reached, or went away: {_first_line(error)}.", remedy) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise InputError(f"{where}: {_first_line(error)}.", "Ask for the right to SELECT.") from None
    except psycopg.DataError as error:
        problem = f"{where}: a cell is not what its column must hold: {_first_line(error)}."
        raise InputError(problem, "Mend the table.") from None
    except psycopg.Error as error:
        raise InputError(f"{where}: {_first_line(error)}.", "Check the tables and --dsn.") from None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _header(cursor, sql: str) -> tuple[str, ...]:
    cursor.execute(f"SELECT * FROM ({sql}) q LIMIT 0")
    return tuple(column.name for column in cursor.description)


def _pieces(rows, folder: Path, header: tuple[str, ...]) -> Iterator[tuple[Path, float]]:
    """Write rows to CSV files of some PIECE_BYTES each; yield each file when it is complete, and megabytes so far.

    COPY sends whole rows, so a block never ends within one.
    """
    blocks, total = iter(rows), 0
    block = next(blocks, b"")
    for number in range(10**6):
        path, size = folder / f"part-{number:06}.csv", 0
        with path.open("wb") as file:
            file.write((",".join(map(_quoted, header)) + "\n").encode())
            while block and size < PIECE_BYTES:
                size += file.write(block)
                block = next(blocks, b"")
        total += size
        yield path, total / 1e6
        if not block:
            return


def _to_parquet(piece: Path, header: tuple[str, ...]) -> None:
    sql = f"SELECT * FROM {csv_sql(piece, dict.fromkeys(header, 'VARCHAR'))}"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO {literal(piece.with_suffix('.parquet'))} (FORMAT parquet)")
    piece.unlink()
