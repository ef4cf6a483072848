"""The command prune: which model, from which weights, how long, what is written. Training is pretended."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from condense_workspace import EPOCHS, session, without_tensorflow, write_dataset, write_parent

from mortcond import dataset as datasets
from mortcond.archs import ENSEMBLE
from mortcond.channels import groups
from mortcond.commands.prune import prune, render
from mortcond.condense.compensate import compensated
from mortcond.condense.cut import cut
from mortcond.condense.score import score
from mortcond.condense.select import Amount, select
from mortcond.core.errors import InputError, UsageError
from mortcond.core.manifest import read_manifest, write_manifest
from mortcond.network import Network
from mortcond.training.calibration import Calibration
from mortcond.training.settings import TrainSettings


@pytest.fixture
def training(monkeypatch):
    return without_tensorflow(monkeypatch)


def first_epoch_of(parent) -> Network:
    return Network.load(parent / "checkpoints" / "epoch-001.npz")


def test_the_papers_way(tmp_path, training):
    parent = write_parent(tmp_path, "lstm")
    result = prune(session(tmp_path))
    assert result["path"] == str(tmp_path / "lstm-pruned50")
    assert [(layer["before"], layer["after"]) for layer in result["layers"]] == [(6, 3), (4, 2)]
    (call,) = training.calls
    assert (call.first_epoch, call.settings.epochs, call.soft_targets) == (2, EPOCHS, None)
    early = first_epoch_of(parent)
    expected = cut(early, select(score(early, "mean", groups(early)), Amount(0.5)))
    for name, array in call.network.arrays().items():
        np.testing.assert_array_equal(array, expected.arrays()[name])


def test_the_child_keeps_the_parents_early_history_its_lineage_and_all_weights(tmp_path, training):
    parent = write_parent(tmp_path, "dnn", settings=TrainSettings(epochs=EPOCHS, learning_rate=0.01))
    child = tmp_path / "smaller"
    prune(session(tmp_path), parent, out=child)
    with (child / "history.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2, 3, 4]
    assert sorted(path.name for path in (child / "checkpoints").iterdir()) == [
        f"epoch-{epoch:03d}.npz" for epoch in range(1, EPOCHS + 1)
    ]
    manifest = read_manifest(child)
    assert manifest.parent["sha256"] == read_manifest(parent).sha256
    assert [step["name"] for step in manifest.lineage] == ["dnn"]
    assert manifest.extra["settings"]["learning_rate"] == 0.01
    assert manifest.parameters < read_manifest(parent).parameters
    assert manifest.metrics["training_seconds"] == 0.5 * EPOCHS, "the parent's epoch before the cut counts"


@pytest.mark.parametrize(
    ("schedule", "stages"),
    [("epoch", [(2, 4)]), ("final", [(5, 6)]), ("rewind", [(2, 4)]), ("gradual", [(2, 2), (3, 4)])],
)
def test_schedules(tmp_path, training, schedule, stages):
    write_parent(tmp_path, "lstm")
    result = prune(session(tmp_path), schedule=schedule, steps=2)
    assert [(call.first_epoch, call.last_epoch) for call in training.calls] == stages
    last = stages[-1][1]
    assert {call.settings.epochs for call in training.calls} == {last}, "one learning rate over all stages"
    assert [layer["after"] for layer in result["layers"]] == [3, 2]


def test_final_starts_from_the_trained_weights_and_may_leave_them_as_they_are(tmp_path, training):
    parent = write_parent(tmp_path, "lstm")
    result = prune(session(tmp_path), schedule="final", epochs=EPOCHS)
    assert not training.calls
    trained = Network.load(parent / "network.npz")
    kept = select(score(trained, "mean", groups(trained)), Amount(0.5))
    pruned = Network.load(tmp_path / "lstm-pruned50" / "network.npz")
    x = datasets.load(tmp_path / "dataset.npz").train.X
    np.testing.assert_array_equal(pruned["dense.0"].kernel, cut(compensated(trained, kept, x), kept)["dense.0"].kernel)
    assert result["cost"]["split"] == "validation"
    assert "Nothing was trained" in "".join(map(str, render(result)))
    assert 0 <= result["metrics"]["auroc_val"] <= 1, "measured after the cut, not the parent's"


def test_rewind_cuts_early_weights_where_the_trained_ones_are_weakest(tmp_path, training):
    parent = write_parent(tmp_path, "lstm")
    prune(session(tmp_path), schedule="rewind")
    trained, early = Network.load(parent / "network.npz"), first_epoch_of(parent)
    expected = cut(early, select(score(trained, "mean", groups(trained)), Amount(0.5)))
    np.testing.assert_array_equal(training.calls[0].network["dense.0"].kernel, expected["dense.0"].kernel)


@pytest.mark.parametrize("method", ["taylor", "fisher", "correlation", "l2", "random"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_methods_and_scopes(tmp_path, training, method, scope):
    write_parent(tmp_path, "hlstm")
    result = prune(session(tmp_path), method=method, scope=scope)
    assert sum(layer["after"] for layer in result["layers"]) == 10  # of 20
    assert all(layer["after"] >= 1 for layer in result["layers"])


def test_keep_and_axis_leave_the_rest_alone(tmp_path, training):
    write_parent(tmp_path, "hlstm")
    result = prune(session(tmp_path), keep="1", axis="hidden")
    assert result["path"].endswith("hlstm-kept1")
    assert [layer["after"] for layer in result["layers"]] == [4, 1, 1, 1, 1]
    result = prune(session(tmp_path), tmp_path / "hlstm", keep="3,1,2,3,4", out=tmp_path / "by-layer")
    assert [layer["after"] for layer in result["layers"]] == [3, 1, 2, 3, 4]


def test_distil_learns_from_the_parents_risks(tmp_path, training):
    parent = write_parent(tmp_path, "dnn")
    prune(session(tmp_path), distil=True)
    (call,) = training.calls
    x = np.load(tmp_path / "dataset.npz")["X_train"]
    np.testing.assert_allclose(call.soft_targets, Network.load(parent / "network.npz").predict(x), atol=1e-5)
    assert call.settings.teacher_weight > 0


def test_without_a_model_the_newest_unpruned_one_is_taken(tmp_path, training):
    write_parent(tmp_path, "lstm")
    write_parent(tmp_path, "dnn")
    first = prune(session(tmp_path))
    assert first["parent"] == "dnn"
    assert prune(session(tmp_path, overwrite=True))["parent"] == "dnn", "not dnn-pruned50, though it is newer"


def test_a_pruned_model_can_be_pruned_again(tmp_path, training):
    write_parent(tmp_path, "lstm")
    prune(session(tmp_path))
    again = prune(session(tmp_path), tmp_path / "lstm-pruned50")
    assert [(layer["before"], layer["after"]) for layer in again["layers"]] == [(3, 2), (2, 1)]
    assert [step["name"] for step in read_manifest(tmp_path / "lstm-pruned50-pruned50").lineage] == [
        "lstm",
        "lstm-pruned50",
    ]


def test_several_quantiles_make_as_many_models_and_the_papers_figure(tmp_path, training):
    write_parent(tmp_path, "lstm")
    result = prune(session(tmp_path), quantile="0.5,0.1")
    assert [model["name"] for model in result["models"]] == ["lstm-pruned10", "lstm-pruned50"]
    folder = tmp_path / "lstm-pruned-curves"
    with (folder / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["pruned"] for row in rows} == {"none", "10%", "50%"}
    assert len(rows) == 3 * EPOCHS
    assert (folder / "curves.png").stat().st_size > 5000
    assert (folder / "curves.svg").read_text().count("<path") > 5
    assert any("curves.png" in str(line) for line in render(result))


def test_the_result_says_what_was_cut(tmp_path, training):
    write_parent(tmp_path, "lstm")
    table, line = render(prune(session(tmp_path)))
    assert table.row_count == 2
    assert "AUROC 0.710 (val), 0.720 (test)" in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"quantile": "1.2"}, "at least 0 and below 1"),
        ({"quantile": "half"}, "--quantile half is unknown"),
        ({"method": "weight"}, "--method weight is unknown"),
        ({"schedule": "later"}, "--schedule later is unknown"),
        ({"after_epoch": 9}, "trained for 4 epochs"),
        ({"epochs": 1, "after_epoch": 2}, "Give at least 2"),
        ({"keep": "0"}, "not at least 1"),
        ({"keep": "3,2,1"}, "3 numbers for 2 layers"),
        ({"keep": "6"}, "keeps every channel"),
        ({"axis": "hidden"}, "nothing to cut"),
        ({"keep": "2", "quantile": "0.5"}, "both say"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(tmp_path, training, options, says):
    write_parent(tmp_path, "lstm")
    with pytest.raises(UsageError, match=says):
        prune(session(tmp_path), **options)
    assert not training.calls


def test_an_existing_result_is_not_replaced(tmp_path, training):
    write_parent(tmp_path, "lstm")
    (tmp_path / "lstm-pruned50").mkdir()
    with pytest.raises(UsageError, match="--overwrite"):
        prune(session(tmp_path))


def test_other_data_than_the_parents_are_refused(tmp_path, training):
    write_parent(tmp_path, "lstm")
    other = tmp_path / "other.npz"
    write_dataset(other, train=50)
    with pytest.raises(InputError, match="trained on other data"):
        prune(session(tmp_path), dataset=other)


def test_without_early_weights_final_is_the_way(tmp_path, training):
    parent = write_parent(tmp_path, "lstm")
    (parent / "checkpoints" / "epoch-001.npz").unlink()
    write_manifest(parent, read_manifest(parent))
    with pytest.raises(InputError, match=r"no weights of epoch 1 \(but of 2, 3, 4\)"):
        prune(session(tmp_path))


def test_early_weights_of_another_shape_are_refused(tmp_path, training):
    write_parent(tmp_path, "lstm")
    prune(session(tmp_path), schedule="gradual", steps=3)
    with pytest.raises(InputError, match="other sizes after epoch 1"):
        prune(session(tmp_path), tmp_path / "lstm-pruned50")


def test_a_linear_model_is_refused(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "lstm")
    monkeypatch.setattr(
        "mortcond.core.workspace.read_manifest", lambda path: SimpleNamespace(kind="model", arch="linear", parameters=9)
    )
    with pytest.raises(InputError, match="prune needs a trained network"):
        prune(session(tmp_path), tmp_path / "lstm")


def test_a_child_of_a_calibrated_parent_is_calibrated_on_the_validation_split(tmp_path, training, monkeypatch):
    def calibrate(network, x, y):
        assert len(x) == len(y) == 80, "the validation split"
        arrays = {name: 2 * array for name, array in network.arrays().items()}
        return network.with_arrays(arrays), Calibration(0.5, 0.0)

    monkeypatch.setattr("mortcond.training.calibration.calibrate", calibrate)
    parent = write_parent(tmp_path, "dnn", extra={"calibration": {"temperature": 2.0, "bias": 0.1}})
    prune(session(tmp_path), schedule="final", epochs=EPOCHS, quantile=0.2)
    child = Network.load(tmp_path / "dnn-pruned20" / "network.npz")
    trained = Network.load(parent / "network.npz")
    kept = select(score(trained, "mean", groups(trained)), Amount(0.2))
    plain = cut(compensated(trained, kept, datasets.load(tmp_path / "dataset.npz").train.X), kept)
    np.testing.assert_array_equal(child.output.layer.kernel, 2 * plain.output.layer.kernel)
    assert read_manifest(tmp_path / "dnn-pruned20").extra["calibration"] == {"temperature": 0.5, "bias": 0.0}


def test_a_teacher_of_the_parent_is_not_taken_for_granted(tmp_path, training):
    write_parent(tmp_path, "dnn", settings=TrainSettings(epochs=EPOCHS, teacher_weight=0.7))
    prune(session(tmp_path))
    assert training.calls[0].settings.teacher_weight == 0


def test_a_child_of_a_parent_that_learnt_from_the_ensemble_does_so_as_well(tmp_path, training):
    settings = TrainSettings(epochs=EPOCHS, teacher=ENSEMBLE, teacher_weight=0.7)
    write_parent(tmp_path, "dnn", settings=settings)
    prune(session(tmp_path))
    assert training.calls[0].settings == settings


def test_a_parent_that_stopped_early_does_not_shorten_its_child(tmp_path, training):
    write_parent(tmp_path, "dnn", settings=TrainSettings(epochs=9, patience=2, keep="best"))
    prune(session(tmp_path))
    assert training.calls[0].settings == TrainSettings(epochs=9, patience=2, keep="best")
