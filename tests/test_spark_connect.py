"""Spark Connect: the demo's scan and stays' risks over `sc://`, by a real server on this machine."""

import duckdb
import pytest
from deploy_workspace import session, workspace
from engine_servers import connect_server, free_port
from test_engines import hospital, read, same

from mortcond.commands import predict as room
from mortcond.core.errors import InputError
from mortcond.tables.engines import opened, spark

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with connect_server(tmp_path_factory.mktemp("connect")) as running:
        yield running


def by_connect(address: str, source, scratch):
    with opened("spark", str(source), master=address) as engine:
        return read("nowhere", scratch, engine=engine)


@pytest.mark.parametrize("name", ["mimic3-demo", "mimic4-demo"])
def test_the_demo(name, address, test_data, tmp_path):
    same(by_connect(address, test_data / name, tmp_path / "1"), read(test_data / name, tmp_path / "2"))


def test_rows_through_the_client_are_the_same(address, tmp_path):
    folder = hospital().write(tmp_path / "in")
    with opened("spark", str(folder), master=address) as engine:
        engine.local = False
        records = read("nowhere", tmp_path / "1", engine=engine)
    same(records, read(folder, tmp_path / "2"))


def test_tables_by_their_names(address, tmp_path):
    folder = hospital().write(tmp_path / "in", ending=".parquet")
    with opened("spark", "hospital", master=address) as engine:
        engine.session.sql(f"CREATE DATABASE hospital LOCATION '{(tmp_path / 'warehouse').as_uri()}'")
        for path in folder.glob("*.parquet"):
            frame = engine.session.read.parquet(path.as_uri())
            frame.write.saveAsTable(f"hospital.{path.stem.lower()}")
        records = read("nowhere", tmp_path / "1", engine=engine)
    same(records, read(folder, tmp_path / "2"))


def test_risks_are_those_of_one_machine(address, tmp_path):
    folder = workspace(tmp_path / "workspace")
    rows = (
        "SELECT s.range AS stay_id, 0.5 + h.range AS hours, 'Heart Rate' AS variable, 60 + s.range + h.range AS value"
    )
    sql = f"{rows} FROM range(40) s, range(20) h"
    (tmp_path / "in").mkdir()
    duckdb.sql(sql).write_parquet(str(tmp_path / "in" / "events.parquet"))
    duckdb.sql("SELECT range AS stay_id, range AS subject_id FROM range(41)").write_parquet(
        str(tmp_path / "in" / "stays.parquet")
    )
    out = [tmp_path / "here.csv", tmp_path / "there.csv"]
    room.predict(session("predict", folder), folder / "lstm", tmp_path / "in", out=out[0])
    how = {"engine": "spark", "spark_master": address}
    result = room.predict(session("predict", folder), folder / "lstm", tmp_path / "in", out=out[1], **how)
    assert out[0].read_text() == out[1].read_text()
    assert (result["stays"], result["predicted"]) == (41, 40)


def test_a_text_for_a_number(address, tmp_path):
    folder = hospital().write(tmp_path / "in")
    charts = folder / "CHARTEVENTS.csv"
    charts.write_text(charts.read_text().replace(",100,1000,184,", ",abc,1000,184,"))
    with pytest.raises(InputError, match=r"a cell is not what its column must hold: .*'abc'"):
        by_connect(address, folder, tmp_path / "1")


def test_a_missing_table(address, tmp_path):
    folder = hospital().write(tmp_path / "in")
    (folder / "LABEVENTS.csv").unlink()
    with pytest.raises(InputError, match="has no table LABEVENTS"):
        by_connect(address, folder, tmp_path / "1")


def test_no_server():
    with pytest.raises(InputError, match="cannot be reached"), spark.session(f"sc://127.0.0.1:{free_port()}"):
        pass
