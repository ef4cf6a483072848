"""core: files are whole or not there, manifests survive the trip, settings resolve, errors carry their exit code."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond.core.artifacts import MANIFEST, atomic_directory, atomic_file, refuse_existing, sha256, size_bytes
from mortcond.core.console import Console
from mortcond.core.errors import InputError, Interrupted, LimitError, MortcondError, UsageError, as_mortcond_error
from mortcond.core.manifest import Manifest, read_manifest, write_manifest
from mortcond.core.session import Session
from mortcond.core.settings import read_settings
from mortcond.core.workspace import choose_model, dataset_path


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_file_appears_whole(tmp_path):
    with atomic_file(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert leftovers(tmp_path / "new") == ["a.txt"]


def test_atomic_file_keeps_the_old_one_when_the_writing_fails(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert leftovers(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("old", [False, True])
def test_atomic_directory_replaces_whole_or_not_at_all(tmp_path, old):
    target = tmp_path / "model"
    if old:
        (target / "sub").mkdir(parents=True)
        (target / "sub" / "old.txt").write_text("old")
    with pytest.raises(OSError, match="disk"), atomic_directory(target) as partial:
        (partial / "new.txt").write_text("half")
        raise OSError(errno.ENOSPC, "disk full")
    assert leftovers(tmp_path) == (["model"] if old else [])
    with atomic_directory(target) as partial:
        (partial / "new.txt").write_text("new")
    assert leftovers(tmp_path) == ["model"]
    assert leftovers(target) == ["new.txt"]


def test_refuse_existing_names_path_and_option(tmp_path):
    refuse_existing(tmp_path / "absent", overwrite=False)
    refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(UsageError) as caught:
        refuse_existing(tmp_path, overwrite=False)
    assert str(tmp_path) in caught.value.problem
    assert "--overwrite" in caught.value.remedy


@given(st.binary(max_size=200))
def test_directory_hash_changes_with_any_file_but_not_with_its_manifest(content):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        (model / "variables").mkdir()
        (model / "variables" / "w").write_bytes(b"weights")
        before = sha256(model)
        (model / MANIFEST).write_text("{}")
        assert sha256(model) == before
        (model / "variables" / "w").write_bytes(content)
        assert (sha256(model) == before) == (content == b"weights")


def test_hash_of_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        sha256(tmp_path / "none")


def test_size_of_a_directory_is_that_of_its_files(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"4567")
    assert size_bytes(tmp_path) == 7
    assert size_bytes(tmp_path / "a") == 3


def a_manifest(**facts) -> Manifest:
    session = Session(options={"epochs": {"value": 20, "source": "default"}})
    return session.manifest("model", facts.pop("name", "lstm"), {}, arch="lstm", parameters=8081, **facts)


def test_manifest_survives_the_trip_and_knows_its_directory(tmp_path):
    model = tmp_path / "lstm"
    with atomic_directory(model) as partial:
        (partial / "model.tflite").write_bytes(b"weights")
        write_manifest(partial, a_manifest())
    manifest = read_manifest(model)
    assert manifest.sha256 == sha256(model)
    assert manifest.options["epochs"] == {"value": 20, "source": "default"}
    assert manifest.versions["mortcond"]
    assert manifest.as_ancestor()["options"] == {"epochs": 20}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "no manifest.json"), ("{", "no JSON"), ("[]", "no JSON object"), ("{}", "incomplete")],
)
def test_what_is_no_manifest_is_a_clear_error(tmp_path, content, problem):
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=problem):
        read_manifest(tmp_path)


def test_manifest_of_a_newer_version_is_still_read(tmp_path):
    record = json.loads(a_manifest().to_json()) | {"unheard_of": 1}
    (tmp_path / MANIFEST).write_text(json.dumps(record))
    assert read_manifest(tmp_path).parameters == 8081


def test_the_newest_model_that_fits_is_chosen_and_named(tmp_path, capsys):
    import os

    for age, (name, arch) in enumerate([("dnn", "dnn"), ("lstm", "lstm"), ("old", "lstm")]):
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name, Manifest(**(vars(a_manifest()) | {"name": name, "arch": arch})))
        os.utime(tmp_path / name / MANIFEST, (1000 - age, 1000 - age))
    session = Session(workspace=tmp_path)
    path, _ = choose_model(session, None, lambda manifest: manifest.arch == "lstm", "an lstm")
    assert path == tmp_path / "lstm"
    assert "lstm" in capsys.readouterr().err
    assert choose_model(session, Path("old"), lambda manifest: True, "a model")[0] == tmp_path / "old"
    with pytest.raises(InputError, match="needs a dense network"):
        choose_model(session, Path("old"), lambda manifest: manifest.arch == "dnn", "a dense network")
    with pytest.raises(InputError, match="no model that fits"):
        choose_model(session, None, lambda manifest: False, "a unicorn")
    with pytest.raises(InputError, match="no data set"):
        dataset_path(session, None)


COMMANDS = {"train": {"epochs": False, "seed": False}, "prune": {"quantile": True, "seed": False}}


def settings(tmp_path, text, command="train"):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return read_settings(path, command, COMMANDS)


def test_own_table_beats_the_top_level_and_other_tables_are_left_alone(tmp_path):
    text = "seed = 1\nquantile = 0.3\n[train]\nepochs = 5\nseed = 2\n[prune]\nquantile = 0.7\n"
    assert settings(tmp_path, text) == {"epochs": 5, "seed": 2}
    assert settings(tmp_path, text, "prune") == {"quantile": ["0.7"], "seed": 1}


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        ("[train]\nepoch = 5", "[train]", "epoch"),
        ("epoch = 5", "top level", "epoch"),
        ("[trian]\nepochs = 5", "[trian]", "trian"),
        ("[prune]\nepochs = 5", "[prune]", "epochs"),
        ('config = "other.toml"', "top level", "config"),
    ],
)
def test_an_unknown_key_names_file_table_and_key(tmp_path, text, where, word):
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, text)
    assert "settings.toml" in caught.value.problem
    assert where in caught.value.problem
    assert word in caught.value.problem


def test_settings_that_are_no_toml_are_unusable_input(tmp_path):
    with pytest.raises(InputError, match="TOML"):
        settings(tmp_path, "epochs = ")
    with pytest.raises(InputError, match="no settings file"):
        read_settings(tmp_path / "none.toml", "train", COMMANDS)


def test_errors_carry_the_exit_codes_of_the_design():
    codes = {MortcondError: 1, UsageError: 2, InputError: 3, LimitError: 4, Interrupted: 130}
    assert all(kind("p", "r").exit_code == code for kind, code in codes.items())
    assert as_mortcond_error(KeyboardInterrupt()).exit_code == 130
    assert as_mortcond_error(MemoryError()).exit_code == 3
    full = as_mortcond_error(OSError(errno.ENOSPC, "No space left on device", "x.npz"))
    assert full.exit_code == 3
    assert "x.npz" in full.problem
    with pytest.raises(OSError, match=r"^$"):
        as_mortcond_error(OSError())


def test_stdout_carries_the_result_only(capsys):
    console = Console()
    console.note("note [bold]")
    console.warn("careful")
    with console.progress("work", 3) as bar:
        bar.advance()
    console.result({"path": "x"}, lambda result: [f"wrote {result['path']}"])
    captured = capsys.readouterr()
    assert captured.out == "wrote x\n"
    assert "note [bold]" in captured.err


def test_quiet_silences_notes_but_not_warnings(capsys):
    console = Console(quiet=True, json=True)
    console.note("note")
    console.warn("careful")
    console.result({"value": 1.5, "path": Path("x")}, None)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"value": 1.5, "path": "x"}
    assert "note" not in captured.err
    assert "careful" in captured.err


def test_not_a_number_never_reaches_the_json():
    with pytest.raises(ValueError, match="JSON"):
        Console(json=True).result({"auroc": float(np.nan)})


def test_a_chain_shows_the_bars_of_its_steps_in_one_display(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    with Console().chain("the chain", 2) as (console, whole):
        with console.progress("a step", 5) as step:
            assert step.live is whole.live
            assert [task.description for task in whole.live.tasks] == ["the chain", "a step"]
        assert [task.description for task in whole.live.tasks] == ["the chain"]


@pytest.mark.parametrize("seed", [-1, 2**31, 2**32])
def test_a_seed_that_some_generator_does_not_take_is_refused_at_once(seed):
    with pytest.raises(UsageError, match=r"--seed is .*0 to 2147483647"):
        Session(seed=seed)
    done = subprocess.run(
        [sys.executable, "-m", "mortcond.cli", "preprocess", "--seed", str(seed)], capture_output=True
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
