"""Dense layers in whole numbers: weights and activations of 8 bits, sums of 32, nothing widened.

Comes in: a dnn, the tensor with its summaries, and the ranges that training stays taught. Goes out: the risk. Hidden
layers multiply int8 by int8 with a scale a unit. The last layer has one unit and is computed in float: in 256 steps of
its own it would round risks by more than all the rest does.

One step for all features would be the outliers' (a feature may lie 25 standard deviations off), so each feature is
divided by a power of its own range first, and its weights multiplied (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438,
eq. 4, with MIGRATED of the difficulty on the weights' side). Of what hidden layers give the farthest ten-thousandth is
cut off. Of the inputs that training stays hold nothing is: the farthest are the sickest, and cut off, a risk was wrong
by 0.5. What lies FAR times as far as nearly all others is no measurement, though.
"""

from dataclasses import dataclass

import numpy as np

from mortcond.deploy import ops
from mortcond.deploy.graph import Quantization, Subgraph
from mortcond.deploy.rounding import quantise_rows
from mortcond.deploy.weights import Weights
from mortcond.layers import Dense
from mortcond.network import INPUT, Network

LEVELS = 255  # from -128 to 127
KEPT = 0.9999  # of all values of training stays lie within the range of a hidden layer, or near that of the inputs
FAR = 4.0  # times the KEPT range, from which on an input is no measurement
MIGRATED = 0.75  # measured on validation stays of five networks: 0.5 and 1 change single risks more


@dataclass(frozen=True)
class Ranges:
    """What the layers of a dnn read on training stays."""

    divisors: np.ndarray  # (features,): by what each feature is divided
    ends: tuple[tuple[float, float], ...]  # for each dense layer, the least and the largest value


def fits(network: Network) -> bool:
    """Say whether a network is dense layers with ReLU, two at least, on what has no weights and no hours."""
    *hidden, _ = layers = network.tail
    weighted = [node for node in network.nodes if node.layer.arrays()]
    flat = layers[0].inputs[0] != INPUT and not network.over_hours[layers[0].inputs[0]]
    return (
        bool(hidden) and weighted == list(layers) and flat and all(node.layer.activation == "relu" for node in hidden)
    )


def learn(network: Network, x: np.ndarray | None) -> Ranges:
    """Return the ranges of a dense network on training stays, (stays, hours, features), scaled; None: of no meaning."""
    first, *others = network.tail
    features = len(first.layer.kernel)
    if x is None:
        return Ranges(np.ones(features, np.float32), ((0.0, 1.0),) * len(network.tail))
    values = network.values(x)
    state = values[first.inputs[0]].astype(np.float64)
    largest = np.quantile(np.abs(state), KEPT, axis=0)
    divisors = np.where(largest > 0, largest**MIGRATED, 1.0).astype(np.float32)
    inputs = state / divisors
    near = FAR * np.array(_ends(inputs))
    ends = [(max(float(inputs.min()), near[0]), min(float(inputs.max()), near[1]))]
    ends += [_ends(values[node.inputs[0]].astype(np.float64)) for node in others]
    return Ranges(divisors, tuple(ends))


def _ends(values: np.ndarray) -> tuple[float, float]:
    least, largest = np.quantile(values, [1 - KEPT, KEPT])
    return float(least), float(largest)


def dense(graph: Subgraph, network: Network, weights: Weights, x: int, learned: Ranges) -> int:
    """Add a network's dense layers; x is the summary, (stays, inputs) float."""
    first, *others = (node.layer for node in network.tail)
    divisors = learned.divisors
    moments = dict(weights.moments)
    if "dense.0" in moments:
        moments["dense.0"] = moments["dense.0"] / np.outer(divisors, divisors)
    weights.note("dense.0.factors", divisors, "float32", "a factor a feature, so that outliers do not set all steps")
    x = ops.multiply(graph, x, graph.constant(1 / divisors))
    scales = [activation_scale(*ends) for ends in learned.ends]
    x = graph.add("QUANTIZE", [x], "int8", quantization=scales[0], shape=(-1, len(divisors)))
    smoothed = Dense(first.kernel * divisors[:, None], first.bias, first.activation)
    for index, layer in enumerate((smoothed, *others[:-1])):
        name, steps = f"dense.{index}", (scales[index], scales[index + 1])
        x = _hidden(graph, weights, name, layer, x, steps, moments.get(name))
    last = others[-1]
    x = graph.add("DEQUANTIZE", [x], version=2, shape=(-1, len(last.kernel)))
    x = weights.linear(graph, x, f"dense.{len(others)}", last.kernel, last.bias)
    return graph.add("LOGISTIC", [x], shape=(-1, 1))


def _hidden(
    graph: Subgraph,
    weights: Weights,
    name: str,
    layer: Dense,
    x: int,
    steps: tuple[Quantization, Quantization],
    moments: np.ndarray | None,
) -> int:
    """Add one layer with ReLU; steps: of what it reads, and of what it gives."""
    before, after = steps
    stored, quantization = quantise_rows(layer.kernel.T, moments)
    weights.note(f"{name}.kernel", stored, "int8", "a scale a unit; multiplied with activations of 8 bits")
    of_sums = Quantization((before.scale[0] * quantization.scale).astype(np.float32))
    limit = np.iinfo(np.int32)
    bias = np.rint(layer.bias / of_sums.scale).clip(limit.min, limit.max).astype(np.int32)
    weights.note(f"{name}.bias", bias, "int32", "added to sums of 32 bits")
    inputs = [x, graph.constant(stored, quantization), graph.constant(bias, of_sums)]
    return ops.whole_linear(graph, inputs, after, (-1, len(stored)))


def activation_scale(least: float, largest: float) -> Quantization:
    """Return the scale and zero point of activations between two values; 0 is one of its steps."""
    least, largest = min(least, 0.0), max(largest, 0.0)
    scale = max(largest - least, 1e-6) / LEVELS
    return Quantization(np.array([scale], np.float32), int(np.rint(-128 - least / scale)))
