"""Stays scored on a Spark cluster: the rows of predict on one machine, byte by byte."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from deploy_workspace import session, workspace
from engine_servers import free_port, kept_session, need_spark, spark_cluster

from mortcond.commands import predict as room
from mortcond.core.errors import InputError

pytestmark = pytest.mark.slow
VARIABLES = {"Heart Rate": (50, 120), "Systolic blood pressure": (80, 180), "Temperature": (35, 40), "pH": (7, 7.6)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with spark_cluster(tmp_path_factory.mktemp("spark")) as running, kept_session(running):
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


def in_other_words(events, form: str):
    """Return a folder with the events in another form, with the table of stays that belongs to it."""
    rows = pd.read_csv(events, dtype=str, keep_default_na=False)
    stays = pd.DataFrame({"stay_id": rows.stay_id.unique()})
    stays = stays.assign(subject_id=stays.stay_id, intime="2130-02-04 04:00:00", age="70")
    folder = events.parent / form
    folder.mkdir()
    if form == "time":
        begin = pd.Timestamp("2130-02-04 04:00:00")
        times = begin + pd.to_timedelta(rows.hours.astype(float).mul(3600).round(), unit="s")
        rows = rows.assign(hours=times.dt.strftime("%Y-%m-%d %H:%M:%S")).rename(columns={"hours": "time"})
    if form == "stays":  # some are not listed, one more is
        stays = pd.concat([stays.iloc[10:], pd.DataFrame([{"stay_id": "7777", "subject_id": "1"}])]).fillna("NA")
    if form == "spellings":  # a stay in two spellings, and rows of no stay
        odd = rows.index % 2 == 1
        rows["stay_id"] = rows.stay_id.where(~odd, rows.stay_id + ".0")
        gaps = rows.iloc[:3].assign(stay_id=["NA", "", "\\N"], value="200")
        rows = pd.concat([rows, gaps])
    if form == "large":
        large = rows.stay_id.map(lambda stay: str(2**60 + int(stay)))
        rows, stays = rows.assign(stay_id=large), stays.assign(stay_id=large.unique())
    rows.to_csv(folder / "events.csv", index=False)
    stays.to_csv(folder / "stays.csv", index=False)
    if form in ("large", "time"):
        types = {"stay_id": "BIGINT", "time": "TIMESTAMP", "intime": "TIMESTAMP"}
        for path in sorted(folder.glob("*.csv")):
            source = duckdb.sql(f"SELECT * FROM read_csv('{path}', all_varchar = true)")
            picked = ", ".join(f"CAST({name} AS {types.get(name, 'VARCHAR')}) AS {name}" for name in source.columns)
            duckdb.sql(f"SELECT {picked} FROM source").write_parquet(str(path.with_suffix(".parquet")))
            path.unlink()
    return folder


@pytest.mark.parametrize("form", ["stays", "time", "spellings", "large"])
def test_stays_and_times_are_those_of_one_machine(form, cluster, folder, events, tmp_path):
    records = in_other_words(events, form)
    room.predict(session("predict", folder), folder / "lstm", records, out=tmp_path / "here.csv")
    how = {"engine": "spark", "spark_master": cluster.master}
    result = room.predict(session("predict", folder), folder / "lstm", records, out=tmp_path / "there.csv", **how)
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "here.csv").read_text()
    assert result["stays"] == (302 - 10 + 1 if form == "stays" else 302)


def test_an_id_that_is_no_number(cluster, folder, events, tmp_path):
    events.write_text(events.read_text() + "P7,1,Heart Rate,80,\n")
    how = {"engine": "spark", "spark_master": cluster.master, "out": tmp_path / "out.csv"}
    with pytest.raises(InputError, match=r"events.csv, column STAY_ID: 'P7' is no number"):
        room.predict(session("predict", folder), folder / "lstm", events, **how)


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
