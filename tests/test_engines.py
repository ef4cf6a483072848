"""The portable scan: one text, equal rows on every engine; PostgreSQL; the rows of a scan that ran elsewhere."""

import json
import shutil
import subprocess
import threading
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest
from engine_servers import load_tables, postgres_server
from mimic3_tables import Hospital, tensor
from mimic4_tables import Hospital4

from mortcond import tables
from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.tables import Request, elsewhere, portable
from mortcond.tables.engines import opened, postgres
from mortcond.tables.portable import BigTable
from mortcond.variables import load

BIG3 = [
    BigTable("CHARTEVENTS", "mimiciii.chartevents", "icustay_id", "error"),
    BigTable("LABEVENTS", "mimiciii.labevents", None, None),
    BigTable("OUTPUTEVENTS", "mimiciii.outputevents", "icustay_id", "iserror"),
]


def hospital() -> Hospital:
    made = Hospital()
    for subject in (1, 2, 3):
        ids = {"subject": subject, "hadm": subject * 100, "icustay": subject * 1000}
        made.stay(**ids)
        made.chart(211, 60 + subject, **ids).chart(184, "None", hours=3.25, **ids).chart(678, "98.6", unit="?F", **ids)
        made.chart(211, 200, hours=1.5, error="1", **ids).lab(50931, "1,5", subject=subject, hadm=subject * 100)
        made.lab(50820, "7.31", hours=4, subject=subject, hadm=subject * 100).output(40055, 120, **ids)
    return made.chart(211, 99, subject=9, hadm=900, icustay=9000)  # of nobody in the cohort


def hospital4() -> Hospital4:
    made = Hospital4().stay().chart(220045, 88).chart(226730, 170, hours=-0.5).chart(223900, "No Response")
    return made.lab(50931, 140, hours=2.5).stay(2, 200, 2000).chart(220045, 70, subject=2, hadm=200, stay=2000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return hospital().write(tmp_path_factory.mktemp("mimic3"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, folder):
    with postgres_server() as running:
        load_tables(running, folder, "mimiciii")
        four = hospital4().write(tmp_path_factory.mktemp("mimic4"))
        load_tables(running, four / "hosp", "mimiciv_hosp")
        load_tables(running, four / "icu", "mimiciv_icu")
        yield running


def read(source, scratch: Path, **request) -> tables.Records:
    scratch.mkdir(parents=True)
    return tables.read(Path(source), load("paper76"), Request(scratch, console=Console(quiet=True), **request))


def by_postgres(server, schemas: str | None, scratch: Path, strict=False, **dsn) -> tables.Records:
    with opened("postgres", schemas, dsn=server.dsn(**dsn)) as engine:
        return read("nowhere", scratch, engine=engine, strict=strict)


def same(records, others) -> None:
    assert records.stays.to_dict() == others.stays.to_dict()
    assert records.attrition == others.attrition
    X, Y = tensor(records), tensor(others)
    for name in X:
        np.testing.assert_array_equal(X[name], Y[name], err_msg=name)


# One text


def rows_of_duckdb(folder: Path, sql: str) -> list[tuple]:
    """Run the text over the files as they are, all columns as text."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA mimiciii")
        for path in folder.glob("*.csv"):
            source = f"read_csv('{path}', all_varchar = true, header = true, delim = ',', quote = '\"', nullstr = '')"
            connection.execute(f"CREATE VIEW mimiciii.{path.stem} AS SELECT * FROM {source}")
        return connection.execute(sql).fetchall()


def test_one_text_gives_equal_rows_on_duckdb_and_postgresql(folder, server):
    import psycopg

    texts = {
        portable.statement(BIG3, [211, 184, 50931, 50820, 40055], [100, 200], name) for name in portable.DIALECTS[:4]
    }
    assert len(texts) == 1
    with psycopg.connect(server.dsn()) as connection:
        of_postgres = connection.execute(texts.copy().pop()).fetchall()
    of_duckdb = rows_of_duckdb(folder, texts.pop())
    assert sorted(map(str, of_duckdb)) == sorted(map(str, of_postgres))
    assert len(of_duckdb) == 2 * 6


def test_ids_that_another_program_saved_as_decimals_join(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "in")
    charts = tmp_path / "in" / "CHARTEVENTS.csv"
    charts.write_text(charts.read_text().replace(",100,1000,", ",100.0,1000.0,"))
    sql = portable.statement(BIG3[:1], [211], [100], "duckdb")
    assert len(rows_of_duckdb(tmp_path / "in", sql)) == len(rows_of_duckdb(folder, sql)) == 2


def test_ids_of_19_digits_join_exactly(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "in")
    charts, large = tmp_path / "in" / "CHARTEVENTS.csv", 2**62
    for near in (100, 200, 300):
        charts.write_text(charts.read_text().replace(f",{near},{near}0,", f",{large + near // 100},{near}0,"))
    sql = portable.statement(BIG3[:1], [211], [large + 1], "duckdb")
    rows = rows_of_duckdb(tmp_path / "in", sql)
    assert {row[2] for row in rows} == {str(large + 1)}
    assert len(rows) == 2


def test_postgresql_joins_ids_of_19_digits(server, tmp_path):
    large = 2**62
    made = Hospital()
    for number in range(3):
        ids = {"subject": large + number, "hadm": large + 10 + number, "icustay": large + 20 + number}
        made.stay(**ids).chart(211, 80 + number, **ids)
    folder = made.write(tmp_path / "in")
    names = ("subject_id", "hadm_id", "icustay_id")
    types = {f"{path.stem.lower()}.{name}": "BIGINT" for path in folder.glob("*.csv") for name in names}
    load_tables(server, folder, "wide_ids", types)
    records = by_postgres(server, "wide_ids", tmp_path / "1")
    assert tensor(records)["Heart Rate"][:, 0].tolist() == [80, 81, 82]
    same(records, read(folder, tmp_path / "2"))


def test_bigquery_has_its_own_words(folder):
    sql = portable.statement(BIG3, [211], [100], "bigquery")
    assert "UNNEST([" in sql
    assert "VARCHAR" not in sql
    assert "VALUES" not in sql


# PostgreSQL


def test_postgresql_gives_the_tensors_of_duckdb(server, folder, tmp_path):
    records = by_postgres(server, "mimiciii", tmp_path / "1")
    assert records.source == "mimic3"
    same(records, read(folder, tmp_path / "2"))


def test_postgresql_in_two_schemas_gives_the_tensors_of_duckdb(server, tmp_path):
    records = by_postgres(server, "mimiciv_hosp, mimiciv_icu", tmp_path / "1")
    assert records.source == "mimic4"
    same(records, read(hospital4().write(tmp_path / "in"), tmp_path / "2"))


def test_many_pieces_are_one_table(server, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "PIECE_BYTES", 100)
    records = by_postgres(server, "mimiciii", tmp_path / "1")
    assert len(list((tmp_path / "1" / "scanned").glob("*.parquet"))) > 3
    same(records, read(folder, tmp_path / "2"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "schemas"), [("mimic3-demo", "demo3"), ("mimic4-demo", "demo4")])
def test_postgresql_equals_duckdb_on_the_demo(name, schemas, server, test_data, tmp_path):
    load_tables(server, test_data / name, schemas)
    same(by_postgres(server, schemas, tmp_path / "1"), read(test_data / name, tmp_path / "2"))


# What cannot be used


def test_a_table_in_two_schemas_is_refused(server, tmp_path):
    with pytest.raises(InputError, match=r"holds icustays twice: mimiciii.icustays and mimiciv_icu.icustays"):
        by_postgres(server, None, tmp_path / "1")


def test_no_tables(server, tmp_path):
    with pytest.raises(InputError, match="has no table ICUSTAYS"):
        by_postgres(server, "public", tmp_path / "1")


def changed(server, tmp_path, schema: str, *changes: str, strict=False) -> tables.Records:
    """Read a copy of the tables in which something is changed."""
    import psycopg

    load_tables(server, hospital().write(tmp_path / "in"), schema, {"chartevents.hadm_id": "VARCHAR(20)"})
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for change in changes:
            connection.execute(change)
    return by_postgres(server, schema, tmp_path / "1", strict)


def test_a_missing_big_table(server, tmp_path):
    with pytest.raises(InputError, match="has no table LABEVENTS"):
        changed(server, tmp_path, "no_labs", "DROP TABLE no_labs.labevents")


def test_a_missing_column(server, tmp_path):
    with pytest.raises(InputError, match="CHARTEVENTS has no column valueuom; it has row_id, "):
        changed(server, tmp_path, "no_unit", "ALTER TABLE no_unit.chartevents DROP COLUMN valueuom")


def test_a_missing_column_of_a_small_table(server, tmp_path):
    with pytest.raises(InputError, match="PATIENTS has no column dob"):
        changed(server, tmp_path, "no_dob", "ALTER TABLE no_dob.patients DROP COLUMN dob")


def test_a_text_for_a_number(server, tmp_path):
    with pytest.raises(InputError, match=r"a cell is not what its column must hold: .*numeric: \"abc\""):
        changed(server, tmp_path, "words", "UPDATE words.chartevents SET hadm_id = 'abc' WHERE row_id = 2")


def test_an_event_that_is_no_number_is_still_located(server, tmp_path):
    with pytest.raises(InputError, match=r"row [0-9]+, column VALUE: 'fast' is no number"):
        change = "UPDATE fast.chartevents SET value = 'fast' WHERE itemid = 211"
        changed(server, tmp_path, "fast", change, strict=True)


def test_a_role_without_the_right_to_read(server, tmp_path):
    import psycopg

    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'; GRANT USAGE ON SCHEMA mimiciii TO guest")
    with pytest.raises(InputError, match="permission denied for table icustays"):
        by_postgres(server, "mimiciii", tmp_path / "1", user="guest", password="guest")


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"dbname": "nothing"}, {"port": 1}, {"user": "nobody"}])
def test_wrong_credentials_and_places(wrong, server, tmp_path):
    with pytest.raises(InputError, match="cannot be reached, or went away") as caught:
        by_postgres(server, "mimiciii", tmp_path / "1", **wrong)
    assert "wrong" not in caught.value.problem.replace("went away", "")


def test_a_connection_that_is_lost_in_the_middle(server, tmp_path):
    import psycopg

    def cut() -> None:
        time.sleep(1)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%'"
            connection.execute(others)

    threading.Thread(target=cut).start()
    with opened("postgres", "mimiciii", dsn=server.dsn()) as engine:
        sql = "SELECT pg_sleep(0.1) AS a FROM generate_series(1, 300)"
        with pytest.raises(InputError, match="went away: terminating connection"):
            engine.save(sql, tmp_path, Console(quiet=True), "Reading")


def test_a_dsn_that_is_none():
    with pytest.raises(InputError, match="--dsn is no connection string"), opened("postgres", None, dsn="what is this"):
        pass


def test_an_engine_that_there_is_none_of():
    with pytest.raises(UsageError, match="no engine 'oracle'"), opened("oracle", None):
        pass


# A scan that ran elsewhere


def printed(folder: Path, scratch: Path, dialect: str, schemas=()) -> str:
    scratch.mkdir(parents=True)
    request = Request(scratch, console=Console(quiet=True))
    return tables.statement(folder, load("paper76"), request, dialect, schemas, None)


def only_small(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*EVENTS*"))
    return target


@pytest.mark.skipif(shutil.which("psql") is None, reason="no psql here: Debian's package postgresql-client")
def test_psql_runs_the_printed_scan_and_its_csv_comes_back(server, folder, tmp_path):
    small = only_small(folder, tmp_path / "small")
    sql = printed(small, tmp_path / "0", "postgres")
    out = subprocess.run(["psql", "-X", "-q", server.dsn()], input=sql, capture_output=True, text=True, check=True)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "scan.csv").write_text(out.stdout)
    same(read(small, tmp_path / "1", scanned=tmp_path / "rows"), read(folder, tmp_path / "2"))


def test_parquet_of_the_printed_scan_comes_back(folder, tmp_path):
    small = only_small(folder, tmp_path / "small")
    sql = printed(small, tmp_path / "0", "duckdb", ("mimiciii",))
    rows = rows_of_duckdb(folder, sql)
    (tmp_path / "rows").mkdir()
    listed = tmp_path / "listed.json"
    listed.write_text(json.dumps([dict(zip(portable.COLUMNS, row, strict=True)) for row in rows]))
    text = dict.fromkeys(portable.COLUMNS, "VARCHAR")
    where = tmp_path / "rows" / "part-0.parquet"
    duckdb.sql(f"COPY (SELECT * FROM read_json('{listed}', columns = {text})) TO '{where}' (FORMAT parquet)")
    same(read(small, tmp_path / "1", scanned=tmp_path / "rows"), read(folder, tmp_path / "2"))


@pytest.mark.parametrize(
    ("version", "dialect", "expected"),
    [
        ("mimic3", "postgres", "FROM mimiciii.labevents e"),
        ("mimic4", "postgres", "FROM mimiciv_hosp.labevents e"),
        ("mimic4", "bigquery", "FROM `physionet-data.mimiciv_3_1_icu`.chartevents e"),
        ("mimic3", "databricks", "FROM chartevents e"),
    ],
)
def test_tables_stand_where_published_builds_keep_them(version, dialect, expected, tmp_path):
    made = hospital() if version == "mimic3" else hospital4()
    assert expected in printed(made.write(tmp_path / "in"), tmp_path / "0", dialect)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (None, "There is no folder"),
        ({}, "holds no .csv"),
        ({"scan.csv": "subject_id,hadm_id\n1,100\n"}, "has no column source"),
    ],
)
def test_rows_that_are_no_scan(files, problem, folder, tmp_path):
    if files is not None:
        (tmp_path / "rows").mkdir()
        for name, text in files.items():
            (tmp_path / "rows" / name).write_text(text)
    with pytest.raises(InputError, match=problem):
        read(folder, tmp_path / "1", scanned=tmp_path / "rows")


def test_a_dialect_that_there_is_none_of(folder, tmp_path):
    with pytest.raises(UsageError, match="no dialect 'oracle'"):
        printed(folder, tmp_path / "0", "oracle")


def test_neither_version(tmp_path):
    with pytest.raises(InputError, match="neither ICUSTAY_ID nor STAY_ID"):
        elsewhere.version(("subject_id",), "here")
