"""Spark as an engine: a real standalone master with two workers on this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from engine_servers import ROOT, free_port, kept_session, need_spark, spark_cluster
from mimic3_tables import Hospital, tensor
from test_engines import BIG3, hospital, hospital4, read, rows_of_duckdb, same

from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.tables import portable
from mortcond.tables.engines import opened, spark

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with spark_cluster(tmp_path_factory.mktemp("spark")) as running, kept_session(running):
        yield running


def by_spark(cluster, source, scratch: Path):
    with opened("spark", str(source), master=cluster.master) as engine:
        return read("nowhere", scratch, engine=engine)


# Sessions of their own: first, since the others share one, and a process has one at a time


def test_the_demo_with_a_worker_killed_in_the_middle(test_data, tmp_path):
    with spark_cluster(tmp_path / "cluster") as cluster:
        scratch = tmp_path / "1"

        def kill() -> None:
            while not (scratch / "scanned").is_dir():
                time.sleep(0.05)
            time.sleep(1.5)
            cluster.workers[0].kill()

        killer = threading.Thread(target=kill)
        killer.start()
        records = by_spark(cluster, test_data / "mimic3-demo", scratch)
        killer.join()
    X, Y = tensor(records), tensor(read(test_data / "mimic3-demo", tmp_path / "2"))
    assert all(np.array_equal(X[name], Y[name]) for name in X)


def test_all_workers_are_lost(tmp_path, monkeypatch):
    """Without workers Spark would wait for ever: the master goes too, as in a cluster that is shut down."""
    monkeypatch.setattr(spark, "MASTER_PATIENCE_SECONDS", 3)
    folder = hospital().write(tmp_path / "in")
    with spark_cluster(tmp_path / "cluster") as cluster, opened("spark", str(folder), master=cluster.master) as engine:
        engine.session.range(10).count()
        for process in (*cluster.workers, *cluster.processes):
            process.kill()
        target = tmp_path / "out"
        target.mkdir()
        with pytest.raises(InputError, match="went away"):
            sql = "SELECT count(*) AS n FROM range(0, 100000000, 1, 8) a CROSS JOIN range(100) b WHERE a.id % 7 = b.id"
            engine.save(sql, target, Console(quiet=True), "Reading")


def test_no_master():
    need_spark()
    with pytest.raises(InputError, match="cannot be reached"), spark.session(f"spark://127.0.0.1:{free_port()}"):
        pass


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_in_the_middle_ends_everything(name, tmp_path):
    """As a terminal sends it, to all processes: no traceback, nothing left, neither on the disk nor of Java."""
    need_spark()
    folder = hospital().write(tmp_path / "in")
    workspace = tmp_path / "out"
    command = [sys.executable, "-m", "mortcond.cli", "preprocess", folder, "--engine", "spark", "-w", workspace]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list(workspace.glob(".mortcond-*/**/scanned")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert "Interrupted." in said
    assert sorted(path.name for path in workspace.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def test_no_java(tmp_path):
    """In a process of its own: this one has a Java by now."""
    need_spark()
    hospital().write(tmp_path / "in")
    hidden = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "SPARK_HOME")}
    command = [sys.executable, "-m", "mortcond.cli", "preprocess", tmp_path / "in", "--engine", "spark", "-w", tmp_path]
    environment = hidden | {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 3
    assert "Spark found no Java." in done.stderr
    assert "Traceback" not in done.stderr


# A session for all


def test_the_demo_of_mimic4(cluster, test_data, tmp_path):
    folder = test_data / "mimic4-demo"
    same(by_spark(cluster, folder, tmp_path / "1"), read(folder, tmp_path / "2"))


def test_the_same_text_gives_the_rows_of_duckdb(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in")
    with opened("spark", str(folder), master=cluster.master) as engine:
        for table in BIG3:
            engine.columns(table.name)
        text = portable.statement(BIG3, [211, 184, 50931, 50820, 40055], [100, 200], "spark")
        of_spark = engine.session.sql(text.replace("mimiciii.", "mortcond_")).collect()
    of_duckdb = rows_of_duckdb(folder, text)
    assert sorted(str(tuple(row)) for row in of_spark) == sorted(map(str, of_duckdb))


@pytest.mark.parametrize("form", [{}, {"ending": ".parquet"}, {"ending": ".csv.gz"}, {"parts": 3, "subfolder": True}])
def test_files_of_every_form(form, cluster, tmp_path):
    folder = hospital().write(tmp_path / "in", **form)
    same(by_spark(cluster, folder, tmp_path / "1"), read(folder, tmp_path / "2"))


def test_mimic4_in_its_folders(cluster, tmp_path):
    folder = hospital4().write(tmp_path / "in")
    same(by_spark(cluster, folder, tmp_path / "1"), read(folder, tmp_path / "2"))


def test_tables_by_their_names(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in", ending=".parquet")
    with opened("spark", "hospital", master=cluster.master) as engine:
        engine.session.sql(f"CREATE DATABASE hospital LOCATION '{(tmp_path / 'warehouse').as_uri()}'")
        for path in folder.glob("*.parquet"):
            frame = engine.session.read.parquet(path.as_uri())
            frame.write.saveAsTable(f"hospital.{path.stem.lower()}")
        records = read("nowhere", tmp_path / "1", engine=engine)
    same(records, read(folder, tmp_path / "2"))


def test_rows_through_the_driver_are_the_same(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in")
    with opened("spark", str(folder), master=cluster.master) as engine:
        engine.local = False
        records = read("nowhere", tmp_path / "1", engine=engine)
    assert (tmp_path / "1" / "scanned" / "part-0.csv").exists()
    same(records, read(folder, tmp_path / "2"))


def test_missing_marks_and_ids_of_19_digits(cluster, tmp_path):
    large = 2**62
    made = Hospital()
    for number in range(3):
        ids = {"subject": large + number, "hadm": large + 10 + number, "icustay": large + 20 + number}
        made.stay(**ids).chart(211, 80 + number, **ids)
        made.chart(211, 200, hours=2.5, subject=large + number, hadm="NA", icustay="\\N").lab(50931, 90, hadm="NULL")
    folder = made.write(tmp_path / "in")
    records = by_spark(cluster, folder, tmp_path / "1")
    assert tensor(records)["Heart Rate"].max(axis=1).tolist() == [80, 81, 82]
    same(records, read(folder, tmp_path / "2"))


# What cannot be used


def test_a_missing_table(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in")
    (folder / "LABEVENTS.csv").unlink()
    with pytest.raises(InputError, match="has no table LABEVENTS"):
        by_spark(cluster, folder, tmp_path / "1")


def test_a_missing_column(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in")
    charts = folder / "CHARTEVENTS.csv"
    charts.write_text(charts.read_text().replace("VALUEUOM", "UNIT"))
    with pytest.raises(InputError, match="CHARTEVENTS has no column valueuom"):
        by_spark(cluster, folder, tmp_path / "1")


def test_a_text_for_a_number(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in")
    charts = folder / "CHARTEVENTS.csv"
    charts.write_text(charts.read_text().replace(",100,1000,184,", ",abc,1000,184,"))
    with pytest.raises(InputError, match=r"a cell is not what its column must hold: .*'abc'"):
        by_spark(cluster, folder, tmp_path / "1")


def test_a_file_that_is_cut_off(cluster, tmp_path):
    folder = hospital().write(tmp_path / "in", ending=".csv.gz")
    charts = folder / "CHARTEVENTS.csv.gz"
    charts.write_bytes(charts.read_bytes()[:-20])
    with pytest.raises(InputError, match="Spark"):
        by_spark(cluster, folder, tmp_path / "1")
