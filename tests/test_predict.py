"""predict: rows for data sets and raw records, what is said of them, and what is refused."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_workspace import NAMES, network, session, spec, workspace

from mortcond import dataset as datasets
from mortcond.commands import predict as room
from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.deploy import metadata, tflite


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("workspace"))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("model", ["lstm", "lstm/model.tflite"])
def test_csv_has_the_risk_of_every_stay_in_order(folder, tmp_path, model):
    result = room.predict(session("predict", folder), folder / model, folder / "dataset.npz", out=tmp_path / "risk.csv")
    test = datasets.load(folder / "dataset.npz").test
    written = rows(tmp_path / "risk.csv")
    assert tuple(written[0]) == room.COLUMNS
    assert [int(row["stay_id"]) for row in written] == test.stay_id.tolist()
    expected = network().predict(test.X)
    np.testing.assert_allclose([float(row["risk"]) for row in written], expected, rtol=0, atol=1e-5)
    assert (result["stays"], result["warnings"], result["path"]) == (40, 2, str(tmp_path / "risk.csv"))


def test_what_was_never_measured_and_where_most_hours_are_missing(folder, tmp_path):
    room.predict(
        session("predict", folder), Path("lstm"), folder / "dataset.npz", out=tmp_path / "r.jsonl", write_as="jsonl"
    )
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert lines[0]["warning"] == "nothing was measured in 48 of 48 hours"
    assert len(lines[0]["never_measured"]) == 17
    assert lines[1]["warning"] == "nothing was measured in 38 of 48 hours"
    assert (lines[2]["warning"], lines[2]["never_measured"]) == ("", [])


def test_all_splits_on_stdout(folder, capsys):
    result = room.predict(session("predict", folder), folder / "lstm", folder / "dataset.npz", split="all")
    assert len(capsys.readouterr().out.splitlines()) == 1 + result["stays"] == 121
    assert list(room.render(result)) == []


def test_with_json_the_rows_are_in_the_one_object(folder, capsys):
    result = room.predict(session("predict", folder, json=True), folder / "lstm", folder / "dataset.npz")
    assert capsys.readouterr().out == ""
    assert len(json.loads(json.dumps(result))["predictions"]) == 40


def test_a_file_without_metadata_predicts_from_a_data_set_and_says_what_is_missing(folder, tmp_path, capsys):
    path = tmp_path / "plain.tflite"
    path.write_bytes(tflite.build(network()).bytes)
    result = room.predict(session("predict", folder), path, folder / "dataset.npz", out=tmp_path / "risk.csv")
    assert result["stays"] == 40
    assert "carries no metadata" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="raw records cannot be prepared"):
        room.predict(session("predict", folder), path, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"feature_names": ["a", *NAMES[1:]]}, "other features"), ({"mean": [9.0] * len(NAMES)}, "scaled in another way")],
)
def test_a_data_set_that_was_prepared_otherwise_is_refused(folder, tmp_path, change, message):
    path = tmp_path / "other.tflite"
    path.write_bytes(metadata.attach(tflite.build(network()).bytes, {"inputs": spec().to_dict() | change}))
    with pytest.raises(InputError, match=message):
        room.predict(session("predict", folder), path, folder / "dataset.npz")


def test_what_it_refuses(folder, tmp_path):
    predict, data = session("predict", folder), folder / "dataset.npz"
    for options in ({"write_as": "xml"}, {"split": "future"}):
        with pytest.raises(UsageError):
            room.predict(predict, folder / "lstm", data, **options)
    with pytest.raises(InputError, match="no model"):
        room.predict(predict, folder / "absent", data)
    with pytest.raises(InputError, match="There is no"):
        room.predict(predict, folder / "lstm", folder / "absent.npz")
    whole = data.read_bytes()
    for broken in (b"", b"PK", whole[: len(whole) // 2], b"\0" * 2000, whole[:-400]):
        (tmp_path / "broken.npz").write_bytes(broken)
        with pytest.raises(InputError, match="no data set"):
            room.predict(predict, folder / "lstm", tmp_path / "broken.npz", out=tmp_path / "risk.csv")
        assert not (tmp_path / "risk.csv").exists()


def test_memory_does_not_grow_with_the_stays(folder, tmp_path):
    import tracemalloc

    data, peaks = datasets.load(folder / "dataset.npz"), []
    for times in (20, 200):
        arrays = {name: np.concatenate([getattr(data.test, name)] * times) for name in data.test.__dataclass_fields__}
        path = tmp_path / f"{times}.npz"
        datasets.save(path, datasets.Dataset(**(data.__dict__ | {"test": datasets.Split(**arrays)})))
        del arrays
        tracemalloc.start()
        room.predict(session("predict", folder), folder / "lstm", path, out=tmp_path / f"{times}.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_raw_records_are_prepared_by_the_files_own_metadata(folder, sample_data, tmp_path):
    result = room.predict(session("predict", folder), folder / "lstm", sample_data, out=tmp_path / "risk.csv")
    assert result["stays"] == len(rows(tmp_path / "risk.csv")) > 100


def test_a_single_patient_takes_no_heavy_library(folder, tmp_path):
    data = datasets.load(folder / "dataset.npz")
    one = datasets.Split(**{name: getattr(data.test, name)[:1] for name in data.test.__dataclass_fields__})
    datasets.save(tmp_path / "one.npz", datasets.Dataset(**(data.__dict__ | {"test": one})))
    code = (
        "import sys; from mortcond.cli import app; app(sys.argv[1:], standalone_mode=False);"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'pandas', 'duckdb'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    command = [sys.executable, "-c", code, "predict", str(folder / "lstm"), str(tmp_path / "one.npz")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == ""


def talking(folder):
    return replace(session("predict", folder), console=Console())


def raw_folder(path, rows="", stays=12):
    """Write events and stays of any hospital; the last stay has no events."""
    path.mkdir()
    events = "".join(f"{s},{h}.5,Heart Rate,{70 + s + h}\n" for s in range(1, stays) for h in range(0, 48, 4))
    (path / "events.csv").write_text("stay_id,hours,variable,value\n" + events + rows)
    (path / "stays.csv").write_text("stay_id,subject_id\n" + "".join(f"{s},{s}\n" for s in range(stays, 0, -1)))
    return path


def test_every_listed_stay_has_a_row(folder, tmp_path, capsys):
    data = raw_folder(tmp_path / "in", "3,1,Heart Rate,fast\n2,60,Heart Rate,80\n4,2,Hair colour,grey\n")
    result = room.predict(talking(folder), folder / "lstm", data, out=tmp_path / "risk.csv")
    written = rows(tmp_path / "risk.csv")
    assert [row["stay_id"] for row in written] == [str(stay) for stay in range(1, 13)]
    assert [row["stay_id"] for row in written if row["risk"] == ""] == ["12"]
    reason = "no_events_in_window (needs an event in the first 48 hours)"
    assert (written[-1]["reason"], {row["reason"] for row in written[:-1]}) == (reason, {""})
    counts = {"stays": 12, "predicted": 11, "without_risk": {reason: 1}}
    assert {name: result[name] for name in counts} == counts
    said = " ".join(capsys.readouterr().err.split())
    assert f"11 of 12 stays have a risk; none for {reason}: 1." in said
    assert "Heart Rate: 1 value that is no number left out: 'fast'" in said
    assert "Hair colour (1)" in said
    assert any("'fast'" in note for note in json.loads(json.dumps(result))["notes"])
    with pytest.raises(InputError, match=r"events\.csv, row 134, column value: 'fast' is no number"):
        room.predict(session("predict", folder), folder / "lstm", data, out=tmp_path / "strict.csv", strict=True)


def test_stays_without_risk_stand_in_their_place(folder, sample_data, tmp_path):
    result = room.predict(session("predict", folder), folder / "lstm", sample_data, out=tmp_path / "risk.csv")
    written = rows(tmp_path / "risk.csv")
    assert len(written) == result["stays"] == 1600
    assert [int(row["stay_id"]) for row in written] == sorted(int(row["stay_id"]) for row in written)
    assert all((row["risk"] == "") == (row["reason"] != "") for row in written)
    assert sum(result["without_risk"].values()) == result["stays"] - result["predicted"] > 0


def test_a_value_that_no_patient_has_is_told_with_its_stay(folder, tmp_path, capsys):
    data = raw_folder(tmp_path / "in", "5,1.25,Heart Rate,9999999\n6,1,Heart Rate,1e300\n")
    result = room.predict(talking(folder), folder / "lstm", data, out=tmp_path / "risk.csv")
    written = rows(tmp_path / "risk.csv")
    told = [row["stay_id"] for row in written if "Heart Rate 9,999,999 is outside 10 to 350" in row["warning"]]
    assert told == ["5"]
    said = " ".join(capsys.readouterr().err.split())
    assert "9,999,999 in stay 5 (extended leaves it out)" in said
    assert "Heart Rate: 1 value beyond 1e+15, which no patient has, left out: '1e300'" in said
    assert all(0 < float(row["risk"]) < 1 for row in written if row["risk"])
    assert result["predicted"] == 11


def test_a_value_that_no_patient_has_is_told_of_a_data_set_too(folder, tmp_path):
    data = datasets.load(folder / "dataset.npz")
    place = NAMES.index("Heart Rate")
    data.test.X[3, 5, place] = (9_999_999 - data.mean[place]) / data.std[place]
    data.test.X[3, 5, NAMES.index("mask->Heart Rate")] = 1
    datasets.save(tmp_path / "odd.npz", data)
    room.predict(session("predict", folder), folder / "lstm", tmp_path / "odd.npz", out=tmp_path / "risk.csv")
    told = [row["warning"] for row in rows(tmp_path / "risk.csv") if "outside" in row["warning"]]
    assert len(told) == 1
    assert "Heart Rate 9,999,999 is outside 10 to 350" in told[0]


def test_a_risk_that_is_no_number_is_none(monkeypatch, folder, tmp_path, capsys):
    def broken(self, x):
        return np.where(np.arange(len(x)) == 7, np.nan, 0.25)

    monkeypatch.setattr(room.Predictor, "predict", broken)
    result = room.predict(session("predict", folder, json=True), folder / "lstm", folder / "dataset.npz")
    assert result["predictions"][7]["risk"] is None
    assert result["without_risk"] == {"the network gave no number": 1}
    json.dumps(result, allow_nan=False)
