"""recalibrate: the new level stands in the last layer, the old data are not needed, what does not fit is refused."""

import json
from dataclasses import replace

import condense_workspace
import numpy as np
import pytest
from condense_workspace import session, without_tensorflow, write_dataset, write_parent

from mortcond import dataset as datasets
from mortcond.commands.recalibrate import recalibrate, render
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.network import Network


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """A workspace with a trained lstm, and the data of another hospital beside it."""
    without_tensorflow(monkeypatch)
    monkeypatch.setattr("mortcond.deploy.directory.write_model", condense_workspace.write_directory)
    write_parent(tmp_path, "dnn")
    write_dataset(tmp_path / "there.npz", train=0, val=0, test=400)
    data = datasets.load(tmp_path / "there.npz")
    risk = Network.load(tmp_path / "dnn" / "network.npz").predict(data.test.X)
    truth = 1 / (1 + np.exp(0.9 - 1.5 * np.log(risk / (1 - risk))))  # fewer die there than the network says
    died = (np.random.default_rng(0).random(400) < truth).astype(np.uint8)
    datasets.save(tmp_path / "there.npz", replace(data, test=replace(data.test, y=died)))
    return tmp_path


def run(workspace, **how):
    return recalibrate(session(workspace, "recalibrate"), "dnn", workspace / "there.npz", **how)


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
