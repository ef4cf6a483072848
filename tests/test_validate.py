"""validate: what it trains, that it goes on where it stopped, what it says. Training is pretended, but once."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mortcond.commands import chain
from mortcond.commands import validate as room
from mortcond.commands.chain import Form, Outcome, read, with_parents
from mortcond.commands.validate import render, validate
from mortcond.core.console import Console
from mortcond.core.errors import InputError, Interrupted, UsageError
from mortcond.core.session import Session
from mortcond.dataset import Dataset, Split, save

FEATURES, HOURS = 3, 6


def write_dataset(path, stays: int = 120) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(stays, HOURS, FEATURES)).astype(np.float32)
    died = (rng.random(stays) < 1 / (1 + np.exp(1 - 3 * X.mean((1, 2))))).astype(np.uint8)
    ids, nobody = np.arange(stays), np.full(stays, "")
    whole = Split(X, died, ids, ids, np.full(stays, 60, np.float32), nobody, nobody)
    rows = {"train": slice(0, 80), "val": slice(80, 100), "test": slice(100, stays)}
    parts = {n: Split(**{k: getattr(whole, k)[r] for k in Split.__dataclass_fields__}) for n, r in rows.items()}
    names = tuple(f"feature {index}" for index in range(FEATURES))
    save(path, Dataset(**parts, feature_names=names, mean=np.zeros(FEATURES), std=np.ones(FEATURES),
                       meta={"prevalence": 0.3, "source": "made up"}))  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    write_dataset(tmp_path / "dataset.npz")
    room._whole.cache_clear()
    return tmp_path


def pretended(data, forms, how, seed) -> dict[str, Outcome]:
    """Return risks that follow the outcome's cause, with the noise of a seed."""
    rng = np.random.default_rng(seed)
    cause = data.test.X.mean((1, 2))
    return {
        form.name: Outcome(1 / (1 + np.exp(-cause - 0.1 * rng.normal(size=len(cause)))), 1000, 10, 0.5, None)
        for form in forms
    }


@pytest.fixture
def training(monkeypatch):
    """Pretended training; `calls` tells what was trained."""
    calls = []

    def run(data, forms, how, seed):
        calls.append(SimpleNamespace(data=data, forms=[form.name for form in forms], how=how, seed=seed))
        return pretended(data, forms, how, seed)

    monkeypatch.setattr(room.chain, "run", run)
    return calls


def run(workspace, **how):
    session = Session(workspace, console=Console(quiet=True))
    return validate(session, **{"forms": ["lstm-int8"], "folds": 3, "resamples": 100} | how)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("lstm", Form("lstm")),
        ("lstm-pruned50-hlstm-int8", Form("lstm", 50, True, "int8")),
        ("dnn-integer", Form("dnn", mode="integer")),
        ("linear-float16", Form("linear", mode="float16")),
        ("trees", Form("trees")),
        *((f"{arch}-pruned50-int8", Form(arch, 50, mode="int8")) for arch in chain.archs.ARCHS if arch != "linear"),
    ],
)
def test_a_form_has_the_name_of_its_artifact(name, form):
    assert read(name) == form
    assert form.name == name


@pytest.mark.parametrize(
    "name", ["gru-", "trees-int8", "linear-pruned50", "dnn-hlstm", "lstm-integer", "lstm-int4", "", "LSTM"]
)
def test_what_cannot_be_made_is_refused(name):
    with pytest.raises(UsageError, match="There is no form"):
        read(name)


def test_what_a_form_is_made_of_comes_before_it():
    names = [form.name for form in with_parents([read("lstm-pruned50-hlstm-int8"), read("lstm-pruned50")])]
    assert names == ["lstm", "lstm-pruned50", "lstm-pruned50-hlstm", "lstm-pruned50-hlstm-int8"]
    assert read("lstm-pruned50-int8").baseline == Form("lstm")
    assert read("lstm").baseline is None


def test_every_fold_repeat_and_seed_is_trained_once(workspace, training):
    result = run(workspace, repeats=2, seeds=2)
    networks = [call for call in training if "lstm" in call.forms]
    assert len(networks) == 3 * 2 * 2
    assert len({call.seed for call in networks}) == 12, "every training has random numbers of its own"
    assert {record["name"] for record in result["forms"]} == {"lstm", "lstm-int8", "linear", "trees"}
    held = [tuple(call.data.test.stay_id) for call in networks]
    assert sorted(stay for ids in held for stay in ids) == sorted(4 * list(range(120)))
    assert result["runs"] == {"repeats": 2, "folds": 3, "seeds": 2}


def test_the_result_is_in_the_folder_and_on_the_screen(workspace, training):
    result = run(workspace)
    stored = json.loads((workspace / "validate" / "results.json").read_text())
    assert stored == result
    assert stored["dataset"]["n"] == 120
    lines = [line for line in render(result) if isinstance(line, str)]
    assert any(line.startswith("Cross-validated on all 120 stays") for line in lines)


def test_a_second_run_trains_nothing_and_says_the_same(workspace, training):
    first = run(workspace)
    count = len(training)
    second = run(workspace)
    assert len(training) == count
    assert second["forms"] == first["forms"]


def test_a_form_more_trains_its_architecture_and_nothing_else(workspace, training):
    run(workspace)
    del training[:]
    run(workspace, forms=["lstm-int8", "lstm-pruned50"])
    assert [call.forms for call in training] == [["lstm", "lstm-int8", "lstm-pruned50"]] * 3


def test_other_settings_train_anew(workspace, training):
    run(workspace)
    count = len(training)
    run(workspace, epochs=3)
    assert len(training) == 2 * count


def test_an_interrupted_validation_goes_on_where_it_stopped(workspace, training, monkeypatch):
    whole = run(workspace, out=workspace / "whole")
    del training[:]
    real = room.chain.run

    def interrupted(*arguments):
        if len(training) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(room.chain, "run", interrupted)
    with pytest.raises(Interrupted, match="4 of 9 trainings are done, and kept"):
        run(workspace)
    monkeypatch.setattr(room.chain, "run", real)
    del training[:]
    assert run(workspace)["forms"] == whole["forms"]
    assert len(training) == 5


def test_side_by_side_gives_the_same(workspace, training):
    one = run(workspace)
    other = run(workspace, jobs=2, jobs_by="threading", out=workspace / "other")
    assert one["forms"] == other["forms"]


def test_a_training_of_other_stays_is_no_result(workspace, training):
    run(workspace)
    path = next((workspace / "validate" / "trainings").glob("lstm-*"))
    arrays = dict(np.load(path))
    arrays["risk:lstm"] = arrays["risk:lstm"][:-1]
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="is of other stays"):
        run(workspace)


def test_an_unreadable_training_is_trained_again(workspace, training):
    run(workspace)
    count = len(training)
    path = next((workspace / "validate" / "trainings").glob("lstm-*"))
    path.write_bytes(path.read_bytes()[:100])
    run(workspace)
    assert len(training) == count + 1


@pytest.mark.parametrize(
    ("how", "says"),
    [({"folds": 1}, "--folds is 1"), ({"seeds": 0}, "--seeds is 0"), ({"margin": 0.0}, "not above 0 and below 0.5"),
     ({"forms": ["lstm-int7"]}, "no form"), ({"jobs_by": "abacus"}, "--jobs-by abacus is unknown")],
)  # fmt: skip
def test_wrong_options(workspace, training, how, says):
    with pytest.raises(UsageError, match=says):
        run(workspace, **how)


def test_more_folds_than_deaths_are_refused(workspace, training):
    with pytest.raises(InputError, match="too few for 100 folds"):
        run(workspace, folds=100)


def test_the_chain_of_the_linear_model_needs_no_network(workspace):
    from mortcond.dataset import folds

    everything = room._whole(workspace / "dataset.npz")
    data = folds.cut(everything, folds.assign(everything.stays.y, everything.stays.subject_id, 3, 0), 0, 0)
    found = chain.run(data, with_parents([read("linear-int8"), read("trees")]), chain.HowToTrain(), 0)
    assert set(found) == {"linear", "linear-int8", "trees"}
    assert found["linear"].risk.shape == data.test.y.shape
    assert 0 < found["linear-int8"].max_abs_dp < 0.1
    assert found["trees"].size_bytes is None


@pytest.mark.slow
def test_the_whole_chain_in_one_fold(workspace):
    """Every step of it; the held-out stays are nowhere to be seen while it trains."""
    forms = ["lstm-pruned50-hlstm-int8", "lstm-int8", "dnn-integer"]
    result = run(workspace, forms=forms, folds=2, epochs=2)
    found = {record["name"]: record for record in result["forms"]}
    assert found["lstm-pruned50"]["parameters"] < found["lstm"]["parameters"]
    assert found["lstm-int8"]["size_bytes"] < found["lstm"]["size_bytes"]
    assert found["dnn-integer"]["against"]["parent"]["vs"] == "dnn"
    assert all(0 <= record["auroc"] <= 1 for record in result["forms"])


def test_a_changed_preset_is_trained_anew(workspace, training, monkeypatch):
    """A preset's name stands for other settings in the next version: what was trained by the old ones is no result."""
    run(workspace)
    count = len(training)
    monkeypatch.setitem(chain.archs.ARCHS, "lstm", replace(chain.archs.ARCHS["lstm"], shape={"width": 4, "layers": 1}))
    run(workspace)
    assert [call.forms for call in training[count:]] == [["lstm", "lstm-int8"]] * 3, "and nothing but that is"


def test_the_answer_tells_how_the_networks_were_trained(workspace, training):
    said = run(workspace)["answer"]["sentence"]
    assert said.startswith("Cross-validated on all 120 stays"), "bench shows it above networks of another preset"
    assert ", preset paper, one training of each:" in said
