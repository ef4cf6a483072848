"""The same hospital preprocessed by DuckDB, PostgreSQL and Spark: are the tensors equal, and what does each cost?

Run it by hand, on a machine that does nothing else; it starts a PostgreSQL server and a Spark master with two workers:

    PYTHONPATH=tests python tests/benchmarks/engines_scale.py --rows 30

The hospital is made by `mortcond synth` in CSV, charted as densely as MIMIC-III. Seconds are the command's wall time
(PostgreSQL's loading is told apart); memory is the peak, sampled, of the command and of what it starts, and of the
servers' processes (proportional set size, so that shared pages count once). With --kill a worker of the cluster is
killed in the middle of the scan.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from engine_servers import PASSWORD, load_tables, postgres_server, spark_cluster
from preprocess_scale import MORTCOND, chart_rows, make_hospital

SAMPLE_SECONDS = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=30, help="millions of chart rows")
    parser.add_argument("--folder", type=Path, help="keep the hospital here, and use one that is there")
    parser.add_argument("--engines", nargs="+", default=["duckdb", "postgres", "spark"])
    parser.add_argument("--kill", action="store_true", help="kill a Spark worker in the middle")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="mortcond-engines-"))
    hospital = make_hospital(folder, arguments.rows, "csv")
    print(f"{chart_rows(hospital):,} chart rows\n| engine | seconds | command MB | servers MB | equal | load |")
    print("|" + " --- |" * 6, flush=True)
    try:
        for engine in dict.fromkeys(["duckdb", *arguments.engines]):
            ENGINES[engine](hospital, folder, arguments.kill)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder)


def with_duckdb(hospital: Path, folder: Path, kill: bool) -> None:
    told("duckdb", hospital, folder, [str(hospital)])


def with_postgres(hospital: Path, folder: Path, kill: bool) -> None:
    with postgres_server() as server:
        started = time.monotonic()
        load_tables(server, hospital, "mimiciii")
        print(f"PostgreSQL loaded in {time.monotonic() - started:.1f} s", flush=True)
        os.environ["PGPASSWORD"] = PASSWORD
        dsn = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
        told("postgres", hospital, folder, ["mimiciii", "--engine", "postgres", "--dsn", dsn], [server.process.pid])


def with_spark(hospital: Path, folder: Path, kill: bool) -> None:
    with spark_cluster(Path(tempfile.mkdtemp(prefix="mortcond-spark-"))) as cluster:
        servers = [process.pid for process in cluster.processes]
        command = [str(hospital), "--engine", "spark", "--spark-master", cluster.master]
        if kill:
            threading.Thread(target=_kill_in_the_middle, args=(cluster, folder), daemon=True).start()
        told("spark, a worker killed" if kill else "spark", hospital, folder, command, servers)


ENGINES = {"duckdb": with_duckdb, "postgres": with_postgres, "spark": with_spark}


def told(engine: str, hospital: Path, folder: Path, options: list[str], servers: tuple | list = ()) -> None:
    """Run preprocess, and print a row of the table."""
    out = folder / f"{engine.split(',')[0]}.npz"
    command = [*MORTCOND, "preprocess", *options, "-q", "--overwrite", "-o", str(out)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks = [0.0, 0.0]
    while process.poll() is None:
        peaks = [max(peak, megabytes(roots)) for peak, roots in zip(peaks, ([process.pid], servers), strict=True)]
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.monotonic() - started
    equal = same(folder / "duckdb.npz", out)
    print(
        f"| {engine} | {seconds:.1f} | {peaks[0]:,.0f} | {peaks[1]:,.0f} | {equal} | {os.getloadavg()[0]:.1f} |",
        flush=True,
    )


def same(one: Path, other: Path) -> str:
    """Say in how many cells the arrays of two data sets differ."""
    with np.load(one) as a, np.load(other) as b:
        names = [name for name in a.files if name != "meta"]
        cells = sum(a[name].size for name in names if name.startswith("X_"))
        differ = sum(int((a[name] != b[name]).sum()) if a[name].shape == b[name].shape else 1 for name in names)
    return f"{differ} of {cells:,} differ"


def megabytes(roots) -> float:
    """Return the memory of processes and of all that they started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    todo, total = list(roots), 0.0
    while todo:
        process = todo.pop()
        todo += parents.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3
    return total


def _kill_in_the_middle(cluster, folder: Path) -> None:
    while not list(folder.glob(".mortcond-*/**/scanned/_temporary")) and not list(folder.glob("**/scanned/_temporary")):
        time.sleep(0.2)
    time.sleep(3)
    cluster.workers[0].kill()


if __name__ == "__main__":
    main()
