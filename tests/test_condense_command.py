"""The command condense: limits, the choice, resuming, honesty. Training is pretended, files and their runs are real."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from condense_networks import FEATURES, HOURS
from condense_workspace import session, without_keras, without_tensorflow, write_dataset, write_parent

from mortcond import dataset as datasets
from mortcond.archs import ARCHS, Inputs, shaped, untrained
from mortcond.commands import condense as room
from mortcond.commands.condense import condense, render
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.deploy import metadata
from mortcond.measure.plots.search import write_tradeoff
from mortcond.network import Network


@pytest.fixture
def training(monkeypatch):
    """Pretended training and timing; the linear candidate alone has learnt what the outcomes follow from."""
    without_keras(monkeypatch)
    monkeypatch.setattr("mortcond.commands.candidate_maker.CandidateMaker._fit_linear", lambda *_: linear())
    monkeypatch.setattr(
        "mortcond.commands.candidate_maker.latency.measure",
        lambda found, *_: ([cost_of(candidate) for candidate in found], None),
    )
    monkeypatch.setattr(room, "write_tradeoff", lambda *_: [])
    monkeypatch.setitem(ARCHS, "dnn", replace(ARCHS["dnn"], search=((16,), (64, 32, 16))))
    monkeypatch.setattr(room.search, "QUANTILES", (0.5,))
    return without_tensorflow(monkeypatch)


def cost_of(candidate):
    return SimpleNamespace(error=None, latency=lambda batch: {"p50": 5.0 if candidate.arch == "linear" else 50.0})


def linear(sign: float = 1.0) -> Network:
    """Return what outcomes follow from in these data: the mean over all hours and features."""
    weights = np.zeros((6 * FEATURES, 1), np.float32)
    weights[:FEATURES] = sign
    network = untrained("linear", shaped("linear"), Inputs(FEATURES, HOURS))
    return network.with_arrays({"dense.0.kernel": weights, "dense.0.bias": np.zeros(1, np.float32)})


def run(workspace, **how):
    return condense(session(workspace, "condense"), **{"arch": "linear,dnn"} | how)


def test_the_smallest_file_that_is_not_inferior_is_delivered(tmp_path, training):
    write_parent(tmp_path, "lstm")
    result = run(tmp_path)
    good = [record["bytes"] for record in result["candidates"] if record["qualifies"]]
    assert result["chosen"]["bytes"] == min(good)
    assert (tmp_path / "condensed.tflite").stat().st_size == min(good)
    assert result["chosen"]["arch"] == "linear"
    told = metadata.read(tmp_path / "condensed.tflite")["manifest"]
    assert told["extra"]["recipe"]["name"] == "linear"
    assert [step["name"] for step in told["lineage"]] == ["lstm"]


def test_the_test_split_is_read_once_and_only_for_the_choice(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "lstm")
    read = []
    load = room.datasets.load
    monkeypatch.setattr(
        room.datasets, "load", lambda path, splits, *how: read.append(tuple(splits)) or load(path, splits, *how)
    )
    result = run(tmp_path)
    assert read == [("train", "val"), ("test",)]
    assert result["chosen"]["test"]["stays"] == 90


def test_every_candidate_has_a_record_and_the_tradeoff_is_drawn(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "lstm")
    monkeypatch.setattr(room, "write_tradeoff", write_tradeoff)
    result = run(tmp_path, whole_curve=True, max_bytes=5000)
    records = [json.loads(line) for line in (tmp_path / "condense" / "candidates.jsonl").read_text().splitlines()]
    assert len(records) == len({record["name"] for record in records})
    assert {record["bytes"] <= 5000 for record in records if "refused" not in record} == {True}
    assert {record["refused"] for record in records if record["bytes"] > 5000} == {"too large"}
    assert result["untried"] == result["larger"] == []
    for name in ("tradeoff.png", "tradeoff.svg", "tradeoff.csv", "result.json"):
        assert (tmp_path / "condense" / name).stat().st_size > 200
    table, *lines = render(result)
    assert table.row_count == len({record["network"] for record in result["candidates"]})
    assert any(result["chosen"]["name"] in cell for cell in table.columns[0].cells)
    assert "looked at once" in " ".join(lines)


def test_what_is_larger_than_the_answer_is_not_trained(tmp_path, training):
    write_parent(tmp_path, "lstm")
    result = run(tmp_path)
    trained = {call.network["dense.0"].bias.size for call in training.calls}
    assert trained <= {16}, "only what has a smaller file than the linear network"
    assert "dnn64x32x16" in result["larger"]


def test_too_slow_candidates_are_not_trained(tmp_path, training):
    write_parent(tmp_path, "lstm")
    run(tmp_path, max_latency_us=10, whole_curve=True)
    assert not training.calls


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "dnn")
    how = {"arch": "dnn", "max_auroc_drop": 0.49, "whole_curve": True}

    def interrupted(*arguments, **options):
        if len(training.calls) == 3:
            raise KeyboardInterrupt
        return training(*arguments, **options)

    monkeypatch.setattr("mortcond.commands.candidate_maker.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, **how)
    assert not (tmp_path / "condensed.tflite").exists()
    before = len(training.calls)
    monkeypatch.setattr("mortcond.commands.candidate_maker.train", training)
    result = run(tmp_path, **how)
    networks = {record["network"] for record in result["candidates"]} - {"dnn"}  # the baseline is trained already
    assert len(training.calls) == len(networks), "none was trained twice"
    assert before == 3


def test_the_baseline_in_fewer_bits_is_tried_first_and_nothing_larger_is_trained(tmp_path, training):
    write_parent(tmp_path, "dnn")
    result = run(tmp_path, arch="dnn")
    whole = {record["name"]: record for record in result["candidates"] if record["network"] == "dnn"}
    assert set(whole) == {"dnn-int8", "dnn-dynamic", "dnn-float16"}
    assert all(record["training_seconds"] == 0 and record["qualifies"] for record in whole.values())
    assert training.calls, "what is smaller is tried after it"
    smallest = min(record["bytes"] for record in whole.values())
    trained = {record["network"] for record in result["candidates"]} - {"dnn"}
    for network in trained:
        assert min(record["bytes"] for record in result["candidates"] if record["network"] == network) < smallest
    assert "dnn64x32x16" in result["larger"]


def test_a_file_that_rounding_changes_too_much_is_no_candidate(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "lstm")
    monkeypatch.setitem(room.check.TOLERANCE, "int8", 0.0)
    result = run(tmp_path, arch="linear", whole_curve=True)
    records = [json.loads(line) for line in (tmp_path / "condense" / "candidates.jsonl").read_text().splitlines()]
    refused = {record["mode"]: record["refused"] for record in records if "refused" in record}
    assert refused == {"int8": room.COARSE}
    assert "int8" not in {record["mode"] for record in result["candidates"]}
    assert any("(1 left out, whose risks" in str(line) for line in render(result))


def test_a_changed_setting_trains_anew(tmp_path, training):
    write_parent(tmp_path, "dnn")
    how = {"arch": "dnn", "max_auroc_drop": 0.49, "max_bytes": 4000, "whole_curve": True}
    run(tmp_path, **how)
    first = len(training.calls)
    condense(session(tmp_path, "condense", overwrite=True), **how, epochs=3)
    assert len(training.calls) == 2 * first


def test_when_nothing_qualifies_it_says_so_with_the_nearest(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "dnn")
    monkeypatch.setattr("mortcond.commands.candidate_maker.CandidateMaker._fit_linear", lambda *_: linear(sign=-1.0))
    with pytest.raises(LimitError, match="No candidate meets the limits") as caught:
        run(tmp_path, arch="linear")
    assert "Nearest: linear-" in caught.value.problem
    assert caught.value.result["chosen"] is None
    assert not (tmp_path / "condensed.tflite").exists()
    assert (tmp_path / "condense" / "result.json").exists()
    assert any("compared on 80 validation stays" in str(line) for line in render(caught.value.result))


def test_when_the_stays_are_too_few_to_tell_it_says_how_many_could(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "dnn")
    nearly = Network.load(tmp_path / "dnn" / "network.npz")
    arrays = {name: array + 0.05 for name, array in nearly.arrays().items()}
    monkeypatch.setattr(
        "mortcond.commands.candidate_maker.train", lambda *_, **__: SimpleNamespace(network=nearly.with_arrays(arrays))
    )
    monkeypatch.setattr("mortcond.condense.search.recipes", lambda *_: [room.Recipe("pruned", "dnn", (), 0.0)])
    with pytest.raises(LimitError, match="cannot tell with 80 stays") as caught:
        run(tmp_path, arch="dnn", max_auroc_drop=0.001)
    assert "validation stays could tell" in caught.value.remedy


def test_when_every_file_is_too_large_it_says_how_small_they_get(tmp_path, training):
    write_parent(tmp_path, "dnn")
    with pytest.raises(LimitError, match="could be shown to meet the limits") as caught:
        run(tmp_path, max_bytes=100)
    assert "The smallest file would have" in caught.value.remedy
    assert not training.calls


def test_when_the_budget_is_over_it_says_what_is_left(tmp_path, training):
    write_parent(tmp_path, "lstm")
    with pytest.raises(LimitError, match="could be shown") as caught:
        run(tmp_path, budget_minutes=0)
    assert "linear" in caught.value.result["untried"]


def test_a_choice_that_the_test_split_contradicts_is_no_success(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "lstm")
    pretend_on_the_test_split(monkeypatch, {"noninferior": False, "verdict": "inferior"})
    with pytest.raises(LimitError, match="test split shows it inferior"):
        run(tmp_path)


def pretend_on_the_test_split(monkeypatch, answer: dict) -> None:
    """Let the judge of the test split (90 stays) say something else."""
    real = room.Judge.verdicts

    def verdicts(judge):
        found = real(judge)
        return {name: one | answer for name, one in found.items()} if len(judge.died) == 90 else found

    monkeypatch.setattr(room.Judge, "verdicts", verdicts)


def test_a_choice_that_the_test_split_cannot_confirm_is_taken_only_where_asked_for(tmp_path, training, monkeypatch):
    write_parent(tmp_path, "lstm")
    difference = {"value": 0.0, "ci95": [-0.02, 0.02], "stays_needed": 1234}
    undecided = {"noninferior": None, "verdict": "cannot tell with 90 stays", "difference": difference}
    pretend_on_the_test_split(monkeypatch, undecided)
    with pytest.raises(LimitError, match=r"90 test stays .* cannot tell") as caught:
        run(tmp_path)
    assert "About 1,300 test stays could tell" in caught.value.remedy
    assert "--accept-undecided" in caught.value.remedy
    (tmp_path / "condensed.tflite").unlink()
    result = run(tmp_path, accept_undecided=True)
    assert result["chosen"]["test"]["noninferior"] is None


def test_a_verdict_takes_more_the_more_files_are_compared():
    rng = np.random.default_rng(0)
    died = (np.arange(400) < 80).astype(np.uint8)
    reference = died + rng.normal(size=400)
    judge = room.Judge(died, np.arange(400), reference, "lstm", 0.02)
    judge.see("first", reference + 0.2 * rng.normal(size=400))
    alone = judge.verdicts()["first"]["difference"]["low"]
    for index in range(40):
        judge.see(f"other {index}", reference + 0.2 * rng.normal(size=400))
    assert judge.verdicts()["first"]["difference"]["low"] < alone - 0.003


@pytest.mark.parametrize(
    ("how", "says"),
    [({"arch": "lisp"}, "--arch lisp is unknown"), ({"max_auroc_drop": 0.0}, "not above 0 and below 0.5")],
)
def test_wrong_options(tmp_path, training, how, says):
    with pytest.raises(UsageError, match=says):
        run(tmp_path, **how)


def test_an_existing_answer_is_not_replaced(tmp_path, training):
    write_parent(tmp_path, "lstm")
    (tmp_path / "condensed.tflite").write_bytes(b"")
    with pytest.raises(UsageError, match="--overwrite"):
        run(tmp_path)


def test_a_condensed_model_is_no_baseline(tmp_path, training):
    directory = write_parent(tmp_path, "lstm")
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"command": "prune"}))
    with pytest.raises(Exception, match="needs a trained model that is not condensed"):
        condense(session(tmp_path, "condense"), baseline=directory)


def folds_of(workspace, training, monkeypatch, **how):
    """Search in folds of 790 stays, in each of which the baseline is the pretended one."""
    from mortcond.commands import chain

    write_dataset(workspace / "dataset.npz", train=400, val=300)
    write_parent(workspace, "lstm")

    def like(self, parent):
        made = chain.Chain._parent(self, parent.network.arch, parent.network, parent.history, parent.settings)
        (made.path / "checkpoints").mkdir(parents=True)
        for epoch in (1, 2):
            parent.network.save(made.path / "checkpoints" / f"epoch-{epoch:03d}.npz")
        return made

    monkeypatch.setattr(chain.Chain, "like", like)
    return run(workspace, folds=2, arch="linear", **how)


def test_with_folds_the_choosing_is_repeated_and_all_stays_decide(tmp_path, training, monkeypatch):
    pretend_on_the_test_split(monkeypatch, {"noninferior": None, "verdict": "cannot tell with 90 stays"})
    result = folds_of(tmp_path, training, monkeypatch)
    told = result["folds"]
    assert (told["folds"], told["stays"], len(told["chosen"])) == (2, 790, 2)
    assert told["noninferior"] is True, "the linear candidate has learnt what the outcomes follow from"
    assert told["difference"]["value"] > 0.1
    assert any(str(line).startswith("All 790 stays of 2 folds, choosing included") for line in render(result))


def test_a_choosing_that_all_stays_cannot_confirm_exits_4(tmp_path, training, monkeypatch):
    from mortcond.commands import condense_folds

    real = condense_folds.over_folds
    undecided = {"noninferior": None, "verdict": "cannot tell"}
    monkeypatch.setattr(condense_folds, "over_folds", lambda *given: real(*given) | undecided)
    with pytest.raises(LimitError, match=r"cannot be told over 2 folds, 790 stays"):
        folds_of(tmp_path, training, monkeypatch)


def test_folds_in_which_nothing_qualifies_speak_for_nothing(tmp_path, training, monkeypatch):
    calls = []
    real = room.search.chosen

    def only_at_first(records):
        best = real(records)
        return best if best is None or not str(best["path"]).count("fold-") else None

    monkeypatch.setattr(room.search, "chosen", lambda records: calls.append(1) or only_at_first(records))
    with pytest.raises(LimitError, match="over 2 folds, 0 stays") as caught:
        folds_of(tmp_path, training, monkeypatch)
    told = caught.value.result["folds"]
    assert told["chosen"] == [None, None]
    assert (told["noninferior"], told["difference"]["value"]) == (None, None), "a difference of 0 would have said yes"


def test_a_fold_in_which_nothing_qualifies_does_not_dilute_the_others(tmp_path, training, monkeypatch):
    from mortcond.commands import condense_folds

    real = condense_folds._one

    def nothing_at_first(session, parent, data, folder, hunt):
        found = real(session, parent, data, folder, hunt)
        return condense_folds.Fold(None, None, None) if "fold-1" in folder.name else found

    monkeypatch.setattr(condense_folds, "_one", nothing_at_first)
    told = folds_of(tmp_path, training, monkeypatch, accept_undecided=True)["folds"]
    assert told["chosen"][0] is None
    assert told["chosen"][1] is not None
    assert 390 <= told["stays"] <= 400
    assert told["difference"]["value"] > 0.1


def test_folds_do_not_overrule_a_test_split_that_shows_a_loss(tmp_path, training, monkeypatch):
    pretend_on_the_test_split(monkeypatch, {"noninferior": False, "verdict": "inferior"})
    with pytest.raises(LimitError, match="the test split shows it inferior"):
        folds_of(tmp_path, training, monkeypatch)


@pytest.mark.parametrize("outcome", [0, 1])
def test_validation_stays_of_one_outcome_are_refused_before_the_search(tmp_path, training, outcome):
    one_outcome(tmp_path, "val", outcome)
    with pytest.raises(InputError, match="there is no AUROC to choose by"):
        run(tmp_path)
    assert not (tmp_path / "condense").exists()


def test_test_stays_of_one_outcome_leave_it_undecided(tmp_path, training):
    one_outcome(tmp_path, "test", 0)
    with pytest.raises(LimitError, match=r"90 test stays \(0 deaths\) cannot tell") as caught:
        run(tmp_path)
    assert any("AUROC –" in str(line) or "AUROC -" in str(line) for line in render(caught.value.result))


def one_outcome(workspace, part: str, outcome: int) -> None:
    """Write a baseline whose data set has one outcome only in a split."""
    write_dataset(workspace / "dataset.npz")
    data = datasets.load(workspace / "dataset.npz")
    own = getattr(data, part)
    changed = replace(own, y=np.full_like(own.y, outcome))
    datasets.save(workspace / "dataset.npz", replace(data, **{part: changed}))
    write_parent(workspace, "lstm")
