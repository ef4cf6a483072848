"""Networks with random weights on the stays of `training_data`: every form that a loop over the hours takes."""

from dataclasses import replace

import numpy as np
from training_data import FEATURES, HOURS, MASKS

from mortcond.archs import Inputs, shaped, untrained
from mortcond.layers import Columns, Concatenate, Dense, Dropout, Flatten, FullSummary, Masking, Normalisation
from mortcond.layers.gru import GRU
from mortcond.layers.hidden_lstm import HiddenGate, HiddenLSTM
from mortcond.layers.lstm import LSTM
from mortcond.network import INPUT, Network, Node, chain


def network(arch: str, seed: int = 0, **shape) -> Network:
    """A network of an architecture; see `archs.Shape`."""
    return with_random_weights(untrained(arch, shaped(arch, **shape), Inputs(FEATURES, HOURS, MASKS)), seed)


def with_random_weights(network: Network, seed: int = 0) -> Network:
    generator = np.random.default_rng(seed)
    arrays = {name: generator.normal(0, 0.5, array.shape) for name, array in network.arrays().items()}
    return network.with_arrays({name: array.astype(np.float32) for name, array in arrays.items()})


def lstm(inputs: int, units: int, **how) -> LSTM:
    return LSTM(zeros(inputs, 4 * units), zeros(units, 4 * units), zeros(4 * units), **how)


def gru(inputs: int, units: int, reset_after: bool = True, **how) -> GRU:
    recurrent_bias = zeros(3 * units) if reset_after else None
    return GRU(zeros(inputs, 3 * units), zeros(units, 3 * units), zeros(3 * units), recurrent_bias, **how)


def hidden_lstm(inputs: int, units: int, widths=((2, 4), (3, 3), (4, 2), (5, 1)), **how) -> HiddenLSTM:
    """A hidden-layer LSTM whose gates differ in their hidden widths."""
    gates = [
        HiddenGate((zeros(inputs + units, first), zeros(first, second)), zeros(second, units), zeros(units))
        for first, second in widths
    ]
    return HiddenLSTM(tuple(gates), **how)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def risk(inputs: int, source: str) -> Node:
    return Node("dense.0", Dense(zeros(inputs, 1), zeros(1), "sigmoid"), (source,))


def of_nodes(*nodes: Node) -> Network:
    return with_random_weights(chain("other", FEATURES, HOURS, nodes))


MASKED = (INPUT, "masking")
MASKING = Node("masking", Masking())


def bidirectional(make, units: int = 3) -> Network:
    """Two bidirectional layers, of which the second reads every hour of the first."""
    return of_nodes(
        MASKING,
        Node("forward.0", make(FEATURES, units, sequences=True), MASKED),
        Node("backward.0", make(FEATURES, units, sequences=True, backwards=True), MASKED),
        Node("both.0", Concatenate(), ("forward.0", "backward.0")),
        Node("forward.1", make(2 * units, units), ("both.0", "masking")),
        Node("backward.1", make(2 * units, units, backwards=True), ("both.0", "masking")),
        Node("both.1", Concatenate(), ("forward.1", "backward.1")),
        risk(2 * units, "both.1"),
    )


def joined() -> Network:
    """Stacks of several depths, directions and kinds over some columns each, beside a summary, with dropout."""
    return of_nodes(
        Node("some", Columns((0, 4, 2))),
        Node("masking", Masking(), ("some",)),
        Node("deep.0", lstm(3, 4, sequences=True), ("some", "masking")),
        Node("deep.1", lstm(4, 2), ("deep.0", "masking")),
        Node("bare", lstm(FEATURES, 2, backwards=True)),
        Node("wide", gru(FEATURES, 3, sequences=True), MASKED),
        Node("wider", gru(3, 2, reset_after=False), ("wide", "masking")),
        Node("relu", lstm(FEATURES, 2, activation="relu", gate_activation="hard_sigmoid"), MASKED),
        Node("summary", FullSummary()),
        Node("normal", Normalisation(zeros(6 * FEATURES), zeros(6 * FEATURES)), ("summary",)),
        Node("join", Concatenate(), ("deep.1", "bare", "wider", "relu", "normal")),
        Node("dropout.0", Dropout(0.2), ("join",)),
        Node("hidden", Dense(zeros(8 + 6 * FEATURES, 5), zeros(5), "silu"), ("dropout.0",)),
        Node("dropout.1", Dropout(0.3), ("hidden",)),
        risk(5, "dropout.1"),
    )


def over_hours() -> Network:
    """A dense layer in each hour, of which a recurrent layer puts out every state, all of them read at once."""
    return of_nodes(
        MASKING,
        Node("hourly", Dense(zeros(FEATURES, 4), zeros(4), "tanh")),
        Node("recurrent", hidden_lstm(4, 3, sequences=True), ("hourly", "masking")),
        Node("dropout", Dropout(0.2), ("recurrent",)),
        Node("flat", Flatten(), ("dropout",)),
        risk(3 * HOURS, "flat"),
    )


def uneven() -> Network:
    """Two hidden-layer LSTMs whose gates differ in their hidden widths."""
    return of_nodes(
        MASKING,
        Node("recurrent.0", hidden_lstm(FEATURES, 4, sequences=True), MASKED),
        Node("recurrent.1", hidden_lstm(4, 3, ((1, 2), (2, 2), (3, 1), (2, 3))), ("recurrent.0", "masking")),
        risk(3, "recurrent.1"),
    )


NETWORKS = {
    "lstm": network("lstm", width=5),
    "deep lstm": network("lstm", width=3, layers=3),
    "hlstm": network("hlstm", width=4, hidden_depth=2),
    "uneven hlstm": uneven(),
    "gru": network("gru", width=4),
    "dnn": network("dnn", width=8),
    "dnn full": network("dnn", width=4, layers=1, summary="full"),
    "linear": network("linear"),
    "bidirectional lstm": bidirectional(lstm),
    "bidirectional hlstm": bidirectional(hidden_lstm),
    "bidirectional gru": bidirectional(gru),
    "joined": joined(),
    "over hours": over_hours(),
}


def without_dropout(network: Network) -> Network:
    layers = {node.name: replace(node.layer, rate=0.0) for node in network.nodes if node.layer.drop_rate}
    return network.with_layers(layers)
