"""A hidden-layer LSTM in the place of a trained LSTM."""

from pathlib import Path

import numpy as np
import pytest
from condense_networks import hlstm, lstm, stays
from condense_workspace import EPOCHS, session, without_keras, without_tensorflow, write_parent

from mortcond.commands.hlstm_convert import hlstm_convert, render
from mortcond.commands.prune import prune
from mortcond.condense.distil import soft_targets
from mortcond.condense.hlstm_convert import from_parent
from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.core.manifest import read_manifest
from mortcond.network import Network
from mortcond.training.settings import TrainSettings


def distance(child, parent, x) -> float:
    return float(np.abs(child.predict(x) - parent.predict(x)).mean())


@pytest.mark.parametrize("units", [(5, 4), (4, 4), (3, 6), (4,), (4, 5, 4)])
@pytest.mark.parametrize("hidden", [(4,), (12,), (6, 6), (3, 5)])
def test_a_child_that_starts_from_its_parent_is_nearer_to_it_than_one_from_scratch(units, hidden):
    parent, (x, _) = lstm(units), stays(60)
    initial = hlstm(units[-1], hidden, seed=1)
    started = from_parent(parent, initial, x)
    assert [array.shape for array in started.arrays().values()] == [a.shape for a in initial.arrays().values()]
    unseen, _ = stays(60, seed=9)
    assert distance(started, parent, unseen) < 0.6 * distance(initial, parent, unseen)


def test_one_layer_and_twice_the_width_give_the_parent_itself():
    parent, (x, _) = lstm((4,)), stays(60)
    started = from_parent(parent, hlstm(4, (8,), seed=1), x)
    unseen, _ = stays(30, seed=9)
    np.testing.assert_allclose(started.predict(unseen), parent.predict(unseen), atol=1e-4)


def test_the_child_has_the_papers_size():
    child = from_parent(lstm((16, 16), 76), hlstm(16, (16,), 76, seed=1), stays(40, 76)[0])
    assert (child.arch, child.parameters) == ("hlstm", 6993)


def test_soft_targets_are_the_teachers_risks(monkeypatch):
    monkeypatch.setattr("mortcond.condense.distil.STAYS_AT_A_TIME", 7)
    teacher, (x, _) = lstm(), stays(20)
    risks = soft_targets(teacher, x, Console(quiet=True))
    assert risks.dtype == np.float32
    np.testing.assert_allclose(risks, teacher.predict(x), atol=1e-5)


# The command; training is pretended


@pytest.fixture
def training(monkeypatch):
    without_keras(monkeypatch)
    return without_tensorflow(monkeypatch)


def test_one_hidden_layer_lstm_of_the_parents_width_replaces_all_layers(tmp_path, training):
    parent = write_parent(tmp_path, "lstm", settings=TrainSettings(epochs=EPOCHS, batch_size=4))
    result = hlstm_convert(session(tmp_path, "hlstm-convert"))
    assert result["path"] == str(tmp_path / "lstm-hlstm")
    (call,) = training.calls
    assert len(call.network.recurrent) == 1
    assert call.network.recurrent[0].layer.units == 4, "of the parent's last layer"
    assert (call.first_epoch, call.settings, call.soft_targets) == (1, TrainSettings(epochs=EPOCHS, batch_size=4), None)
    manifest = read_manifest(tmp_path / "lstm-hlstm")
    assert (manifest.arch, manifest.parent["name"]) == ("hlstm", "lstm")
    assert manifest.extra["converted"] == {"lstm_units": [6, 4], "hlstm_units": 4, "hidden": [[4]] * 4}
    assert manifest.parent["sha256"] == read_manifest(parent).sha256


@pytest.mark.parametrize(("width", "depth", "hidden"), [(None, 1, [4]), (7, 1, [7]), (3, 2, [3, 3])])
def test_hidden_width_and_depth(tmp_path, training, width, depth, hidden):
    write_parent(tmp_path, "lstm")
    how = {"init": "parent", "hidden_width": width, "hidden_depth": depth}
    hlstm_convert(session(tmp_path, "hlstm-convert"), **how)
    gate = training.calls[0].network.recurrent[0].layer.hidden_gates[0]
    assert [weights.shape[1] for weights in gate.hidden] == hidden


def test_starting_from_the_parent_and_learning_from_it(tmp_path, training):
    parent = Network.load(write_parent(tmp_path, "lstm") / "network.npz")
    hlstm_convert(session(tmp_path, "hlstm-convert"), init="parent", distil=True)
    (call,) = training.calls
    x = np.load(tmp_path / "dataset.npz")["X_train"]
    np.testing.assert_allclose(call.soft_targets, parent.predict(x), atol=1e-5)
    np.testing.assert_array_equal(call.network["dense.0"].kernel, parent["dense.0"].kernel)


def test_a_pruned_lstm_is_converted_too_where_it_is_named(tmp_path, training):
    write_parent(tmp_path, "lstm")
    prune(session(tmp_path))
    assert hlstm_convert(session(tmp_path, "hlstm-convert"))["parent"]["name"] == "lstm", "the newest uncondensed one"
    result = hlstm_convert(session(tmp_path, "hlstm-convert"), tmp_path / "lstm-pruned50", init="parent")
    assert training.calls[-1].network.recurrent[0].layer.units == 2
    lineage = [step["name"] for step in read_manifest(Path(result["path"])).lineage]
    assert lineage == ["lstm", "lstm-pruned50"]


def test_what_is_no_lstm_is_refused(tmp_path, training):
    with pytest.raises(InputError, match="needs a trained lstm"):
        hlstm_convert(session(tmp_path, "hlstm-convert"), write_parent(tmp_path, "dnn"))
    with pytest.raises(UsageError, match="--init random is unknown"):
        hlstm_convert(session(tmp_path, "hlstm-convert"), init="random")


def test_the_result_shows_the_child_beside_its_parent(tmp_path, training):
    write_parent(tmp_path, "lstm")
    table, line = render(hlstm_convert(session(tmp_path, "hlstm-convert")))
    assert table.row_count == 2
    assert "lstm-hlstm" in line
