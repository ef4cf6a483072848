"""LSTM layers side by side in one loop, hard sigmoids as clipped sums, and features with outliers in 8 bits."""

from dataclasses import replace

import numpy as np
import pytest

from mortcond.archs import Inputs, shaped, untrained
from mortcond.deploy import parallel
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.tflite import build
from mortcond.layers import LSTM, Columns, Concatenate, Dense, Masking
from mortcond.layers.bidirectional import both_ways
from mortcond.network import Network, Node, chain
from mortcond.stages import Loop, stages

FEATURES, HOURS = 5, 12
GATES = ("sigmoid", "hard_sigmoid", "hard_sigmoid_keras2")


def lstm(inputs: int, units: int, gate: str, sequences: bool) -> LSTM:
    shapes = (inputs, 4 * units), (units, 4 * units), (4 * units,)
    return LSTM(*(np.zeros(shape, np.float32) for shape in shapes), gate_activation=gate, sequences=sequences)


def with_random_weights(network: Network) -> Network:
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(0, 0.6, array.shape) for name, array in network.arrays().items()}
    return network.with_arrays({name: array.astype(np.float32) for name, array in arrays.items()})


def channels(gate: str, masked: bool, sequences: bool) -> Network:
    """Two channels, each read both ways by layers of different widths, and what reads their states."""
    mask = ("masking",) if masked else ()
    nodes = [Node("masking", Masking())] if masked else []
    for name, columns, units in (("a", (0, 1), 3), ("b", (2, 3, 4), 2)):
        nodes.append(Node(f"columns-{name}", Columns(columns)))
        layer = lstm(len(columns), units, gate, sequences)
        nodes += [Node(*entry) for entry in both_ways(name, layer, layer, (f"columns-{name}", *mask))]
    nodes.append(Node("join", Concatenate(), ("a", "b")))
    if sequences:
        nodes.append(Node("after", lstm(10, 4, gate, False), ("join", *mask)))
    width = 4 if sequences else 10
    nodes.append(Node("risk", Dense(np.zeros((width, 1)), np.zeros(1), "sigmoid"), (nodes[-1].name,)))
    return with_random_weights(chain("channels", FEATURES, HOURS, nodes))


def stays() -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(9, HOURS, FEATURES)).astype(np.float32)
    x[1, 2:4] = x[2, 3:] = x[3, 1:] = x[4] = x[5, :7] = 0
    x[6, ::2] = 0
    return x


def risks(network: Network, mode: str, tmp_path, x: np.ndarray) -> np.ndarray:
    path = tmp_path / "network.tflite"
    path.write_bytes(build(network, mode, x).bytes)
    return Predictor(path).predict(x)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("sequences", [True, False])
def test_layers_side_by_side_equal_the_plain_walk(gate, masked, sequences, tmp_path):
    network = channels(gate, masked, sequences)
    loop = next(stage for stage in stages(network) if isinstance(stage, Loop))
    assert parallel.fits(network, loop)
    np.testing.assert_allclose(risks(network, "float32", tmp_path, stays()), network.predict(stays()), atol=1e-6)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_hard_sigmoids_are_clipped_sums_in_every_form_of_a_stack(gate, layers, tmp_path):
    network = untrained("lstm", shaped("lstm", width=4, layers=layers), Inputs(FEATURES, HOURS))
    hard = {node.name: replace(node.layer, gate_activation=gate) for node in network.recurrent}
    network = with_random_weights(network.with_layers(hard))
    np.testing.assert_allclose(risks(network, "float32", tmp_path, stays()), network.predict(stays()), atol=1e-6)
    np.testing.assert_allclose(risks(network, "int8", tmp_path, stays()), network.predict(stays()), atol=0.03)


@pytest.mark.parametrize("mode", ["float16", "int8"])
def test_rounded_layers_side_by_side_are_near(mode, tmp_path):
    network = channels("hard_sigmoid_keras2", True, True)
    np.testing.assert_allclose(risks(network, mode, tmp_path, stays()), network.predict(stays()), atol=0.03)


def test_a_feature_with_outliers_stays_float32_in_8_bits(tmp_path):
    network, x = channels("sigmoid", True, True), stays()
    plain = build(network, "int8", x)
    x[0, 0, 0] = 500  # one value hundreds of deviations off
    converted = build(network, "int8", x)
    far = [line for line in converted.tensors if line["name"].endswith(".far")]
    assert [line["dtype"] for line in far] == ["float32"]
    assert not [line for line in plain.tensors if line["name"].endswith(".far")]
    np.testing.assert_allclose(risks(network, "int8", tmp_path, x), network.predict(x), atol=0.03)


def test_the_same_operation_stands_once():
    from mortcond.deploy.graph import Graph

    main = Graph().subgraph()
    x = main.input("float32", (-1, 3))
    assert main.add("ABS", [x]) == main.add("ABS", [x])
    assert main.add("ABS", [x]) != main.add("TANH", [x])
    assert len(main.operations) == 2
