"""The commands with engines: what they take together, what they write, and what of a password is left anywhere."""

import json
from pathlib import Path

import numpy as np
import pytest
from engine_servers import PASSWORD, postgres_server
from test_engines import folder, server  # noqa: F401 (fixtures)

from mortcond import dataset
from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.core.session import Session
from mortcond.options.predict import Predict
from mortcond.options.preprocess import Preprocess
from mortcond.tables.engines import address

assert postgres_server  # the fixtures use it


def run(workspace: Path, source=None, **options):
    return preprocess(Session(workspace=workspace, console=Console(quiet=True)), source, **options)


def split_file(tmp_path) -> Path:
    (tmp_path / "split.csv").write_text("1,train\n2,val\n3,test\n")
    return tmp_path / "split.csv"


def test_preprocess_on_postgresql(folder, server, tmp_path, capsys):  # noqa: F811
    splits = split_file(tmp_path)
    result = run(tmp_path / "1", "mimiciii", engine="postgres", dsn=server.dsn(), split_file=splits)
    run(tmp_path / "2", folder, split_file=splits)
    one, other = (dataset.load(tmp_path / name / "dataset.npz") for name in "12")
    for split in dataset.SPLITS:
        np.testing.assert_array_equal(one.split(split).X, other.split(split).X)
    manifest = one.meta["manifest"]
    assert manifest["inputs"]["source"]["path"].startswith("mimiciii on PostgreSQL at 127.0.0.1")
    assert manifest["options"]["dsn"]["value"] == "(not recorded)"
    said = capsys.readouterr()
    assert PASSWORD not in json.dumps(one.meta) + json.dumps(result, default=str) + said.out + said.err


def test_nothing_is_written_where_the_server_refuses(server, tmp_path):  # noqa: F811
    with pytest.raises(InputError, match="cannot be reached"):
        run(tmp_path / "w", "mimiciii", engine="postgres", dsn=server.dsn(password="wrong"))
    assert [path for path in (tmp_path / "w").rglob("*") if path.is_file()] == []


def test_the_printed_scan_is_all_of_stdout(folder, tmp_path, capsys):  # noqa: F811
    from mortcond.commands.preprocess import render

    result = run(tmp_path / "w", folder, print_scan="spark")
    assert list(render(result)) == []
    assert capsys.readouterr().out == result["statement"]
    assert not (tmp_path / "w").exists()


def test_the_printed_scan_in_a_file(folder, tmp_path):  # noqa: F811
    run(tmp_path, folder, print_scan="bigquery", out=tmp_path / "scan.sql", schema="mine")
    assert "FROM mine.chartevents e" in (tmp_path / "scan.sql").read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dsn": "host=x"}, "--dsn is for --engine postgres only"),
        ({"spark_master": "local[2]", "engine": "postgres"}, "--spark-master is for --engine spark only"),
        ({"engine": "spark", "scanned": "rows", "source": "x"}, "--engine and --scanned cannot go together"),
        ({"print_scan": "spark"}, "--print-scan needs a SOURCE"),
        ({"engine": "spark"}, "--engine needs a SOURCE"),
        ({"schema": "mine"}, "--schema is for --print-scan only"),
    ],
)
def test_options_that_contradict_each_other(options, problem):
    with pytest.raises(UsageError, match=problem):
        Preprocess(**options)


@pytest.mark.parametrize("options", [{"spark_master": "local[2]"}, {"engine": "spark", "split": "train"}])
def test_options_of_predict_that_contradict_each_other(options):
    with pytest.raises(UsageError, match="--engine spark"):
        Predict(Path("m"), Path("d"), **options)


@pytest.mark.parametrize("meant", ["hdfs://host/data", "s3a://bucket/x", "/data/x", "catalog.schema"])
def test_an_address_has_its_slashes_again(meant):
    assert address(Path(meant)) == meant


def test_records_of_other_forms_are_read_here(tmp_path):
    (tmp_path / "events.csv").write_text("stay_id,hours,variable,value\n")
    with pytest.raises(UsageError, match="Records of form events are read here"):
        run(tmp_path / "w", tmp_path, scanned=tmp_path, format="events")
