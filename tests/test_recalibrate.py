"""recalibrate: the new level stands in the last layer, the old data are not needed, what does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import condense_workspace
import numpy as np
import pytest
from condense_workspace import session, without_tensorflow, write_dataset, write_parent

from mortcond import dataset as datasets
from mortcond import scores
from mortcond.commands.recalibrate import recalibrate, render
from mortcond.core.artifacts import sha256
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.core.manifest import Manifest, read_manifest
from mortcond.deploy import metadata
from mortcond.deploy.recovered import recover
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.tflite import build
from mortcond.measure import candidates
from mortcond.network import Network


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """A workspace with a trained lstm, and the data of another hospital beside it."""
    without_tensorflow(monkeypatch)
    monkeypatch.setattr("mortcond.commands.recalibrate.write_model", condense_workspace.write_directory)
    write_parent(tmp_path, "dnn")
    write_dataset(tmp_path / "there.npz", train=0, val=0, test=400)
    data = datasets.load(tmp_path / "there.npz")
    risk = Network.load(tmp_path / "dnn" / "network.npz").predict(data.test.X)
    truth = 1 / (1 + np.exp(0.9 - 1.5 * np.log(risk / (1 - risk))))  # fewer die there than the network says
    died = (np.random.default_rng(0).random(400) < truth).astype(np.uint8)
    datasets.save(tmp_path / "there.npz", replace(data, test=replace(data.test, y=died)))
    return tmp_path


def run(workspace, model="dnn", **how):
    return recalibrate(session(workspace, "recalibrate"), model, workspace / "there.npz", **how)


def quantised(hospital, mode: str) -> Path:
    """Write the network as a file in the workspace, as quantize would."""
    network = Network.load(hospital / "dnn" / "network.npz")
    converted = build(network, mode, datasets.load(hospital / "dataset.npz").train.X)
    parent = read_manifest(hospital / "dnn")
    record = replace(
        session(hospital, "quantize").manifest("tflite", f"dnn-{mode}", parent.inputs),
        arch="dnn",
        parameters=network.parameters,
        quantization=mode,
        parent={"name": "dnn", "kind": "model", "sha256": parent.sha256},
        lineage=[parent.as_ancestor()],
    )
    path = hospital / f"dnn-{mode}.tflite"
    facts = {"manifest": record, "parameters": network.parameters, "network": converted.outline, "threshold": 0.3}
    path.write_bytes(metadata.attach(converted.bytes, metadata.described(facts)))
    return path


@pytest.mark.parametrize("mode", ["float32", "float16", "int8", "dynamic"])
def test_a_file_gets_the_level_and_keeps_its_weights(hospital, mode):
    path = quantised(hospital, mode)
    result = run(hospital, path.stem)
    assert result["path"] == str(hospital / f"dnn-{mode}-recalibrated.tflite")
    x, fitted = datasets.load(hospital / "there.npz").test.X, result["fit"]
    before, after = Predictor(path).predict(x), Predictor(Path(result["path"])).predict(x)
    assert fitted["level"] == "slope"
    expected = scores.recalibrated(before.astype(float), fitted["intercept"], fitted["slope"])
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-6)
    assert Path(result["path"]).stat().st_size < path.stat().st_size + 1500


def test_a_recalibrated_file_says_where_it_comes_from_and_can_be_moved_again(hospital):
    path = quantised(hospital, "int8")
    first = Path(run(hospital, path)["path"])
    told = metadata.read(first)
    manifest = Manifest.from_dict(told["manifest"])
    assert (manifest.kind, manifest.command, manifest.quantization) == ("tflite", "recalibrate", "int8")
    assert manifest.parent["sha256"] == sha256(path)
    assert [step["name"] for step in manifest.lineage] == ["dnn", "dnn-int8"]
    assert manifest.extra["recalibration"]["level"] == "slope"
    assert candidates.read(first, "litert").recalibrated_on == [sha256(hospital / "there.npz")]
    assert candidates.read(path, "litert").recalibrated_on == []
    moved = scores.recalibrated(np.array([0.3]), *(manifest.extra["recalibration"][n] for n in ("intercept", "slope")))
    assert told["threshold"] == pytest.approx(moved[0], rel=1e-4), "the same stays are beyond the threshold"
    second = run(hospital, first, level="intercept")
    assert second["fit"]["intercept"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_the_network_of_a_recalibrated_file_can_be_read_back(hospital, mode):
    file = Path(run(hospital, quantised(hospital, mode))["path"])
    told = metadata.read(file)
    found = recover(file.read_bytes(), "dnn", mode, told["network"], "file").network
    x = datasets.load(hospital / "there.npz").test.X
    np.testing.assert_allclose(found.predict(x), Predictor(file).predict(x), rtol=0, atol=1e-6)


def test_a_file_of_others_is_refused(hospital):
    path = hospital / "theirs.tflite"
    path.write_bytes(build(Network.load(hospital / "dnn" / "network.npz")).bytes)
    with pytest.raises(InputError, match="carries no metadata of mortcond"):
        run(hospital, path)


def test_a_directory_needs_no_tensorflow(hospital, monkeypatch):
    monkeypatch.setattr("mortcond.core.libraries.installed", lambda package: package != "tensorflow")
    assert (Path(run(hospital)["path"]) / "network.npz").is_file()


def test_the_mean_risk_is_the_hospitals_death_rate_and_the_order_stays(hospital):
    result = run(hospital, level="intercept")
    test = datasets.load(hospital / "there.npz").test
    before = Network.load(hospital / "dnn" / "network.npz").predict(test.X)
    after = Network.load(hospital / "dnn-recalibrated" / "network.npz").predict(test.X)
    assert after.mean() == pytest.approx(test.y.mean(), abs=1e-4)
    assert np.array_equal(np.argsort(before), np.argsort(after))
    assert result["figures"]["before"]["mean_risk"] == pytest.approx(before.mean(), abs=1e-6)
    assert abs(result["figures"]["after"]["intercept"]) < 0.1


def test_deaths_decide_the_level(hospital):
    result = run(hospital)
    assert result["deaths"] > 100
    assert result["fit"]["level"] == "slope"


def test_the_training_data_are_not_needed_and_the_lineage_is_kept(hospital):
    (hospital / "dataset.npz").unlink()
    run(hospital)
    manifest = json.loads((hospital / "dnn-recalibrated" / "manifest.json").read_text())
    assert manifest["command"] == "recalibrate"
    assert manifest["parent"]["name"] == "dnn"
    assert manifest["inputs"]["recalibration"]["path"].endswith("there.npz")
    assert manifest["inputs"]["dataset"]["path"].endswith("dataset.npz"), "what it learned from stays what it was"
    assert manifest["extra"]["recalibration"]["level"] == "slope"


def test_too_few_deaths_write_nothing(hospital):
    data = datasets.load(hospital / "there.npz")
    few = replace(data.test, y=(np.arange(400) < 9).astype(np.uint8))
    datasets.save(hospital / "there.npz", replace(data, test=few))
    with pytest.raises(LimitError, match="400 stays with 9 deaths are too few"):
        run(hospital)
    assert not (hospital / "dnn-recalibrated").exists()


def test_an_empty_split_is_too_few(hospital):
    with pytest.raises(LimitError, match="0 stays with 0 deaths"):
        run(hospital, split="val")


def test_data_of_another_preparation_are_refused(hospital):
    data = datasets.load(hospital / "there.npz")
    narrow = replace(data.test, X=data.test.X[:, :, :-1])
    cut = {"mean": data.mean[:-1], "std": data.std[:-1], "feature_names": data.feature_names[:-1]}
    empty = {name: replace(getattr(data, name), X=getattr(data, name).X[:, :, :-1]) for name in ("train", "val")}
    datasets.save(hospital / "there.npz", replace(data, test=narrow, **empty, **cut))
    with pytest.raises(InputError, match=r"reads \d features, .* has \d"):
        run(hospital)


def test_an_existing_model_is_not_replaced(hospital):
    run(hospital)
    with pytest.raises(UsageError, match="exists already"):
        run(hospital)


def test_the_result_is_shown(hospital):
    lines = [line for line in render(run(hospital)) if isinstance(line, str)]
    assert "on 400 stays" in lines[0]
    assert "new risk = sigmoid(" in lines[1]
    assert "less is better" in lines[-1]


def test_in_python_a_file_gives_a_file(hospital):
    import mortcond
    from mortcond.objects import TFLiteFile

    path, data = quantised(hospital, "int8"), datasets.load(hospital / "there.npz")
    made = mortcond.recalibrate(path, hospital / "there.npz", workspace=hospital, quiet=True)
    assert isinstance(made, TFLiteFile)
    assert made.predict(data.test.X).mean() == pytest.approx(data.test.y.mean(), abs=1e-3)
