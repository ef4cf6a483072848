"""Networks that together have every layer, for the writers of other languages. Names: what is special about each."""

from dataclasses import replace

import numpy as np
from test_network import FEATURES, HOURS, NAMES, joined, small, stays, with_random_weights

from mortcond.layers import (
    LSTM,
    Activation,
    Columns,
    Concatenate,
    Dense,
    Flatten,
    Hour,
    Masking,
    Merge,
    Normalisation,
    Pooling,
)
from mortcond.layers.activations import ACTIVATIONS
from mortcond.layers.hinges import Hinges
from mortcond.layers.measured import KINDS, Measured
from mortcond.network import INPUT, Network, Node, chain


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _lstm(inputs: int, units: int, **how) -> LSTM:
    return LSTM(_zeros(inputs, 4 * units), _zeros(units, 4 * units), _zeros(4 * units), **how)


def _risk(inputs: int, source: str) -> Node:
    return Node("risk", Dense(_zeros(inputs, 1), _zeros(1), "sigmoid"), (source,))


def channels() -> Network:
    """One channel at a time, both ways, joined, with other activations, normalised, pooled and flattened."""
    old = {"gate_activation": "hard_sigmoid_keras2", "sequences": True}
    nodes = [
        Node("masking", Masking()),
        Node("first", Columns((0, 3)), (INPUT,)),
        Node("second", Columns((4, 1, 1)), (INPUT,)),
        Node("first.forward", _lstm(2, 3, **old), ("first", "masking")),
        Node("first.backward", _lstm(2, 3, backwards=True, sequences=True), ("first", "masking")),
        Node("second.backward", _lstm(3, 2, backwards=True, sequences=True), ("second",)),
        Node("join", Concatenate(), ("first.forward", "first.backward", "second.backward")),
        Node("normalised", Normalisation(_zeros(8), _zeros(8)), ("join",)),
        Node("last", _lstm(8, 3, backwards=True), ("normalised", "masking")),
        Node("flat", Flatten(), ("second.backward",)),
        Node("ends", Concatenate(), ("last", "flat")),
        _risk(3 + 2 * HOURS, "ends"),
    ]
    nodes = [
        replace(node, name=node.name.replace(".", "-"), inputs=tuple(n.replace(".", "-") for n in node.inputs))
        for node in nodes
    ]
    return with_random_weights(chain("channels", FEATURES, HOURS, nodes))


def activations() -> Network:
    """Each activation over the hours, every way to take hours or branches together."""
    nodes = [Node(name, Dense(_zeros(FEATURES, 2), _zeros(2), name), (INPUT,)) for name in ACTIVATIONS]
    nodes.append(Node("join", Concatenate(), tuple(node.name for node in nodes)))
    width = 2 * len(ACTIVATIONS)
    nodes += [Node("hour", Hour(2), ("join",)), Node("last", Hour(-1), ("join",))]
    nodes += [Node(f"pooled-{how}", Pooling(how), ("join",)) for how in ("mean", "max")]
    nodes += [Node("sum", Merge("sum"), ("hour", "last")), Node("product", Merge("product"), ("sum", "pooled-max"))]
    nodes += [Node("halves", Merge("mean"), ("product", "pooled-mean")), Node("bent", Activation("elu"), ("halves",))]
    return with_random_weights(chain("activations", FEATURES, HOURS, [*nodes, _risk(width, "bent")]))


def measured() -> Network:
    """Every summary of measured hours and hinges, with statistics as learnt of stays."""
    layer = Measured((0, 1, 2, 4), (3, 3, 4, -1), tuple(KINDS)).fitted(stays(40))
    summary = chain("summary", FEATURES, HOURS, [Node("summary", layer)])
    hinges = Hinges().fitted(summary.values(stays(40))["summary"])
    nodes = [Node("summary", layer), Node("hinges", hinges, ("summary",)), _risk(4 * 4 * len(KINDS), "hinges")]
    return with_random_weights(chain("measured", FEATURES, HOURS, nodes))


def old_gru() -> Network:
    network = small("gru", layers=2)
    layers = {node.name: replace(node.layer, recurrent_bias=None) for node in network.recurrent}
    return network.with_layers(layers)


NETWORKS = {arch: (lambda arch=arch: small(arch)) for arch in NAMES} | {"joined": joined, "channels": channels}
NETWORKS |= {"hlstm, deep": lambda: small("hlstm", hidden_width=9, hidden_depth=3), "gru, first form": old_gru}
NETWORKS |= {"activations": activations, "measured": measured}


def kinds() -> set[str]:
    """Return the kinds of layer that the networks have."""
    return {node.layer.kind for make in NETWORKS.values() for node in make().nodes}
