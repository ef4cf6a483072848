"""Stays scored on a Spark cluster: the rows of predict on one machine, byte by byte."""

import numpy as np
import pytest
from deploy_workspace import session, workspace
from engine_servers import free_port, need_spark, spark_cluster

from mortcond.commands import predict as room
from mortcond.core.errors import InputError

pytestmark = pytest.mark.slow
VARIABLES = {"Heart Rate": (50, 120), "Systolic blood pressure": (80, 180), "Temperature": (35, 40), "pH": (7, 7.6)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with spark_cluster(tmp_path_factory.mktemp("spark")) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def events(tmp_path):
    """Some hundred stays; one of which nothing is known, and one that is measured too late."""
    rng = np.random.default_rng(0)
    lines = ["stay_id,hours,variable,value,unit", "9001,1,Hair colour,grey,", "9002,60,Heart Rate,80,"]
    for stay in range(300):
        for name, (low, high) in VARIABLES.items():
            for hour in rng.uniform(0, 48, 4):
                lines.append(f"{stay * 7 + 3},{hour:.2f},{name},{rng.uniform(low, high):.2f},")
        lines.append(f"{stay * 7 + 3},0.5,Weight,{rng.uniform(100, 200):.1f},lb")
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "events.csv"


def test_the_rows_are_those_of_one_machine(cluster, folder, events, tmp_path):
    room.predict(session("predict", folder), folder / "lstm", events, out=tmp_path / "here.csv")
    how = {"engine": "spark", "spark_master": cluster.master}
    result = room.predict(session("predict", folder), folder / "lstm", events, out=tmp_path / "there.csv", **how)
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "here.csv").read_text()
    assert (result["stays"], result["predicted"]) == (302, 300)


def test_a_table_of_another_form(cluster, folder, tmp_path):
    (tmp_path / "other.csv").write_text("id,when\n1,2\n")
    how = {"engine": "spark", "spark_master": cluster.master, "out": tmp_path / "out.csv"}
    with pytest.raises(InputError, match="has no column stay_id, variable, value, hours; it has id, when"):
        room.predict(session("predict", folder), folder / "lstm", tmp_path / "other.csv", **how)
    assert not (tmp_path / "out.csv").exists()


def test_what_a_worker_cannot_use_is_named(cluster, folder, events, tmp_path):
    events.write_text(events.read_text().replace("9002,60,", "9002,soon,"))
    how = {"engine": "spark", "spark_master": cluster.master, "out": tmp_path / "out.csv"}
    with pytest.raises(InputError, match=r"column HOURS: 'soon' is no number"):
        room.predict(session("predict", folder), folder / "lstm", events, **how)
    assert not (tmp_path / "out.csv").exists()


def test_no_master(folder, events):
    need_spark()
    how = {"engine": "spark", "spark_master": f"spark://127.0.0.1:{free_port()}"}
    with pytest.raises(InputError, match="cannot be reached"):
        room.predict(session("predict", folder), folder / "lstm", events, **how)
