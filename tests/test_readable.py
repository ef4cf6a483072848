"""Files keep their word: what every older format version wrote is read, and of newer ones that is said."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mortcond import dataset as datasets
from mortcond.cli import app
from mortcond.core.dataset_file import SPLITS
from mortcond.core.errors import InputError
from mortcond.core.format_version import FORMAT_VERSION, KEY
from mortcond.core.manifest import MANIFEST, opened
from mortcond.deploy import metadata
from mortcond.deploy.directory import load_network
from mortcond.deploy.runtime import Predictor
from mortcond.network import Network

KEPT = Path(__file__).parent / "readable"
VERSIONS = [1, 2]
NEXT = FORMAT_VERSION + 1


def workspace_of(version: int, folder: Path) -> Path:
    with zipfile.ZipFile(KEPT / f"version-{version}.zip") as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="module", params=VERSIONS)
def workspace(request, tmp_path_factory) -> Path:
    return workspace_of(request.param, tmp_path_factory.mktemp(f"version-{request.param}"))


@pytest.fixture
def own(workspace, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(workspace, tmp_path / "own"))


def run(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments), "-q"])


def test_every_version_is_kept():
    assert {f"version-{version}.zip" for version in range(1, FORMAT_VERSION + 1)} == {
        p.name for p in KEPT.glob("*.zip")
    }


def test_models_give_the_risks_that_they_gave_then(workspace):
    X = datasets.load(workspace / "dataset.npz").train.X
    expected = json.loads((workspace / "risks.json").read_text(encoding="utf-8"))
    assert {"lstm/model.tflite", "hlstm/model.tflite", "dnn/model.tflite", "linear/model.tflite"} <= expected.keys()
    for name, risks in expected.items():
        np.testing.assert_allclose(Predictor(workspace / name).predict(X), risks, atol=1e-6, err_msg=name)
        if "/" in name:
            opened((workspace / name).parent)  # every hash is as recorded
            network = load_network((workspace / name).parent)
            np.testing.assert_allclose(network.predict(X), risks, atol=2e-6, err_msg=name)
            assert network.arch in name


def test_data_sets_are_whole(workspace):
    data = datasets.load(workspace / "dataset.npz")
    assert [len(data.split(split)) for split in SPLITS] == [16, 3, 1]
    assert data.train.X.shape[1:] == (48, 76)
    assert np.isfinite(data.train.X).all()


@pytest.mark.parametrize("command", ["quantize", "prune", "hlstm-convert"])
def test_models_are_condensed_further(own, command):
    how = [] if command == "quantize" else ["--epochs", 1, "--backend", "numpy"]
    result = run(command, own / "lstm", "-w", own, "-o", own / "child", *how)
    assert result.exit_code == 0, result.output


def test_models_are_inspected_and_exported(own):
    for path in (own / "lstm", own / "lstm-int8.tflite", own / "dataset.npz"):
        assert run("inspect", path).exit_code == 0
    assert run("export", own / "lstm-int8.tflite", "--to", "html", "-o", own / "risk.html", "-w", own).exit_code == 0
    assert run("export", own / "hlstm", "--to", "c", "-o", own / "risk.c", "-w", own).exit_code == 0


def test_weights_of_single_epochs_are_read(own):
    result = run("prune", own / "lstm", "-w", own, "-o", own / "child", "--after-epoch", 1, "--backend", "numpy")
    assert result.exit_code == 0, result.output


def test_a_newer_model_directory_is_refused_by_its_number(own):
    path = own / "lstm" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {KEY: NEXT}), encoding="utf-8")
    with pytest.raises(InputError, match=f"newer mortcond: its format version is {NEXT}"):
        opened(own / "lstm")


def test_a_newer_network_is_refused_by_its_number(own):
    network = load_network(own / "lstm")
    network.save(own / "network.npz")
    with np.load(own / "network.npz") as stored:
        parts = dict(stored)
    parts["header"] = json.dumps(json.loads(str(parts["header"])) | {"format": NEXT})
    np.savez(own / "network.npz", **parts)
    with pytest.raises(InputError, match=f"format version is {NEXT}"):
        Network.load(own / "network.npz")


def test_a_newer_file_is_refused_by_its_number(own, monkeypatch):
    path = own / "lstm-int8.tflite"
    record = metadata.read(path)
    monkeypatch.setattr(metadata, "stamped", lambda record: record | {KEY: NEXT})
    path.write_bytes(metadata.attach(path.read_bytes(), record))
    with pytest.raises(InputError, match=f"format version is {NEXT}"):
        metadata.read(path)


def test_a_newer_data_set_is_refused_by_its_number(own, monkeypatch):
    data = datasets.load(own / "dataset.npz")
    monkeypatch.setattr(datasets.npz, "stamped", lambda record: record | {KEY: NEXT})
    datasets.save(own / "dataset.npz", data)
    with pytest.raises(InputError, match=f"format version is {NEXT}"):
        datasets.load(own / "dataset.npz")
    assert run("train", "-w", own, "--arch", "linear", "-o", own / "new").exit_code == 3


@pytest.mark.parametrize("version", ["2", None, 0, True, 1.5])
def test_a_version_that_is_no_number_is_refused(own, version):
    path = own / "lstm" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {KEY: version}), encoding="utf-8")
    with pytest.raises(InputError, match="format version"):
        opened(own / "lstm")
