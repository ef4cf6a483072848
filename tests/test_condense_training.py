"""prune and hlstm-convert with real training, on the paper's 76 features: sizes, files that agree, chains."""

import numpy as np
import pytest
from condense_workspace import session, split

from mortcond.core.manifest import read_manifest
from mortcond.dataset import Dataset, save
from mortcond.deploy.runtime import Predictor

FEATURES = 76


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    names = tuple(f"feature {index}" for index in range(FEATURES))
    splits = [split(count, first, FEATURES) for first, count in ((0, 60), (1000, 40), (2000, 40))]
    save(folder / "dataset.npz", Dataset(*splits, names, np.zeros(FEATURES), np.ones(FEATURES), {"prevalence": 0.5}))
    return folder


def run(command, workspace, *arguments, **options):
    from importlib import import_module

    room = import_module(f"mortcond.commands.{command}")
    return getattr(room, command)(session(workspace, command.replace("_", "-")), *arguments, **options)


@pytest.mark.slow
def test_the_papers_chain_of_the_lstm(workspace):
    run("train", workspace, arch="lstm", epochs=3)
    pruned = run("prune", workspace)
    assert pruned["parameters"] == 3273
    assert [row["epoch"] for row in pruned["history"]] == [1, 2, 3]
    converted = run("hlstm_convert", workspace)
    assert converted["parameters"] == 6993
    chained = run("hlstm_convert", workspace, workspace / "lstm-pruned50", init="parent", distil=True)
    again = run("prune", workspace, workspace / "lstm-pruned50-hlstm", schedule="gradual", steps=2, scope="global")
    assert again["parameters"] < chained["parameters"] == 2985
    lineage = [step["name"] for step in read_manifest(workspace / "lstm-pruned50-hlstm-pruned50").lineage]
    assert lineage == ["lstm", "lstm-pruned50", "lstm-pruned50-hlstm"]


@pytest.mark.slow
def test_the_papers_pruned_dense_network_and_its_files(workspace):
    from mortcond.deploy.directory import load_network as load

    run("train", workspace, arch="dnn", epochs=2)
    for schedule, method in (("epoch", "mean"), ("rewind", "taylor"), ("final", "fisher")):
        pruned = run("prune", workspace, workspace / "dnn", schedule=schedule, method=method, out=workspace / schedule)
        assert pruned["parameters"] == 20225
        x = np.load(workspace / "dataset.npz")["X_test"]
        risk = Predictor(workspace / schedule).predict(x)
        np.testing.assert_allclose(risk, load(workspace / schedule).predict(x), atol=1e-5)
