"""The train command: from a data set to a model directory."""

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_data import FEATURES, HOURS, dataset

from mortcond.commands import train as room
from mortcond.commands.quantize import quantize
from mortcond.commands.train import render, train
from mortcond.core.artifacts import sha256
from mortcond.core.console import Console
from mortcond.core.errors import InputError, Interrupted, UsageError
from mortcond.core.manifest import read_manifest
from mortcond.core.session import Session
from mortcond.dataset import load as load_dataset
from mortcond.dataset import save
from mortcond.deploy import metadata
from mortcond.deploy.directory import load_network as load
from mortcond.layers import FullSummary
from mortcond.layers.operations import NUMPY
from mortcond.network import Network
from mortcond.training.calibration import calibrate
from mortcond.training.linear import fit_linear
from mortcond.training.teacher import cross_fitted

QUIET = Console(quiet=True)
SMALL = {"arch": "dnn", "width": 4, "layers": 1, "epochs": 2}


def session(workspace: Path, **facts) -> Session:
    return Session(workspace, console=QUIET, **facts)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    save(folder / "dataset.npz", dataset(120, 60, 60))
    return folder


@pytest.fixture(scope="module")
def lstm(workspace) -> dict:
    return train(session(workspace), arch="lstm", width=3, layers=1, epochs=3, batch_size=32)


def history(folder: Path) -> list[dict]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_model_directory_holds_everything(workspace, lstm):
    folder = workspace / "lstm"
    names = {path.name for path in folder.iterdir()}
    assert {
        "saved_model.pb",
        "network.npz",
        "model.keras",
        "model.tflite",
        "history.csv",
        "checkpoints",
        "manifest.json",
    } <= names
    rows = history(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(0 <= float(row[f"auroc_{name}"]) <= 1 for row in rows for name in ("train", "val", "test"))
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [f"epoch-00{n}.npz" for n in (1, 2, 3)]
    last = Network.load(folder / "checkpoints" / "epoch-003.npz")
    np.testing.assert_array_equal(load(folder)["dense.0"].kernel, last["dense.0"].kernel)
    assert not list(workspace.glob(".lstm*"))


def test_the_manifest_and_the_answer_say_how_it_was_trained(workspace, lstm):
    manifest = read_manifest(workspace / "lstm")
    assert (manifest.kind, manifest.arch, manifest.parameters) == ("model", "lstm", lstm["parameters"])
    assert manifest.extra["settings"]["epochs"] == 3
    assert manifest.extra["architecture"]["width"] == 3
    assert manifest.metrics["auroc_test"] == lstm["metrics"]["auroc_test"]
    assert manifest.inputs["dataset"]["path"] == str(workspace / "dataset.npz")
    json.dumps(lstm, allow_nan=False)
    assert f"{lstm['parameters']:,} parameters" in " ".join(render(lstm))


def test_an_existing_model_is_not_replaced_unasked(workspace, lstm):
    with pytest.raises(UsageError, match="exists already"):
        train(session(workspace), arch="lstm")


def test_ctrl_c_ends_after_the_epoch_and_resume_gives_the_same_bits(workspace, lstm, monkeypatch):
    how = {"arch": "lstm", "width": 3, "layers": 1, "epochs": 3, "batch_size": 32, "out": workspace / "again"}
    remember = room._remember

    def interrupt(*arguments):
        remember(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(room, "_remember", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="after epoch 1 of 3") as stopped:
        train(session(workspace), **how)
    assert "--resume" in stopped.value.remedy
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (workspace / "again").exists()
    monkeypatch.setattr(room, "_remember", remember)
    with pytest.raises(UsageError, match="another settings"):
        train(session(workspace), **how | {"learning_rate": 0.1}, resume=True)
    with pytest.raises(UsageError, match="another seed"):
        train(session(workspace, seed=3), **how, resume=True)
    train(session(workspace), **how, resume=True)
    for name, array in load(workspace / "again").arrays().items():
        np.testing.assert_array_equal(array, load(workspace / "lstm").arrays()[name])
    rows = zip(history(workspace / "again"), history(workspace / "lstm"), strict=True)
    assert all(one["loss"] == other["loss"] and one["auroc_val"] == other["auroc_val"] for one, other in rows)
    assert not (workspace / ".again.training").exists()


def test_there_must_be_something_to_resume(workspace):
    with pytest.raises(InputError, match="no interrupted training"):
        train(session(workspace), **SMALL, out=workspace / "none", resume=True)


def test_a_crash_between_two_files_is_no_harm(workspace, tmp_path):
    """The optimiser's state of an epoch that the record does not name yet is not taken up."""
    state = room.State(tmp_path)
    for epoch in (1, 2):
        (tmp_path / f"optimizer-00{epoch}.npz").write_bytes(b"")
    room._remember(state, {}, [{"epoch": 2}])
    assert [path.name for path in tmp_path.glob("optimizer-*")] == ["optimizer-002.npz"]


def test_linear_is_a_model_like_the_others(workspace):
    result = train(session(workspace), arch="linear")
    assert result["parameters"] == 6 * FEATURES + 1
    assert result["metrics"]["auroc_test"] > 0.7
    network = load(workspace / "linear")
    assert (network.arch, network["summary"], network.hours) == ("linear", FullSummary(), HOURS)
    assert (workspace / "linear" / "model.tflite").is_file()


def test_linear_is_scikit_learns_own(workspace):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    split = dataset(200).train
    fitted = fit_linear(split.X, split.y, split.subject_id, 0, QUIET)
    summaries = FullSummary().forward(NUMPY, {}, split.X.astype(float))
    scaler = StandardScaler().fit(summaries)
    model = LogisticRegression(C=fitted.strength, tol=1e-8, max_iter=5000).fit(scaler.transform(summaries), split.y)
    expected = model.predict_proba(scaler.transform(summaries))[:, 1]
    np.testing.assert_allclose(fitted.network.predict(split.X), expected, atol=5e-3)
    assert fitted.strength == max(fitted.auroc_by_strength, key=fitted.auroc_by_strength.get)


def test_a_feature_that_never_changes_within_a_stay_gets_no_weight_for_its_rounding():
    split = dataset(200).train
    X = split.X.copy()
    X[:, :, 0] = np.random.default_rng(0).normal(170, 10, (len(X), 1))  # a height: its deviation over the hours is 0
    network = fit_linear(X, split.y, split.subject_id, 0, QUIET).network
    by_summary = network["dense.0"].kernel[:, 0].reshape(6, -1)
    assert by_summary[4, 0] == by_summary[5, 0] == 0  # deviation and change
    assert by_summary[0, 0] != 0
    elsewhere = X.copy()
    elsewhere[:, 24:, 0] += 5  # where it is measured twice
    assert np.abs(network.predict(elsewhere) - network.predict(X)).max() < 0.5


def test_the_teachers_risks_of_a_stay_do_not_depend_on_its_own_outcome():
    split = dataset(80).train
    risk = cross_fitted(split.X, split.y, split.subject_id, 0, QUIET)
    assert risk.shape == (80,)
    assert ((risk > 0) & (risk < 1)).all()
    survivors, deaths = risk[split.y == 0], risk[split.y == 1]
    assert (deaths[:, None] > survivors).mean() < 0.97  # models that saw the outcomes would tell them all apart
    np.testing.assert_array_equal(risk, cross_fitted(split.X, split.y, split.subject_id, 0, QUIET))
    assert (risk != cross_fitted(split.X, split.y, split.subject_id, 1, QUIET)).any()


def test_every_stay_can_be_learnt_from(workspace):
    folder = workspace / "every"
    folder.mkdir()
    data = dataset(120, 60, 60)
    result = train(session(folder), **SMALL, all_stays=True, dataset=workspace / "dataset.npz")
    whole = load_dataset(folder / "dataset-all.npz")
    assert (len(whole.train), len(whole.val), len(whole.test)) == (240, 0, 0)
    assert set(whole.train.stay_id) == {i for part in (data.train, data.val, data.test) for i in part.stay_id}
    assert result["metrics"]["auroc_val"] is None
    assert result["metrics"]["auroc_test"] is None
    assert 0 < result["metrics"]["auroc_train"] < 1
    manifest = read_manifest(folder / "dnn")
    assert manifest.option("all_stays") is True
    assert manifest.inputs["dataset"] == {"path": str(folder / "dataset-all.npz"), "sha256": sha256(whole.path)}
    assert [(step["kind"], step["command"]) for step in manifest.lineage] == [("dataset", "train")]
    assert whole.meta["manifest"]["inputs"]["dataset"]["sha256"] == sha256(workspace / "dataset.npz")
    assert "AUROC train" in "\n".join(render(result))
    rounded = quantize(session(folder), folder / "dnn", mode="float16")
    assert (rounded["check"]["split"], rounded["check"]["stays"]) == ("train", 240)
    facts = metadata.read(Path(rounded["path"]))
    assert facts["prevalence"] == pytest.approx(whole.train.y.mean())
    assert [step["name"] for step in facts["manifest"]["lineage"]] == ["dataset-all", "dnn"]


def test_the_data_set_of_every_stay_is_made_once_and_of_nothing_else(workspace, tmp_path):
    own = {"dataset": workspace / "dataset.npz", "all_stays": True}
    train(session(tmp_path), arch="linear", **own)
    written = (tmp_path / "dataset-all.npz").stat().st_mtime_ns
    train(session(tmp_path), arch="linear", summary="measured", **own, out=tmp_path / "second")
    assert (tmp_path / "dataset-all.npz").stat().st_mtime_ns == written
    (tmp_path / "others").mkdir()
    save(tmp_path / "others" / "dataset.npz", dataset(90, 40, 40))
    with pytest.raises(UsageError, match=r"dataset-all\.npz is not of"):
        train(session(tmp_path), arch="linear", all_stays=True, dataset=tmp_path / "others" / "dataset.npz",
              out=tmp_path / "third")  # fmt: skip


def test_a_model_can_teach(workspace, lstm):
    taught = train(session(workspace), **SMALL, teacher="lstm", teacher_weight=0.9, out=workspace / "taught")
    alone = train(session(workspace), **SMALL, out=workspace / "alone")
    assert taught["metrics"]["loss"] != alone["metrics"]["loss"]
    manifest = read_manifest(workspace / "taught")
    assert manifest.inputs["teacher"]["sha256"] == read_manifest(workspace / "lstm").sha256
    assert manifest.extra["settings"]["teacher_weight"] == 0.9


def test_the_best_preset_learns_from_the_ensemble(workspace):
    result = train(session(workspace), arch="dnn", preset="best", epochs=2, out=workspace / "best")
    settings = result["extra"]["settings"]
    assert (settings["preset"], settings["teacher"], settings["epochs"]) == ("best", "ensemble", 2)
    assert load(workspace / "best")["summary"] == FullSummary()


def test_calibration_makes_the_mean_risk_that_of_the_validation_split_and_keeps_the_order():
    data = dataset(60, 200, 60)
    network = fit_linear(data.train.X, data.train.y, data.train.subject_id, 0, QUIET).network
    last = network.output.layer
    skewed = replace(last, kernel=last.kernel * 3, bias=last.bias + 2)
    skewed = network.with_layers({network.output.name: skewed})
    calibrated, found = calibrate(skewed, data.val.X, data.val.y)
    risk = calibrated.predict(data.val.X)
    assert risk.mean() == pytest.approx(data.val.y.mean(), abs=1e-3)
    np.testing.assert_array_equal(np.argsort(risk), np.argsort(skewed.predict(data.val.X)))
    logit = np.log(skewed.predict(data.val.X) / (1 - skewed.predict(data.val.X)))
    np.testing.assert_allclose(risk, 1 / (1 + np.exp(-(logit / found.temperature + found.bias))), atol=1e-5)


def test_a_calibrated_model_says_so(workspace):
    result = train(session(workspace), arch="linear", calibrate=True, out=workspace / "calibrated")
    assert set(result["extra"]["calibration"]) == {"temperature", "bias"}
    risk = load(workspace / "calibrated").predict(dataset(120, 60, 60).val.X)
    assert risk.mean() == pytest.approx(dataset(120, 60, 60).val.y.mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"arch": "lisp"}, "lisp"),
        ({"preset": "worst"}, "--preset worst is unknown"),
        ({"teacher_weight": 0.5}, "--teacher"),
        ({"temperature": 2.0}, "--teacher"),
        ({"arch": "lstm", "hidden_width": 4}, "--hidden-width"),
        ({"arch": "dnn", "summary": "median"}, "--summary"),
        ({"arch": "dnn", "width": 0}, "--width"),
        ({"arch": "lstm", "dropout": 1.0}, "--dropout"),
        ({"epochs": 0}, "--epochs"),
        ({"all_stays": True, "patience": 3}, "--patience needs validation stays"),
        ({"all_stays": True, "calibrate": True}, "--calibrate needs validation stays"),
        ({"all_stays": True, "keep_epoch": "best"}, "--keep-epoch needs validation stays"),
    ],
)
def test_options_that_contradict_are_refused(workspace, options, match):
    with pytest.raises(UsageError, match=match):
        train(session(workspace), **options, out=workspace / "refused")
    assert not list(workspace.glob("*refused*"))


def test_linear_refuses_what_is_for_networks(workspace):
    with pytest.raises(UsageError, match="--epochs"):
        train(session(workspace), arch="linear", epochs=3, out=workspace / "refused")
    with pytest.raises(UsageError, match="--keep-epoch is no option of linear"):
        train(session(workspace), arch="linear", keep_epoch="best", out=workspace / "refused")


def test_data_that_cannot_be_learnt_from_are_refused(tmp_path):
    data = dataset(60, 20, 20)
    save(tmp_path / "dataset.npz", replace(data, train=replace(data.train, y=np.zeros_like(data.train.y))))
    for arch in ("dnn", "linear"):
        with pytest.raises(InputError, match="survivors"):
            train(session(tmp_path), arch=arch)
    assert {path.name for path in tmp_path.iterdir()} == {"dataset.npz"}


def test_a_teacher_of_other_features_is_refused(workspace, tmp_path, lstm):
    data = dataset(60, 20, 20)
    narrow = {
        name: replace(getattr(data, name), X=getattr(data, name).X[:, :, :5]) for name in ("train", "val", "test")
    }
    five = replace(data, **narrow, feature_names=data.feature_names[:5], mean=np.zeros(5), std=np.ones(5))
    save(tmp_path / "dataset.npz", five)
    with pytest.raises(InputError, match="reads 7 features"):
        train(session(tmp_path), **SMALL, teacher=str(workspace / "lstm"))


def test_a_full_disk_is_told_before_training(workspace, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(InputError, match="1 MB free"):
        train(session(workspace), **SMALL, out=workspace / "refused")
    assert not list(workspace.glob("*refused*"))
