"""Networks with random weights, and stays, for tests of pruning and of graphs. Weights are large enough to matter."""

import itertools
from dataclasses import replace

import numpy as np

from mortcond.layers import (
    GRU,
    LSTM,
    Columns,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    FullSummary,
    HiddenLSTM,
    Layer,
    Masking,
    MeasuredMean,
    Normalisation,
)
from mortcond.layers.hidden_lstm import HiddenGate
from mortcond.network import INPUT, Network, Node, chain

FEATURES, HOURS = 6, 5
MASK = Node("masking", Masking())


def lstm_layer(generator: np.random.Generator, inputs: int, units: int, scale: float = 0.5, **how) -> LSTM:
    shapes = (inputs, 4 * units), (units, 4 * units), (4 * units,)
    return LSTM(*(generator.normal(0, scale, shape) for shape in shapes), **how)


def gru_layer(generator: np.random.Generator, inputs: int, units: int, **how) -> GRU:
    shapes = (inputs, 3 * units), (units, 3 * units), (3 * units,), (3 * units,)
    return GRU(*(generator.normal(0, 0.5, shape) for shape in shapes), **how)


def hlstm_layer(generator: np.random.Generator, inputs: int, units: int, hidden: tuple[int, ...], **how) -> HiddenLSTM:
    gates = []
    for _ in range(4):
        widths = [inputs + units, *hidden]
        weights = tuple(generator.normal(0, 0.5, pair) for pair in itertools.pairwise(widths))
        output, bias = generator.normal(0, 0.5, (hidden[-1], units)), generator.normal(0, 0.5, units)
        gates.append(HiddenGate(weights, output, bias))
    return HiddenLSTM(tuple(gates), **how)


def risk_layer(inputs: int, generator: np.random.Generator) -> Dense:
    return Dense(generator.normal(0, 0.5, (inputs, 1)), generator.normal(0, 0.3, 1), "sigmoid")


def stack(arch: str, layers: list[Layer], output: Layer, features: int, hours: int, dropout: float = 0.0) -> Network:
    """Return recurrent layers upon each other, then the risk."""
    nodes, source = [MASK], INPUT
    for index, layer in enumerate(layers):
        layer = replace(layer, sequences=index + 1 < len(layers))
        nodes.append(Node(f"recurrent.{index}", layer, (source, "masking")))
        source = f"recurrent.{index}"
    if dropout:
        nodes.append(Node("dropout", Dropout(dropout), (source,)))
        source = "dropout"
    return chain(arch, features, hours, [*nodes, Node("dense.0", output, (source,))])


def lstm(units=(5, 4), features=FEATURES, hours=HOURS, seed=0) -> Network:
    generator = np.random.default_rng(seed)
    layers = [lstm_layer(generator, *pair) for pair in itertools.pairwise((features, *units))]
    return stack("lstm", layers, risk_layer(units[-1], generator), features, hours, dropout=0.3)


def gru(units=(5, 4), features=FEATURES, hours=HOURS, seed=0) -> Network:
    generator = np.random.default_rng(seed)
    layers = [gru_layer(generator, *pair) for pair in itertools.pairwise((features, *units))]
    return stack("gru", layers, risk_layer(units[-1], generator), features, hours, dropout=0.3)


def hlstm(units=4, hidden=(5, 3), features=FEATURES, hours=HOURS, layers=1, seed=0) -> Network:
    """Return a hidden-layer LSTM with `hidden` neurons in the successive hidden layers of each gate."""
    generator = np.random.default_rng(seed)
    inputs = [features, *[units] * (layers - 1)]
    made = [hlstm_layer(generator, width, units, hidden) for width in inputs]
    return stack("hlstm", made, risk_layer(units, generator), features, hours)


def dnn(widths=(8, 6, 4), features=FEATURES, hours=HOURS, seed=0, masks: tuple[int, ...] | None = None) -> Network:
    generator = np.random.default_rng(seed)
    nodes, source = [Node("summary", MeasuredMean(masks or (-1,) * features))], "summary"
    for index, (inputs, width) in enumerate(itertools.pairwise((features, *widths))):
        kernel, bias = generator.normal(0, 0.7, (inputs, width)), generator.normal(0, 0.3, width)
        nodes.append(Node(f"dense.{index}", Dense(kernel, bias, "relu"), (source,)))
        source = f"dense.{index}"
    nodes.append(Node("dropout", Dropout(0.5), (source,)))
    output = risk_layer((features, *widths)[-1], generator)
    return chain("dnn", features, hours, [*nodes, Node(f"dense.{len(widths)}", output, ("dropout",))])


def linear(features=FEATURES, hours=HOURS, seed=0) -> Network:
    kernel = np.random.default_rng(seed).normal(0, 0.2, (6 * features, 1))
    output = Dense(kernel, np.array([0.1]), "sigmoid")
    return chain("linear", features, hours, [Node("summary", FullSummary()), Node("dense.0", output, ("summary",))])


# Networks that no fast form fits: branches, joins, both directions, channel by channel.


def bidirectional(units=3, above=4, features=FEATURES, hours=HOURS, layer=lstm_layer, masked=True, seed=0) -> Network:
    """Return a layer in both directions and one upon it."""
    generator = np.random.default_rng(seed)
    mask = ("masking",) if masked else ()
    forward, backward = (layer(generator, features, units, sequences=True, backwards=back) for back in (False, True))
    nodes = [
        *([MASK] if masked else []),
        Node("forward", forward, (INPUT, *mask)),
        Node("backward", backward, (INPUT, *mask)),
        Node("both", Concatenate(), ("forward", "backward")),
        Node("above", layer(generator, 2 * units, above), ("both", *mask)),
        Node("dense.0", risk_layer(above, generator), ("above",)),
    ]
    return chain("bidirectional", features, hours, nodes)


def channel_wise(channels: int = 3, features=FEATURES, hours=HOURS, seed=0) -> Network:
    """Return both directions of each channel and its mask, all joined, and a layer upon them."""
    generator = np.random.default_rng(seed)
    nodes, parts = [MASK], []
    for channel in range(channels):
        columns = (channel, features - 1 - channel, 0)[: 2 + channel % 2]  # of different widths
        nodes.append(Node(f"columns{channel}", Columns(columns)))
        for name, backwards in (("forward", False), ("backward", True)):
            layer = lstm_layer(generator, len(columns), 2, sequences=True, backwards=backwards)
            parts.append(f"{name}{channel}")
            nodes.append(Node(parts[-1], layer, (f"columns{channel}", "masking")))
    nodes.append(Node("all", Concatenate(), tuple(parts)))
    nodes.append(Node("above", lstm_layer(generator, 2 * len(parts), 4), ("all", "masking")))
    return chain("channels", features, hours, [*nodes, Node("dense.0", risk_layer(4, generator), ("above",))])


def joined(features=FEATURES, hours=HOURS, seed=0) -> Network:
    """Return a recurrent state beside two summaries, through a dense layer."""
    generator = np.random.default_rng(seed)
    kernel = generator.normal(0, 0.3, (4 + 7 * features, 5))
    nodes = [
        MASK,
        Node("state", gru_layer(generator, features, 4), (INPUT, "masking")),
        Node("mean", MeasuredMean((features - 1,) * features)),
        Node("full", FullSummary()),
        Node("join", Concatenate(), ("state", "mean", "full")),
        Node("dense.0", Dense(kernel, generator.normal(0, 0.3, 5), "relu"), ("join",)),
        Node("dense.1", risk_layer(5, generator), ("dense.0",)),
    ]
    return chain("joined", features, hours, nodes)


def hour_by_hour(features=FEATURES, hours=HOURS, seed=0) -> Network:
    """Return dense layers between recurrent ones in the same hour, a shortcut, and every hour read at last."""
    generator = np.random.default_rng(seed)
    between = Dense(generator.normal(0, 0.5, (4, 3)), generator.normal(0, 0.5, 3), "tanh")
    hard = replace(
        lstm_layer(generator, features + 3, 3, backwards=True, sequences=True), gate_activation="hard_sigmoid"
    )
    nodes = [
        MASK,
        Node("below", lstm_layer(generator, features, 4, backwards=True, sequences=True), (INPUT, "masking")),
        Node("between", between, ("below",)),
        Node("shortcut", Concatenate(), (INPUT, "between")),
        Node("above", hard, ("shortcut", "masking")),
        Node("scaled", Normalisation(generator.normal(1, 0.3, 3), generator.normal(0, 0.3, 3)), ("above",)),
        Node("hours", Flatten(), ("scaled",)),
        Node("dense.0", risk_layer(3 * hours, generator), ("hours",)),
    ]
    return chain("hours", features, hours, nodes)


GENERAL = {
    "gru": lambda features=FEATURES, hours=HOURS: gru((4, 3), features, hours),
    "gru of one layer": lambda features=FEATURES, hours=HOURS: gru((4,), features, hours),
    "bidirectional": lambda features=FEATURES, hours=HOURS: bidirectional(3, 4, features, hours),
    "bidirectional gru, every hour": lambda features=FEATURES, hours=HOURS: bidirectional(
        3, 4, features, hours, gru_layer, masked=False
    ),
    "channel by channel": lambda features=FEATURES, hours=HOURS: channel_wise(3, features, hours),
    "state and summaries": lambda features=FEATURES, hours=HOURS: joined(features, hours),
    "hour by hour": lambda features=FEATURES, hours=HOURS: hour_by_hour(features, hours),
}


def stays(count=20, features=FEATURES, hours=HOURS, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Return scaled stays, some hours of which were not measured at all, and their outcomes."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (count, hours, features)).astype(np.float32)
    x[:, 1][::3] = 0
    return x, generator.integers(0, 2, count).astype(np.uint8)
