"""inspect: every kind of artifact, ours and others', whole and changed."""

import contextlib
import json
from pathlib import Path

import pytest
from deploy_workspace import network, session, workspace
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mortcond.commands import inspect as room
from mortcond.core.errors import InputError
from mortcond.deploy import tflite


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("workspace"))


def shown(result) -> str:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=160)
    for part in room.render(result):
        console.print(part)
    return console.file.getvalue()


def test_a_model_directory(folder):
    result = room.inspect(session("inspect", folder), folder / "lstm")
    assert (result["kind"], result["arch"], result["intact"]) == ("model", "lstm", True)
    assert result["model.tflite"]["bytes"]["total"] == (folder / "lstm/model.tflite").stat().st_size
    assert "as it was written" in shown(result)
    json.dumps(result)


def test_a_tflite_file_tells_what_it_is_for_and_where_it_comes_from(folder):
    result = room.inspect(session("inspect", folder), folder / "lstm/model.tflite")
    parts = result["bytes"]
    assert sum(parts[name] for name in ("weights", "metadata", "names", "graph")) == parts["total"]
    assert result["intact"] is True
    assert result["threshold"] == 0.21
    assert result["inputs"] == [{"name": "stays", "shape": [-1, 48, 76], "dtype": "float32"}]
    text = shown(result)
    for part in ("Intended use", "Limits", "preprocess", "Heart Rate", "recurrent.0", "paper76", "Decision threshold"):
        assert part in text


def test_by_name_in_the_workspace(folder):
    assert room.inspect(session("inspect", folder), Path("lstm"))["name"] == "lstm"


def test_without_a_name_the_newest_is_shown_and_of_nothing_what_to_make(folder, tmp_path):
    assert Path(room.inspect(session("inspect", folder))["path"]).parent == folder
    with pytest.raises(InputError, match="nothing to inspect") as caught:
        room.inspect(session("inspect", tmp_path))
    assert "mortcond run" in caught.value.remedy


def test_a_foreign_file_says_what_is_missing(folder, tmp_path):
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tflite.build(network(), "int8").bytes)
    result = room.inspect(session("inspect", folder), path)
    assert result["intact"] is None
    assert result["operations"]["WHILE"] == 1
    assert [weight["dtype"] for weight in result["weights"][:2]] == ["int8", "int8"]
    assert "Missing: metadata" in shown(result)


def test_changed_files_are_told(folder, tmp_path, capsys):
    data = bytearray((folder / "lstm/model.tflite").read_bytes())
    data[-900] ^= 1
    path = tmp_path / "changed.tflite"
    path.write_bytes(data)
    result = room.inspect(session("inspect", folder), path)
    assert result["intact"] is False
    assert "MISMATCH" in shown(result)
    assert "changed after it was written" in " ".join(capsys.readouterr().err.split())


def test_a_changed_directory_is_told(tmp_path):
    folder = workspace(tmp_path)
    (folder / "lstm/note.txt").write_text("added")
    assert room.inspect(session("inspect", folder), folder / "lstm")["intact"] is False


def test_a_data_set(folder):
    result = room.inspect(session("inspect", folder), folder / "dataset.npz")
    assert (result["kind"], result["splits"]) == ("dataset", {"train": 40, "val": 40, "test": 40})
    assert "a data set" in shown(result)
    assert "Heart Rate" in shown(result)


def test_results_of_bench(folder, tmp_path):
    model = {"name": "lstm", "arch": "lstm", "quantization": "int8", "parameters": 8081, "size_bytes": 14000}
    results = {"machine": {}, "dataset": {}, "models": [model | {"auroc": {"value": 0.85}}]}
    (tmp_path / "results.json").write_text(json.dumps(results))
    for path in (tmp_path, tmp_path / "results.json"):
        assert "0.850" in shown(room.inspect(session("inspect", folder), path))


def test_what_it_refuses(folder, tmp_path):
    for name, data in (("a.tflite", b"TFL3"), ("b.npz", b"PK"), ("c.txt", b"words"), ("results.json", b"[]")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            room.inspect(session("inspect", folder), tmp_path / name)
    with pytest.raises(InputError, match="There is no"):
        room.inspect(session("inspect", folder), tmp_path / "absent")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=8), st.sampled_from(["dataset.npz", "lstm/model.tflite"]))
def test_mutated_files_give_a_message_or_a_warning(folder, tmp_path, place, patch, name):
    data = (folder / name).read_bytes()
    path = tmp_path / name.replace("/", "-")
    path.write_bytes(data[:place] + patch + data[place + len(patch) :])
    with contextlib.suppress(InputError):
        shown(room.inspect(session("inspect", folder), path))
