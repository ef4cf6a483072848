"""run: the paper's chain in the order of need, resumed where an artifact is missing or stale, as a real process."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mortcond.commands import preprocess as preprocess_room
from mortcond.commands import run as room
from mortcond.core.artifacts import MANIFEST, atomic_directory
from mortcond.core.console import Console
from mortcond.core.errors import LimitError, UsageError
from mortcond.core.manifest import write_manifest
from mortcond.core.session import Session
from mortcond.network import Network
from mortcond.options import COMMANDS


def steps(workspace: Path, **given) -> dict[str, room.Step]:
    return {step.out.name: step for step in room.chain(workspace, None, given)}


def test_the_chain_is_the_papers(tmp_path):
    chain = steps(tmp_path)
    assert list(chain) == [
        "dataset.npz",
        "linear",
        *("lstm", "lstm-int8.tflite", "lstm-pruned50", "lstm-pruned50-int8.tflite"),
        *("lstm-hlstm", "lstm-hlstm-int8.tflite"),
        *("dnn", "dnn-int8.tflite", "dnn-pruned50", "dnn-pruned50-int8.tflite"),
    ]
    seen = set()
    for step in chain.values():
        assert set(step.inputs.values()) <= seen, f"{step.out} comes before what it is made of"
        seen.add(step.out)


def test_options_reach_the_steps_they_belong_to(tmp_path):
    chain = steps(tmp_path, epochs=3, quantile=0.25, preset="best", variables="extended")
    assert chain["dataset.npz"].options["variables"] == "extended"
    assert chain["lstm"].options == {"arch": "lstm", "epochs": 3, "preset": "best"}
    assert chain["linear"].options == {"arch": "linear"}
    assert chain["lstm-pruned25"].options == {"quantile": 0.25}


@pytest.fixture
def lstm(tmp_path):
    """A step `train --arch lstm` whose artifact is there and fresh, with the data set it was made of."""
    dataset = tmp_path / "dataset.npz"
    dataset.write_bytes(b"data")
    step = room.Step("train", tmp_path / "lstm", {"dataset": dataset}, {"arch": "lstm", "epochs": 20})
    session = Session(caller="run").of("train", COMMANDS["train"].options(arch="lstm", epochs=20, out=step.out))
    inputs = {"dataset": {"path": str(dataset), "sha256": room.sha256(dataset)}}
    with atomic_directory(step.out) as partial:
        (partial / "model.keras").write_bytes(b"weights")
        write_manifest(partial, session.manifest("model", "lstm", inputs, arch="lstm"))
    return step


def test_what_is_fresh_is_left_alone(lstm):
    assert room.why_stale(lstm, seed=0) is None


def test_what_changed_makes_a_step_stale(lstm):
    assert "seed" in room.why_stale(lstm, seed=1)
    assert "epochs" in room.why_stale(replace(lstm, options={"arch": "lstm", "epochs": 3}), seed=0)
    lstm.inputs["dataset"].write_bytes(b"other data")
    assert "dataset.npz" in room.why_stale(lstm, seed=0)
    (lstm.out / MANIFEST).write_text("{")
    assert room.why_stale(lstm, seed=0) == "unreadable"
    shutil.rmtree(lstm.out)
    assert room.why_stale(lstm, seed=0) == "missing"


def test_a_changed_raw_file_makes_the_data_set_stale(tmp_path):
    raw = tmp_path / "ICUSTAYS.csv"
    raw.write_text("one")
    inputs = {"source": {"path": str(tmp_path), "sha256": "of all files"}}
    inputs |= {"source/ICUSTAYS.csv": {"path": str(raw), "sha256": room.sha256(raw)}}
    manifest = Session().manifest("dataset", "dataset", inputs)
    step = room.Step("preprocess", tmp_path / "dataset.npz")
    assert room._changed_input(step, manifest) is None
    raw.write_text("two")
    assert "ICUSTAYS.csv" in room._changed_input(step, manifest)
    raw.unlink()
    assert "ICUSTAYS.csv" in room._changed_input(step, manifest)


def changed(source: Path, files: list[Path], **named: Path) -> Iterator[str | None]:
    """Why a data set made of these files is stale, by the record that preprocess keeps of them."""
    record = preprocess_room._source_inputs(source, SimpleNamespace(files=files, origin=None))
    record |= {role: {"path": str(path), "sha256": room.sha256(path)} for role, path in named.items()}
    manifest = Session().manifest("dataset", "dataset", record)
    while True:
        yield room._changed_input(room.Step("preprocess", source / "dataset.npz"), manifest)


@pytest.mark.parametrize("count", [3, 60])
def test_an_edited_record_a_new_file_and_an_edited_table_make_the_data_set_stale(tmp_path, count):
    source, table = tmp_path / "records", tmp_path / "own.csv"
    source.mkdir()
    table.write_text("variable")
    files = [source / f"{number}.txt" for number in range(count)]
    for file in files:
        file.write_text("record")
    stale = changed(source, files, variables=table)
    assert next(stale) is None
    files[1].write_text("edited")
    assert "changed" in next(stale)
    files[1].write_text("record")
    assert next(stale) is None
    (source / "new.txt").write_text("record")
    assert "records has changed" in next(stale)
    (source / "new.txt").unlink()
    table.write_text("another")
    assert "own.csv has changed" in next(stale)


def test_what_a_user_trained_by_hand_is_not_replaced_unasked(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(room, "_call", lambda step, session, console: called.append(step.command) or {})
    by_hand = Session(tmp_path).of("train", COMMANDS["train"].options(arch="lstm", epochs=50))
    with atomic_directory(tmp_path / "lstm") as partial:
        write_manifest(partial, by_hand.manifest("model", "lstm", {}, arch="lstm"))
    with pytest.raises(UsageError, match=r"run would replace .*lstm, which it did not make") as refused:
        room.run(Session(tmp_path))
    assert "--overwrite" in refused.value.remedy
    assert not called
    room.run(Session(tmp_path, overwrite=True))
    assert "train" in called


def test_a_data_set_that_run_made_may_be_made_again_by_it(tmp_path):
    from mortcond.commands.preprocess import preprocess
    from mortcond.commands.synth import synth

    quiet = Console(quiet=True)
    synth(Session(tmp_path, console=quiet), stays=100, events_per_stay=40, hours=48)
    by_hand = Session(tmp_path, console=quiet)
    for name, session in {"by-hand": by_hand, "by-run": replace(by_hand, command="run").step(quiet)}.items():
        preprocess(session, tmp_path / "hospital", out=tmp_path / f"{name}.npz")
    assert room._is_by_run(tmp_path / "by-run.npz")
    assert not room._is_by_run(tmp_path / "by-hand.npz")


def test_a_refused_form_is_said_and_does_not_end_the_chain(tmp_path, monkeypatch, capsys):
    def function(command):
        def call(session, **arguments):
            if command == "quantize" and arguments["out"].name.startswith("lstm-pruned"):
                raise LimitError("lstm-pruned50 differs by 0.3.", "Choose a finer mode.")
            arguments["out"].parent.mkdir(exist_ok=True)
            arguments["out"].touch()
            return {"models": [path.name for path in arguments.get("artifacts", [])]}

        return call

    monkeypatch.setattr(room, "_function", function)
    result = room.run(Session(workspace=tmp_path))
    refused = [step for step in result["steps"] if step["refused"]]
    assert [Path(step["artifact"]).name for step in refused] == ["lstm-pruned50-int8.tflite"]
    assert "lstm-pruned50-int8.tflite" not in result["models"]
    assert "dnn-pruned50-int8.tflite" in result["models"]
    assert "differs by 0.3" in capsys.readouterr().err


def test_validate_comes_before_bench_and_trains_as_the_chain_did(tmp_path, monkeypatch):
    called = []

    def function(command):
        def call(session, **arguments):
            called.append((command, arguments))
            return {"models": []}

        return call

    monkeypatch.setattr(room, "_function", function)
    room.run(Session(workspace=tmp_path), epochs=3, preset="best")
    assert "validate" not in [command for command, _ in called]
    del called[:]
    room.run(Session(workspace=tmp_path), epochs=3, preset="best", validate=True)
    assert [command for command, _ in called][-2:] == ["validate", "bench"]
    how = dict(called)["validate"]
    assert (how["epochs"], str(how["preset"])) == (3, "best")
    assert {"lstm", "lstm-pruned50-int8", "lstm-hlstm", "dnn-int8", "linear"} <= set(how["forms"])
    assert how["out"] == tmp_path / "validate"


def mortcond(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mortcond.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_the_whole_chain_on_the_sample_and_again(tmp_path):
    first = mortcond("run", "--epochs", "2", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    names = {model["name"] for model in result["models"]}
    assert {"linear", "lstm", "lstm-int8", "lstm-pruned50", "lstm-hlstm", "dnn", "dnn-int8", "dnn-pruned50"} <= names
    counts = {model["name"]: model["parameters"] for model in result["models"]}
    assert (counts["lstm"], counts["lstm-pruned50"], counts["lstm-hlstm"]) == (8081, 3273, 6993)
    assert (counts["dnn"], counts["dnn-pruned50"]) == (60929, 20225)

    for arguments, name in (
        (["train", "--arch", "lstm", "--epochs", "2"], "lstm"),
        (["prune", "artifacts/lstm"], "lstm-pruned50"),
        (["hlstm-convert", "artifacts/lstm"], "lstm-hlstm"),
    ):
        assert mortcond(*arguments, "-o", "alone", cwd=tmp_path).returncode == 0
        weights = [
            Network.load(folder / "checkpoints" / "epoch-002.npz").arrays()
            for folder in (tmp_path / "artifacts" / name, tmp_path / "alone")
        ]
        for array in weights[0]:
            np.testing.assert_array_equal(weights[0][array], weights[1][array], "whatever the process did before")
        shutil.rmtree(tmp_path / "alone")

    shutil.rmtree(tmp_path / "artifacts" / "lstm-hlstm")
    again = json.loads(mortcond("run", "--epochs", "2", "--json", cwd=tmp_path).stdout)
    ran = {Path(step["artifact"]).name for step in again["steps"] if step["reason"]}
    assert ran == {"lstm-hlstm", "lstm-hlstm-int8.tflite"}  # what is made anew, and what is made of it


@pytest.mark.slow
def test_the_papers_order_with_no_arguments_on_an_empty_folder(tmp_path):
    order = [["preprocess"], ["train", "--arch", "lstm", "--epochs", "2"], ["prune", "--quantile", "0.5"]]
    order += [["hlstm-convert"], ["train", "--arch", "dnn", "--epochs", "2"], ["quantize", "--mode", "int8"], ["bench"]]
    for arguments in order:
        done = mortcond(*arguments, cwd=tmp_path)
        assert done.returncode == 0, (arguments, done.stderr)
    made = {path.name for path in (tmp_path / "artifacts").iterdir()}
    assert made == {"dataset.npz", "lstm", "lstm-pruned50", "lstm-hlstm", "dnn", "dnn-int8.tflite", "bench"}
    with np.load(tmp_path / "artifacts" / "dataset.npz", allow_pickle=False) as file:
        assert file["X_train"].shape[1:] == (48, 76)


@pytest.mark.slow
def test_the_mimic3_demo_ends_with_the_table_and_says_how_little_it_means(tmp_path, test_data):
    done = mortcond("run", str(test_data / "mimic3-demo"), "--epochs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lstm-pruned50" in done.stdout
    assert "too small" in done.stderr
