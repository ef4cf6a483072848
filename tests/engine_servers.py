"""A real PostgreSQL server and a real Spark cluster on this machine, for the tests of the engines.

Where one of them is not installed, the tests that need it are skipped and say what is missing.
"""

import gzip
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PASSWORD = "secret"
PATIENCE_SECONDS = 90
ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"nothing listens on port {port}")


# PostgreSQL


def postgres_binaries() -> Path:
    """Return the folder of initdb and postgres, or skip."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'mortcond[postgres]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) if Path("/usr/lib/postgresql").is_dir() else []
    where = shutil.which("postgres") or (str(found[-1]) if found else None)
    if where is None:
        pytest.skip("no PostgreSQL server here: Debian's package postgresql")
    return Path(where).parent


@dataclass
class Postgres:
    """A server that runs."""

    port: int
    folder: Path
    process: subprocess.Popen | None = None

    def dsn(self, user="postgres", password=PASSWORD, **more) -> str:
        facts = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": user,
            "password": password,
            "dbname": "postgres",
        } | more
        return " ".join(f"{key}={value}" for key, value in facts.items())


def _as_postgres() -> dict:
    """The server refuses to run as root: it then runs as the user that Debian's package made."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def postgres_server():
    """Run a server with a database of its own; passwords are asked for.

    Its folder is none of pytest's, which only their owner may enter: the server may run as another user.
    """
    binaries = postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="mortcond-postgres-"))
    server = Postgres(free_port(), folder)
    (folder / "password").write_text(PASSWORD)
    if os.geteuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder} | _as_postgres()
    how = ["-A", "scram-sha-256", "-U", "postgres", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C"]
    subprocess.run([binaries / "initdb", "-D", folder / "db", "-N", *how], check=True, **quiet)
    options = ["-p", str(server.port), "-c", "fsync=off", "-c", f"unix_socket_directories={folder}"]
    start = [binaries / "postgres", "-D", folder / "db", "-h", "127.0.0.1", *options]
    server.process = subprocess.Popen(start, **quiet)
    try:
        wait_for(server.port, server.process)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


INTEGERS = re.compile(
    r"(.*_id|itemid|error|iserror|warning|seq_num|icd_version|anchor_age|anchor_year|hospital_expire_flag)"
)
NUMBERS = ("los", "valuenum")
TIMES = ("dob", "dod", "dod_hosp", "dod_ssn")
TEXT_IDS = ("admit_provider_id", "order_provider_id")


def column_type(table: str, column: str) -> str:
    """Return the type that mimic-code's build gives a column."""
    if column == "value" and table == "outputevents":
        return "DOUBLE PRECISION"
    if column in TIMES or column.endswith("time"):
        return "TIMESTAMP(0)"
    if column in NUMBERS:
        return "DOUBLE PRECISION"
    return "INT" if INTEGERS.fullmatch(column) and column not in TEXT_IDS else "VARCHAR(255)"


def load_tables(server: Postgres, folder: Path, schema: str, types: dict[str, str] | None = None) -> None:
    """Create the tables of a folder in a schema, typed as mimic-code does; `types` are other types of columns."""
    import psycopg

    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for path in sorted(folder.rglob("*.csv*")):
            table = path.name.split(".")[0].lower()
            opener = gzip.open if path.name.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8", newline="") as file:
                header = [name.strip().strip('"').lower() for name in file.readline().split(",")]
                kinds = [(types or {}).get(f"{table}.{name}") or column_type(table, name) for name in header]
                columns = ", ".join(f"{name} {kind}" for name, kind in zip(header, kinds, strict=True))
                connection.execute(f"CREATE TABLE {schema}.{table} ({columns})")
                how = f"FORMAT csv, FORCE_NULL ({', '.join(header)})"
                with connection.cursor().copy(f"COPY {schema}.{table} FROM STDIN ({how})") as copy:
                    while block := file.read(2**20):
                        copy.write(block)


# Spark


@contextmanager
def kept_session(cluster: "Cluster"):
    """Open one session on a cluster for many tests: to start the processes of a session takes longer than most of them.

    While it is open, `spark.session` gives it to whoever asks for this cluster, and does not close it.
    """
    from mortcond.tables.engines import spark

    opened = spark.session

    def session(master: str | None):
        return nullcontext(found) if master == cluster.master else opened(master)

    with opened(cluster.master) as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spark, "session", session)
        yield cluster


def need_spark() -> None:
    """Skip where Spark cannot run."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'mortcond[spark]'")
    if shutil.which("java") is None:
        pytest.skip("no Java here: Debian's package openjdk-17-jre-headless")


@dataclass
class Cluster:
    """A standalone master with its workers."""

    master: str
    processes: list[subprocess.Popen] = field(default_factory=list)
    workers: list[subprocess.Popen] = field(default_factory=list)


@contextmanager
def spark_cluster(folder: Path, workers: int = 2):
    """Run a standalone master with workers of one core each, all on this machine."""
    need_spark()
    import pyspark

    home = Path(pyspark.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1"}

    def start(kind: str, *arguments: str) -> subprocess.Popen:
        command = [home / "bin" / "spark-class", f"org.apache.spark.deploy.{kind}", "--host", "127.0.0.1", *arguments]
        log = (folder / f"{kind}-{len(cluster.processes)}.log").open("wb")
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        cluster.processes.append(process)
        return process

    port = free_port()
    cluster = Cluster(f"spark://127.0.0.1:{port}")
    try:
        wait_for(port, start("master.Master", "--port", str(port), "--webui-port", str(free_port())))
        size = ["--cores", "1", "--memory", "1200m", "--work-dir", str(folder / "work")]
        for _ in range(workers):
            own = free_port()
            ports = ["--port", str(own), "--webui-port", str(free_port())]
            cluster.workers.append(start("worker.Worker", *size, *ports, cluster.master))
            wait_for(own, cluster.workers[-1])
        yield cluster
    finally:
        for process in reversed(cluster.processes):
            process.terminate()
        for process in cluster.processes:
            process.wait(20)


@contextmanager
def connect_server(folder: Path):
    """Run a server of Spark Connect, which is a Spark of its own; give its address."""
    need_spark()
    for needed in ("grpc", "grpc_status", "google.rpc", "zstandard"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"no {needed} here: pip install 'mortcond[spark]'")
    import pyspark

    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = {"spark.connect.grpc.binding.port": port, "spark.connect.grpc.binding.address": "127.0.0.1"}
    settings |= {"spark.ui.enabled": "false", "spark.sql.warehouse.dir": folder / "warehouse"}
    options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    kind = "org.apache.spark.sql.connect.service.SparkConnectServer"
    command = [Path(pyspark.__file__).parent / "bin" / "spark-submit", "--class", kind, "--master", "local[2]"]
    environment = os.environ | {
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with (folder / "connect.log").open("wb") as log:
        jar = ["spark-internal"]
        process = subprocess.Popen([*command, *options, *jar], env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        wait_for(port, process)
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
