"""A million stays scored on a Spark cluster and on one machine: are the risks equal, and what does each cost?

Run it by hand, on a machine that does nothing else; it starts a Spark master with two workers:

    PYTHONPATH=tests python tests/benchmarks/predict_spark_scale.py MODEL [--stays 1000000] [--rows-per-stay 12]

The events are made up (a value of a normal range at a random time) and lie in Parquet beside a table of stays. Seconds
are the command's wall time; memory is the peak, sampled, of the command and of what it starts, and of the cluster's
processes (proportional set size, so that shared pages count once).
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import duckdb
from engine_servers import spark_cluster
from engines_scale import SAMPLE_SECONDS, megabytes
from preprocess_scale import MORTCOND

VARIABLES = {
    "Heart Rate": (50, 120),
    "Systolic blood pressure": (80, 180),
    "Diastolic blood pressure": (40, 100),
    "Respiratory rate": (10, 30),
    "Oxygen saturation": (88, 100),
    "Temperature": (35, 40),
    "Glucose": (70, 250),
    "pH": (7, 7.6),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--stays", type=int, default=1_000_000)
    parser.add_argument("--rows-per-stay", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mortcond-scale-") as name:
        folder = Path(name)
        write(folder, arguments.stays, arguments.rows_per_stay)
        here, there = folder / "here.csv", folder / "there.csv"
        print("| where | seconds | command MB | cluster MB | load |\n| --- | --- | --- | --- | --- |", flush=True)
        told("one machine", arguments.model, folder, here, [])
        with spark_cluster(Path(name, "cluster")) as cluster:
            options = ["--engine", "spark", "--spark-master", cluster.master]
            told("Spark, 2 workers", arguments.model, folder, there, options, [p.pid for p in cluster.processes])
        print(compared(here, there), flush=True)


def write(folder: Path, stays: int, rows: int) -> None:
    """Write so many stays with so many events each; the same numbers give the same tables."""
    names = ", ".join(
        f"({place}, '{name}', {low}, {high})" for place, (name, (low, high)) in enumerate(VARIABLES.items())
    )
    share = "(hash(s.stay_id, r.number, {}) % 1000000) / 1e6"
    events = f"""
        SELECT s.stay_id, round(48 * {share.format(1)}, 3) AS hours, v.name AS variable,
               round(v.low + (v.high - v.low) * {share.format(2)}, 2) AS value
        FROM (SELECT 7 * range + 3 AS stay_id FROM range({stays})) s, (SELECT range AS number FROM range({rows})) r
        JOIN (VALUES {names}) v(place, name, low, high)
          ON v.place = hash(s.stay_id, r.number) % {len(VARIABLES)}
    """
    listed = f"SELECT 7 * range + 3 AS stay_id, range AS subject_id, 20 + range % 70 AS age FROM range({stays})"
    with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(folder / "spill")}) as connection:
        connection.execute(f"COPY ({events}) TO '{folder / 'events.parquet'}' (FORMAT parquet)")
        connection.execute(f"COPY ({listed}) TO '{folder / 'stays.parquet'}' (FORMAT parquet)")


def told(
    where: str, model: Path, folder: Path, out: Path, options: list[str], servers: list[int] | None = None
) -> None:
    """Run predict, and print a row of the table."""
    started = time.monotonic()
    process = subprocess.Popen([*MORTCOND, "predict", str(model), str(folder), "-q", "-o", str(out), *options])
    peaks = [0.0, 0.0]
    while process.poll() is None:
        peaks = [max(peak, megabytes(roots)) for peak, roots in zip(peaks, ([process.pid], servers or ()), strict=True)]
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"{where}: predict ended with {process.returncode}")
    seconds = time.monotonic() - started
    print(f"| {where} | {seconds:.1f} | {peaks[0]:,.0f} | {peaks[1]:,.0f} | {os.getloadavg()[0]:.1f} |", flush=True)


def compared(here: Path, there: Path) -> str:
    """Say how far the rows of two files of risks are apart."""
    sql = f"""
        SELECT count(*), count(a.risk), max(abs(a.risk - b.risk)),
               count(*) FILTER (a IS DISTINCT FROM b)
        FROM '{here}' a FULL JOIN '{there}' b ON a.stay_id = b.stay_id
    """
    rows, risks, largest, differ = duckdb.sql(sql).fetchall()[0]
    same = "equal" if here.read_bytes() == there.read_bytes() else "not equal"
    return f"{rows:,} stays, {risks:,} risks: {differ:,} rows differ, by {largest} at most; the files are {same}"


if __name__ == "__main__":
    main()
