"""What cut channels gave is made up for by those that stay: exactly where that can be, nearly elsewhere, without y."""

from dataclasses import replace

import numpy as np
import pytest
from condense_networks import GENERAL, dnn, gru, hlstm, lstm, stays

from mortcond import dataset as datasets
from mortcond.channels import groups
from mortcond.commands.import_ import import_
from mortcond.commands.preprocess import preprocess
from mortcond.commands.preprocess import render as preprocess_render
from mortcond.commands.prune import prune, render
from mortcond.commands.quantize import quantize
from mortcond.commands.train import train
from mortcond.condense.compensate import compensated
from mortcond.condense.cut import cut
from mortcond.condense.score import score
from mortcond.condense.select import Amount, select
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.dataset.arrays import from_arrays
from mortcond.network import Network


def moved(network: Network, kept: dict, x: np.ndarray) -> tuple[float, float]:
    """Return how far risks move on average as it is cut, and with what makes up for it."""
    before = network.predict(x)
    parts = cut(network, kept), cut(compensated(network, kept, x), kept)
    return tuple(float(np.abs(part.predict(x) - before).mean()) for part in parts)


def twins(network: Network) -> Network:
    """Return a network whose first and second channel of its first group are the same."""
    arrays = network.arrays()
    for slot in groups(network)[0].makers:
        array = np.moveaxis(arrays[slot.array].copy(), slot.axis, 0)
        array[slot.positions[1]] = array[slot.positions[0]]
        arrays[slot.array] = np.moveaxis(array, 0, slot.axis)
    return network.with_arrays(arrays)


@pytest.mark.parametrize("make", [lstm, gru, dnn, hlstm])
def test_a_twin_stands_for_the_channel_that_goes(make):
    network, (x, _) = twins(make()), stays(200)
    first = groups(network)[0]
    if make is hlstm:  # its twins read their own states alike only where the rows are alike, so both see the same
        first = next(group for group in groups(network) if group.axis == "hidden")
        arrays = network.arrays()
        arrays[first.makers[0].array][:, 1] = arrays[first.makers[0].array][:, 0]
        network = network.with_arrays(arrays)
    bare, made_up = moved(network, {first.name: np.delete(np.arange(first.size), 1)}, x)
    assert made_up < 0.1 * bare


def test_a_channel_that_never_moves_goes_into_the_bias():
    network, (x, _) = dnn(), stays(200)
    arrays = network.arrays()
    arrays["dense.0.kernel"][:, 2], arrays["dense.0.bias"][2] = 0, 1.5
    network = network.with_arrays(arrays)
    kept = {"dense.0": np.delete(np.arange(8), 2)}
    np.testing.assert_allclose(cut(compensated(network, kept, x), kept).predict(x), network.predict(x), atol=1e-12)
    assert moved(network, kept, x)[0] > 1e-4


def test_networks_of_every_kind_stay_nearer_to_what_they_were():
    found = {}
    for name, make in GENERAL.items():
        network, (x, _) = make(), stays(200)
        kept = select(score(network, "mean", groups(network)), Amount(0.3))
        same_shapes = {key: array.shape for key, array in network.arrays().items()}
        assert {key: array.shape for key, array in compensated(network, kept, x).arrays().items()} == same_shapes
        found[name] = moved(network, kept, x)
    assert all(made_up < 1.05 * bare for bare, made_up in found.values()), found
    assert np.mean([made_up / bare for bare, made_up in found.values()]) < 0.8, found  # of random weights


def test_where_all_channels_stay_nothing_changes():
    network, (x, _) = lstm(), stays(50)
    kept = {group.name: np.arange(group.size) for group in groups(network)}
    for name, array in compensated(network, kept, x).arrays().items():
        np.testing.assert_array_equal(array, network.arrays()[name])


def test_skipped_hours_do_not_count():
    network, (x, _) = lstm(), stays(100)
    padded = x.copy()
    padded[:, :2] = 0
    kept = select(score(network, "mean", groups(network)), Amount(0.4))
    short = replace(network, hours=network.hours - 2)
    long, brief = compensated(network, kept, padded), compensated(short, kept, padded[:, 2:])
    for name, array in long.arrays().items():
        np.testing.assert_allclose(array, brief.arrays()[name], rtol=0, atol=1e-10)


# The commands, without outcomes.


def test_arrays_without_outcomes_count_no_deaths(tmp_path):
    np.savez(tmp_path / "arrays.npz", X=np.random.default_rng(0).normal(size=(40, 6, 5)))
    session = Session(workspace=tmp_path, console=Console(quiet=True), command="preprocess")
    result = preprocess(session, tmp_path / "arrays.npz")
    assert {split["deaths"] for split in result["splits"].values()} == {None}
    assert "There is no y" in result["notes"][0]
    table = next(part for part in preprocess_render(result) if hasattr(part, "columns"))
    assert {cell for column in table.columns[3:] for cell in column.cells} == {"unknown", "–"}
    data = datasets.load(tmp_path / "dataset.npz", unlabelled=True)
    assert (data.labelled, data.meta["prevalence"]) == (False, None)


@pytest.fixture
def imported(tmp_path):
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Input((6, 5)), keras.layers.LSTM(8), keras.layers.Dense(1, activation="sigmoid")]
    keras.Sequential(layers).save(tmp_path / "theirs.keras")
    session = Session(workspace=tmp_path, console=Console(quiet=True), command="import", overwrite=True)
    import_(session, tmp_path / "theirs.keras", compare=False)
    x = np.random.default_rng(0).normal(size=(300, 6, 5)).astype(np.float32)
    datasets.save(tmp_path / "dataset.npz", replace(from_arrays(x), path=None))
    return session


def test_an_imported_network_is_cut_on_stays_without_outcomes(imported, tmp_path):
    result = prune(imported, tmp_path / "theirs", schedule="final")
    cost = result["cost"]
    assert cost["mean_abs_dp"] < cost["uncompensated"]["mean_abs_dp"]
    assert (cost["split"], cost["delta_auroc"], result["metrics"].get("auroc_val")) == ("validation", None, None)
    assert "Nothing was trained" in "".join(map(str, render(result)))
    assert quantize(imported, tmp_path / "theirs-pruned50")["check"]["delta_auroc"] is None


def test_what_needs_outcomes_refuses_stays_without(imported, tmp_path):
    with pytest.raises(InputError, match="without outcomes, which training after the cut needs"):
        prune(imported, tmp_path / "theirs", schedule="final", epochs=2)
    with pytest.raises(InputError, match="without outcomes, which --method taylor needs"):
        prune(imported, tmp_path / "theirs", schedule="final", method="taylor")
    with pytest.raises(InputError, match="stays without outcomes"):
        train(imported, arch="lstm")
    assert not (tmp_path / "theirs-pruned50").exists()
