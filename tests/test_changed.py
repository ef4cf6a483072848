"""What was changed after it was written is refused by whatever reads it; what cannot be run is not run."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import BuiltinOperator
from condense_networks import dnn, hlstm, lstm
from deploy_workspace import network, session, split, workspace

from mortcond.core import forms
from mortcond.core.artifacts import sha256
from mortcond.core.errors import InputError
from mortcond.core.manifest import MANIFEST, changed_files, opened, read_manifest, write_manifest
from mortcond.core.workspace import choose_model
from mortcond.deploy import known, metadata, runtime
from mortcond.deploy.flatbuffer import MODEL, Malformed, root
from mortcond.deploy.tflite import build
from mortcond.deploy.verify import OPERATIONS, verify
from mortcond.measure import candidates


@pytest.fixture
def model(tmp_path) -> Path:
    folder = workspace(tmp_path) / "lstm"
    (folder / "variables").mkdir()
    for name in ("saved_model.pb", "model.keras", "variables/variables.index"):
        (folder / name).write_bytes(b"as written")
    write_manifest(folder, read_manifest(folder))
    return folder


def change(path: Path) -> None:
    path.write_bytes(b"changed")


READERS = {
    "prune, quantize, convert, condense": lambda path: choose_model(
        session("prune", path.parent), path, lambda manifest: True, "a model"
    ),
    "the newest that fits": lambda path: choose_model(
        session("prune", path.parent), None, lambda manifest: True, "a model"
    ),
    "bench": lambda path: candidates.read(path, "litert"),
    "bench --runtime savedmodel": lambda path: candidates.read(path, "savedmodel"),
    "bench --runtime keras": lambda path: candidates.read(path, "keras"),
    "predict": lambda path: runtime.Predictor(path),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["model.keras", "saved_model.pb", "variables/variables.index"])
def test_a_changed_file_of_a_model_directory_is_named_by_every_reader(model, reader, name):
    READERS[reader](model)
    change(model / name)
    with pytest.raises(InputError, match=rf"lstm/{name} was changed after .*lstm was written") as caught:
        READERS[reader](model)
    assert caught.value.exit_code == 3
    assert "--trust-changed" in caught.value.remedy


@pytest.mark.parametrize("how", ["removed", "added"])
def test_a_file_too_few_or_too_many_is_a_change(model, how):
    if how == "removed":
        (model / "model.keras").unlink()
    else:
        (model / "more.txt").write_text("more")
    with pytest.raises(InputError, match=r"model\.keras was removed" if how == "removed" else r"more\.txt was changed"):
        opened(model)


def test_what_file_managers_leave_is_no_change(model):
    (model / ".DS_Store").write_bytes(b"icons")
    assert opened(model) == read_manifest(model)


def test_a_nested_file_of_the_manifests_name_counts(model):
    (model / "variables" / MANIFEST).write_text("{}")
    assert changed_files(model) == [model / "variables" / MANIFEST]


def test_whoever_means_a_change_gets_it_recorded(model):
    recorded = read_manifest(model).sha256
    change(model / "model.keras")
    manifest = opened(model, trust_changed=True)
    assert manifest.sha256 == sha256(model) != recorded
    assert manifest.extra["trusted_change"] == {
        "recorded": recorded,
        "found": manifest.sha256,
        "files": ["model.keras"],
    }
    assert manifest.as_ancestor()["changed"] is True


def test_a_changed_savedmodel_is_never_loaded(model, monkeypatch):
    change(model / "saved_model.pb")
    assert candidates.read(model, "keras", trust_changed=True).manifest.extra["trusted_change"]
    with pytest.raises(InputError, match=r"saved_model\.pb .* never loaded"):
        candidates.read(model, "savedmodel", trust_changed=True)


# manifest.json


BROKEN = {
    "inputs": [None, [], {"dataset": 3}, {"dataset": {"path": 4}}, {"dataset": {"path": "x"}}],
    "options": [{"epochs": 20}, "all"],
    "seed": ["0", 0.5, None, True, 10**30],
    "kind": [7, None],
    "name": [["lstm"]],
    "parameters": ["8081", 1.5],
    "lineage": [[1], [{"name": 3, "kind": "model", "command": "train"}], {}],
    "parent": ["lstm", 5],
    "extra": [[], None],
    "metrics": [3],
    "sha256": [12],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BROKEN.items() for value in values])
def test_a_manifest_of_another_form_is_refused_where_it_is_read(model, name, value):
    record = json.loads((model / MANIFEST).read_text())
    (model / MANIFEST).write_text(json.dumps(record | {name: value}))
    with pytest.raises(InputError, match=r"lstm/manifest\.json") as caught:
        read_manifest(model)
    assert name in caught.value.problem


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"[" * 100_000, b'{"seed": NaN}', b'{"seed": 1' + b"0" * 5000 + b"}", b""]
)
def test_a_manifest_that_is_no_json_is_refused(model, text):
    (model / MANIFEST).write_bytes(text)
    with pytest.raises(InputError, match=r"manifest\.json.* it is no JSON"):
        read_manifest(model)


def test_forms():
    forms.fit({"a": [1, 2.5, None]}, dict[str, list[float | None]])
    for value, form in (
        (True, int),
        (float("inf"), float),
        (10**400, float),
        ("1", int | None),
        ({"a": 1}, dict[str, str]),
    ):
        with pytest.raises(forms.Misfit):
            forms.fit(value, form)


# .tflite files


def rehashed(content: bytes, position: int, value: int) -> bytes:
    """Return a file with one byte changed, and the hash of its metadata made anew, as by somebody who means it."""
    record = metadata.extract(content, Path("x")).record
    changed = bytearray(content)
    changed[position] = value
    return metadata.attach(bytes(changed), record)


@pytest.mark.parametrize("make", [lstm, dnn, lambda: hlstm(4, (5, 3))])
@pytest.mark.parametrize("mode", ["float32", "float16", "dynamic", "int8"])
def test_what_mortcond_writes_is_verified(make, mode):
    verify(build(make(), mode).bytes)


def test_the_numbers_of_operations_are_the_schemas():
    assert {name: getattr(BuiltinOperator, name) for name in OPERATIONS} == {
        name: number for name, (number, _) in OPERATIONS.items()
    }


def mutants(content: bytes, count: int, seed: int):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(content)
        for place in generator.integers(0, len(content), generator.integers(1, 4)):
            changed[place] = generator.integers(0, 256)
        yield bytes(changed)


def test_mutated_files_are_verified_or_malformed():
    refused = 0
    for content in mutants(build(lstm(), "int8").bytes, 1500, 0):
        try:
            verify(content)
        except Malformed:
            refused += 1
    assert refused > 50


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MORTCOND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_unknown_file_is_run_apart_once_and_a_known_one_never(cache, model, monkeypatch):
    probed = []
    monkeypatch.setattr(runtime, "_probe", probed.append)
    for _ in range(2):
        runtime.Predictor(model)
    assert probed == [model / "model.tflite"]
    assert len((cache / known.FILE).read_text().splitlines()) == 1


def test_what_cannot_be_remembered_is_probed_again(model, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MORTCOND_CACHE", str(tmp_path / "file"))
    probed = []
    monkeypatch.setattr(runtime, "_probe", probed.append)
    for _ in range(2):
        runtime.Predictor(model)
    assert len(probed) == 2


def test_the_list_of_known_files_does_not_grow_for_ever(cache, monkeypatch):
    monkeypatch.setattr(known, "MOST", 10)
    for number in range(25):
        known.remember(bytes([number]))
    assert len((cache / known.FILE).read_text().splitlines()) <= 10
    assert known.is_known(bytes([24]))


ENDLESS = """
from mortcond.core.limits import limit
limit(cpu_seconds=1)
while True: pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux'")
def test_a_loop_without_an_end_is_ended():
    assert subprocess.run([sys.executable, "-c", ENDLESS], timeout=60).returncode != 0


def test_a_changed_tflite_is_refused_and_can_be_trusted(cache, model):
    file = model.parent / "lstm-int8.tflite"
    content = bytearray((model / "model.tflite").read_bytes())
    buffers = [buffer.vector(0, 1) for buffer in root(bytes(content)).tables(MODEL["buffers"])]
    largest = sorted(buffers, key=lambda buffer: buffer[1])[-2]  # the very largest is the metadata
    content[largest[0] + 3] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"lstm-int8\.tflite was changed") as caught:
        runtime.Predictor(file)
    assert "--trust-changed" in caught.value.remedy
    runtime.Predictor(file, trust_changed=True)


METADATA = {
    "manifest": [3, {"kind": 1}, []],
    "inputs": [[], {"mean": "x"}, {"feature_names": [1]}, {"window_hours": "48"}, {"variables": {"variables": [1]}}],
    "tensors": [{}, [{"name": 1}], [3]],
    "threshold": ["0.5", []],
    "prevalence": [{}],
    "intended_use": [4],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in METADATA.items() for value in values])
def test_metadata_of_another_form_is_refused_where_it_is_read(tmp_path, name, value):
    file = tmp_path / "x.tflite"
    file.write_bytes(metadata.attach(build(lstm(), "float32").bytes, {name: value}))
    with pytest.raises(InputError, match=r"metadata that cannot be read|manifest is incomplete or broken"):
        metadata.read(file)


# Threads


def test_stderr_stays_where_it_was_with_many_threads_at_once(model):
    before = os.fstat(2)
    predictors = [runtime.Predictor(model, threads=3) for _ in range(3)]
    x = np.concatenate([split(40, 1).X] * 4)
    results: list[np.ndarray] = []

    def work(predictor: runtime.Predictor, size: int) -> None:
        results.append(predictor.predict(x, batch_size=size))

    threads = [threading.Thread(target=work, args=(p, size)) for p in predictors for size in (3, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(before, os.fstat(2))
    for risks in results:
        np.testing.assert_allclose(risks, network().predict(x), atol=1e-5)


def test_what_others_say_while_the_runtime_loads_is_still_said(capfd):
    with runtime._without_notes():
        os.write(2, b"INFO: Created a delegate\nERROR: something else\n")
    assert capfd.readouterr().err == "ERROR: something else\n"
