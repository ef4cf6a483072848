"""Networks with random weights, and stays, for the tests of condensation. Weights are large enough to matter."""

import itertools

import numpy as np

from mortcond.models.network import DenseLayer, Gate, HiddenLSTMLayer, LSTMLayer, Network

FEATURES, HOURS = 6, 5


def lstm(units=(5, 4), features=FEATURES, hours=HOURS, seed=0) -> Network:
    generator = np.random.default_rng(seed)
    layers, inputs = [], features
    for width in units:
        shapes = (inputs, 4 * width), (width, 4 * width), (4 * width,)
        layers.append(LSTMLayer(*(generator.normal(0, 0.5, shape) for shape in shapes)))
        inputs = width
    return Network("lstm", features, hours, tuple(layers), (risk_layer(inputs, generator),), dropout=0.3)


def hlstm(units=4, hidden=(5, 3), features=FEATURES, hours=HOURS, layers=1, seed=0) -> Network:
    """Return a hidden-layer LSTM with `hidden` neurons in the successive hidden layers of each gate."""
    generator = np.random.default_rng(seed)
    recurrent, inputs = [], features
    for _ in range(layers):
        gates = []
        for _ in range(4):
            widths = [inputs + units, *hidden]
            weights = tuple(generator.normal(0, 0.5, pair) for pair in itertools.pairwise(widths))
            gates.append(Gate(weights, generator.normal(0, 0.5, (hidden[-1], units)), generator.normal(0, 0.5, units)))
        recurrent.append(HiddenLSTMLayer(tuple(gates)))
        inputs = units
    return Network("hlstm", features, hours, tuple(recurrent), (risk_layer(units, generator),))


def dnn(widths=(8, 6, 4), features=FEATURES, hours=HOURS, seed=0) -> Network:
    generator = np.random.default_rng(seed)
    layers, inputs = [], features
    for width in widths:
        kernel, bias = generator.normal(0, 0.7, (inputs, width)), generator.normal(0, 0.3, width)
        layers.append(DenseLayer(kernel, bias, "relu"))
        inputs = width
    dense = (*layers, risk_layer(inputs, generator))
    return Network("dnn", features, hours, (), dense, "mean", (-1,) * features, dropout=0.5)


def risk_layer(inputs: int, generator: np.random.Generator) -> DenseLayer:
    return DenseLayer(generator.normal(0, 0.5, (inputs, 1)), generator.normal(0, 0.3, 1), "sigmoid")


def stays(count=20, features=FEATURES, hours=HOURS, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Return scaled stays, some hours of which were not measured at all, and their outcomes."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (count, hours, features)).astype(np.float32)
    x[:, 1][::3] = 0
    return x, generator.integers(0, 2, count).astype(np.uint8)
