"""Networks as Keras models: the same function, the same weights, the paper's sizes."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from condense_networks import dnn, hlstm, lstm
from training_data import FEATURES, HOURS, MASKS, split

from mortcond.core.errors import InputError, UsageError
from mortcond.models.build import Architecture, initial
from mortcond.models.keras_network import from_keras, load, to_keras
from mortcond.models.network import DenseLayer, HiddenLSTMLayer, Network

SIZE = {"features": FEATURES, "hours": HOURS}


def uneven_hlstm() -> Network:
    """Return a hidden-layer LSTM whose gates differ in their hidden widths, over a second one."""
    first = hlstm(4, (5, 3), layers=2, **SIZE)
    others = [hlstm(4, (2 + gate, 4 - gate), **SIZE).recurrent[0].gates[gate] for gate in range(4)]
    return replace(first, recurrent=(HiddenLSTMLayer(tuple(others)), first.recurrent[1]))


def linear() -> Network:
    weights = np.random.default_rng(0).normal(0, 0.3, (6 * FEATURES, 1))
    return Network("linear", FEATURES, HOURS, (), (DenseLayer(weights, np.zeros(1), "sigmoid"),), "full")


NETWORKS = {
    "lstm": lstm((5, 4), **SIZE),
    "one layer": lstm((3,), **SIZE),
    "hlstm": hlstm(4, (5,), **SIZE),
    "uneven hlstm": uneven_hlstm(),
    "dnn": replace(dnn(**SIZE), mask_columns=MASKS),
    "linear": linear(),
}


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return split(30, 5).X


@pytest.mark.parametrize("name", NETWORKS)
def test_keras_computes_what_the_equations_say_and_skips_hours_without_measurement(name, x):
    predicted = to_keras(NETWORKS[name])(x).numpy()[:, 0]
    np.testing.assert_allclose(predicted, NETWORKS[name].predict(x), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_back_from_keras_bit_for_bit(name):
    there = NETWORKS[name]
    back = from_keras(to_keras(there))
    assert replace(back, recurrent=(), dense=()) == replace(there, recurrent=(), dense=())
    for array, expected in zip(back.arrays().values(), there.arrays().values(), strict=True):
        np.testing.assert_array_equal(array, expected.astype(np.float32))


def test_skipped_hours_leave_the_state_as_it_is(x):
    model = to_keras(NETWORKS["uneven hlstm"])
    shorter = np.concatenate([x[5:6, :2], x[5:6, 4:]], axis=1)
    with_gap = np.concatenate([shorter[:, :3], np.zeros((1, 2, FEATURES), np.float32), shorter[:, 3:]], axis=1)
    at_end = np.concatenate([shorter, np.zeros((1, 2, FEATURES), np.float32)], axis=1)
    risks = model(np.concatenate([with_gap, at_end])).numpy()
    assert risks[0] == pytest.approx(risks[1], abs=1e-6)


@pytest.mark.parametrize(("arch", "parameters"), [("lstm", 8081), ("hlstm", 6993), ("dnn", 60929)])
def test_the_papers_networks_have_the_papers_numbers_of_parameters(arch, parameters):
    network = initial(Architecture(arch), 76, 48, (-1,) * 76, 0)
    assert network.parameters == parameters == to_keras(network).count_params()


def test_initial_weights_are_those_of_keras():
    network = initial(Architecture("lstm"), 76, 48, (), 0)
    layer = network.recurrent[0]
    bound = np.sqrt(6 / (76 + 64))
    assert 0.9 * bound < np.abs(layer.kernel).max() <= bound
    np.testing.assert_allclose(layer.recurrent_kernel @ layer.recurrent_kernel.T, np.eye(16), atol=1e-5)
    np.testing.assert_array_equal(layer.bias, np.repeat([0, 1, 0, 0], 16))
    other = initial(Architecture("lstm"), 76, 48, (), 1)
    assert not np.allclose(other.recurrent[0].kernel, layer.kernel)


def test_width_depth_and_summary_are_as_asked():
    deep = initial(Architecture("hlstm", width=6, layers=2, hidden_width=5, hidden_depth=3), 9, 4, (), 0)
    assert [layer.units for layer in deep.recurrent] == [6, 6]
    assert [weights.shape for weights in deep.recurrent[0].gates[2].hidden] == [(15, 5), (5, 5), (5, 5)]
    rich = initial(Architecture("dnn", width=8, layers=2, summary="full", dropout=0.2), 9, 4, (-1,) * 9, 0)
    assert [layer.kernel.shape for layer in rich.dense] == [(54, 8), (8, 4), (4, 1)]
    assert rich.dropout == 0.2


@pytest.mark.parametrize(("arch", "option"), [("lstm", "hidden_width"), ("dnn", "hidden_depth"), ("hlstm", "summary")])
def test_options_of_another_architecture_are_refused(arch, option):
    value = "full" if option == "summary" else 4
    with pytest.raises(UsageError, match=option.replace("_", "-")):
        initial(Architecture(arch, **{option: value}), 9, 4, (), 0)


def test_a_saved_model_is_read_back(tmp_path, x):
    for name in ("uneven hlstm", "dnn", "linear"):
        to_keras(NETWORKS[name]).save(tmp_path / "model.keras")
        np.testing.assert_allclose(load(tmp_path).predict(x), NETWORKS[name].predict(x), atol=1e-5)


@pytest.mark.slow
def test_a_saved_model_is_read_by_keras_in_a_fresh_process(tmp_path, x):
    to_keras(NETWORKS["uneven hlstm"]).save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, keras, numpy, mortcond.layers.keras_layers; folder = sys.argv[1]; "
        "model = keras.saving.load_model(folder + '/model.keras'); "
        "numpy.save(folder + '/risk.npy', model.predict(numpy.load(folder + '/x.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "risk.npy")[:, 0], NETWORKS["uneven hlstm"].predict(x), atol=1e-5)


def test_tensorflow_has_one_thread_and_another_number_is_refused_once_it_has_computed():
    code = """
from mortcond.core.errors import UsageError
from mortcond.core.tensorflow import set_threads, tf
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
set_threads(2)
tf.constant(1) + 1
set_threads(2)
try:
    set_threads(1)
except UsageError as error:
    print(error.problem)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "another number of threads than 1" in done.stdout


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no model\.keras"):
        load(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(InputError, match="no Keras model"):
        load(tmp_path)
