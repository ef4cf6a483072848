"""The list of nodes: weights in and out, files, shapes, and the plain walk against Keras."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mortcond.archs import ARCHS, Inputs, shaped, untrained
from mortcond.core.errors import InputError, UsageError
from mortcond.layers import Concatenate, Dense, Dropout, Flatten, FullSummary, Layer, Masking
from mortcond.layers.lstm import LSTM
from mortcond.network import INPUT, Network, Node, chain

FEATURES, HOURS = 5, 6
MASKS = (3, 3, 4, -1, -1)
NAMES = tuple(ARCHS)


def small(arch: str, seed: int = 0, **shape) -> Network:
    """A small network of an architecture with random weights."""
    sizes = {"width": 4} if "width" in ARCHS[arch].shape else {}
    network = untrained(arch, shaped(arch, **(sizes | shape)), Inputs(FEATURES, HOURS, MASKS))
    return with_random_weights(network, seed)


def with_random_weights(network: Network, seed: int = 0) -> Network:
    generator = np.random.default_rng(seed)
    arrays = {name: generator.normal(0, 0.5, array.shape) for name, array in network.arrays().items()}
    return network.with_arrays({name: array.astype(np.float32) for name, array in arrays.items()})


def stays(count: int = 7, seed: int = 1) -> np.ndarray:
    """Stays of which some hours hold nothing: none, some, the last ones, all but one, all."""
    x = np.random.default_rng(seed).normal(size=(count, HOURS, FEATURES)).astype(np.float32)
    x[:, :, 3:] = x[:, :, 3:] > 0
    x[1, 2:4] = x[2, 3:] = x[3, 1:] = x[4] = 0
    return x


def joined() -> Network:
    """A recurrent state beside a summary: a branch and a join."""
    zeros = np.zeros
    nodes = [
        Node("masking", Masking()),
        Node("recurrent.0", LSTM(zeros((FEATURES, 12)), zeros((3, 12)), zeros(12)), (INPUT, "masking")),
        Node("summary", FullSummary()),
        Node("join", Concatenate(), ("recurrent.0", "summary")),
        Node("dropout", Dropout(0.2), ("join",)),
        Node("dense.0", Dense(zeros((3 + 6 * FEATURES, 1)), zeros(1), "sigmoid"), ("dropout",)),
    ]
    return with_random_weights(chain("joined", FEATURES, HOURS, nodes))


def both_ways_network(kind: str, merge: str, sequences: bool, last: Layer | None = None) -> Network:
    """A bidirectional layer under a mask; where it puts out a sequence, a recurrent layer or `last` reads that."""
    from mortcond.layers.bidirectional import both_ways

    def recurrent(width: int, **how) -> Layer:
        archs = {"lstm": "lstm", "gru": "gru", "hidden_lstm": "hlstm"}
        made = untrained(archs[kind], shaped(archs[kind], width=3, layers=1), Inputs(width, HOURS))
        return replace(made.recurrent[0].layer, **how)

    layer = recurrent(FEATURES, sequences=sequences)
    nodes = [Node("masking", Masking())]
    nodes += [Node(*entry) for entry in both_ways("both", layer, layer, (INPUT, "masking"), merge)]
    width = 6 if merge == "concat" else 3
    if sequences and last is None:
        nodes, width = [*nodes, Node("after", recurrent(width), ("both", "masking"))], 3
    elif sequences:
        nodes, width = [*nodes, Node("after", last, ("both",))], HOURS * width
    output = Dense(np.zeros((width, 1)), np.zeros(1), "sigmoid")
    nodes.append(Node("risk", output, (nodes[-1].name,)))
    return with_random_weights(chain("both", FEATURES, HOURS, nodes))


@pytest.mark.parametrize("arch", NAMES)
def test_a_saved_network_is_read_as_it_was(arch, tmp_path):
    network = small(arch)
    network.save(tmp_path / "network.npz")
    read = Network.load(tmp_path / "network.npz")
    assert read.structure() == network.structure()
    np.testing.assert_array_equal(read.predict(stays()), network.predict(stays()))


@pytest.mark.parametrize("content", [b"", b"PK", b"no npz"])
def test_a_file_that_is_no_network_is_an_input_error(content, tmp_path):
    path = tmp_path / "network.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"network\.npz"):
        Network.load(path)


@pytest.mark.parametrize("change", [{"format": 3}, {"nodes": [{"name": "a", "kind": "lisp", "config": {}}]}])
def test_a_file_of_another_format_is_an_input_error(change, tmp_path):
    path = tmp_path / "network.npz"
    header = {"format": 2, "arch": "lstm", "features": 1, "hours": 1, "nodes": []} | change
    np.savez(path, header=json.dumps(header))
    with pytest.raises(InputError):
        Network.load(path)


@pytest.mark.parametrize("arch", NAMES)
def test_the_plain_walk_equals_keras(arch):
    from mortcond.exchange.keras_model import to_keras

    network = small(arch)
    expected = to_keras(network).predict_on_batch(stays())[:, 0]
    np.testing.assert_allclose(network.predict(stays()), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [{"layers": 2}, {"layers": 2, "hidden_depth": 3, "hidden_width": 5}])
def test_deep_hidden_layer_lstms_equal_keras(shape):
    from mortcond.exchange.keras_model import to_keras

    network = small("hlstm", **shape)
    expected = to_keras(network).predict_on_batch(stays())[:, 0]
    np.testing.assert_allclose(network.predict(stays()), expected, atol=1e-6)


@pytest.mark.parametrize("reset_after", [True, False])
def test_both_forms_of_the_gru_equal_keras(reset_after):
    from mortcond.exchange.keras_model import to_keras

    network = small("gru", layers=2)
    if not reset_after:
        layers = {node.name: replace(node.layer, recurrent_bias=None) for node in network.recurrent}
        network = network.with_layers(layers)
    expected = to_keras(network).predict_on_batch(stays())[:, 0]
    np.testing.assert_allclose(network.predict(stays()), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "merge", "sequences"),
    [
        ("lstm", "concat", True),
        ("gru", "concat", False),
        ("hidden_lstm", "concat", True),
        ("lstm", "sum", False),
        ("gru", "mul", True),
        ("lstm", "ave", False),
    ],
)
def test_bidirectional_layers_equal_keras_and_are_its_own_layer_there(kind, merge, sequences):
    from mortcond.exchange.keras_model import to_keras, weights_of

    network = both_ways_network(kind, merge, sequences)
    model = to_keras(network)
    np.testing.assert_allclose(network.predict(stays()), model.predict_on_batch(stays())[:, 0], atol=1e-6)
    assert "Bidirectional" in [type(layer).__name__ for layer in model.layers]
    again = weights_of(model, with_random_weights(network, seed=5))
    np.testing.assert_array_equal(again.predict(stays()), network.predict(stays()))


def test_a_sequence_of_both_ways_that_is_read_in_skipped_hours_equals_keras():
    from mortcond.exchange.keras_model import to_keras

    network = both_ways_network("lstm", "concat", True, Flatten())
    expected = to_keras(network).predict_on_batch(stays())[:, 0]
    np.testing.assert_allclose(network.predict(stays()), expected, atol=1e-6)


def test_a_sequence_backwards_under_a_mask_equals_keras():
    from mortcond.exchange.keras_model import to_keras

    nodes = list(both_ways_network("gru", "concat", True).nodes)
    alone = [node for node in nodes if node.name not in ("both-forward", "both")]
    after = replace(nodes[4].layer, kernel=nodes[4].layer.kernel[:3])
    alone[2] = Node("after", after, ("both-backward", "masking"))
    network = with_random_weights(chain("backwards", FEATURES, HOURS, alone))
    expected = to_keras(network).predict_on_batch(stays())[:, 0]
    np.testing.assert_allclose(network.predict(stays()), expected, atol=1e-6)


def test_the_public_benchmarks_bidirectional_lstm_has_its_parameters():
    network = untrained("bilstm", shaped("bilstm"), Inputs(76, 48, (-1,) * 76))
    assert network.parameters == 7569
    assert [node.layer.backwards for node in network.recurrent] == [False, True, False]


def test_branches_and_joins_equal_keras():
    from mortcond.exchange.keras_model import to_keras, weights_of

    network, model = joined(), to_keras(joined())
    np.testing.assert_allclose(network.predict(stays()), model.predict_on_batch(stays())[:, 0], atol=1e-6)
    again = weights_of(model, joined())
    np.testing.assert_array_equal(again.predict(stays()), network.predict(stays()))


def test_widths_and_hours_follow_from_the_nodes():
    network = joined()
    assert network.widths == {
        "stays": 5,
        "masking": 0,
        "recurrent.0": 3,
        "summary": 30,
        "join": 33,
        "dropout": 33,
        "dense.0": 1,
    }
    assert [name for name, hours in network.over_hours.items() if hours] == ["stays", "masking"]


def test_a_node_that_reads_what_comes_later_is_refused():
    nodes = joined().nodes
    with pytest.raises(ValueError, match="reads"):
        chain("joined", FEATURES, HOURS, nodes[1:])
    with pytest.raises(ValueError, match="taken"):
        chain("joined", FEATURES, HOURS, [*nodes, nodes[0]])


@pytest.mark.parametrize(("arch", "count"), [("lstm", 8081), ("hlstm", 6993), ("dnn", 60929)])
def test_the_papers_networks_have_the_papers_parameters(arch, count):
    assert untrained(arch, shaped(arch), Inputs(76, 48, (-1,) * 76)).parameters == count


@pytest.mark.parametrize(
    ("arch", "given", "word"),
    [
        ("lstm", {"summary": "mean"}, "--summary is no option of lstm"),
        ("dnn", {"hidden_width": 3}, "--hidden-width is no option of dnn"),
        ("linear", {"dropout": 0.1}, "--dropout is no option of linear"),
        ("lstm", {"width": 0}, "--width is 0"),
        ("dnn", {"summary": "median"}, "--summary is 'median'"),
        ("lstm", {"dropout": 1.0}, "--dropout is 1.0"),
        ("lisp", {}, "no architecture 'lisp'"),
    ],
)
def test_sizes_that_are_none_are_refused(arch, given, word):
    with pytest.raises(UsageError, match=word):
        shaped(arch, **given)
