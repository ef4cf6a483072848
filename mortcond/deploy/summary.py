"""The graph of dnn and linear: a summary of each feature over the hours, then dense layers.

Comes in: a Network with a `summary`. Goes out: its LiteRT graph, stateless, any number of stays.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import integer, ops
from mortcond.deploy.graph import Graph, Subgraph
from mortcond.deploy.weights import WITH_8_BIT_INPUTS, Weights
from mortcond.models.network import Network

STEEP = 200.0  # exp(-200) is 0 in float32: an hour without a measurement has no weight beside one with


def build(network: Network, weights: Weights, learned: integer.Ranges | None = None) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1); in whole numbers where `learned`."""
    graph = Graph()
    main = graph.subgraph()
    stays = main.input("float32", (-1, network.hours, network.features))
    if network.summary == "mean" and max(network.mask_columns) >= 0 and weights.mode not in WITH_8_BIT_INPUTS:
        risk = _with_bias_as_column(main, network, weights, stays)
    else:
        values = _summary(main, network, stays)
        if learned is None:
            risk = weights.dense(main, network, values)
        else:
            risk = integer.dense(main, network, weights, values, learned)
        risk = weights.never_from_nan(main, risk, values)
    main.outputs = [risk]
    graph.name(["stays"], ["risk"])
    return graph


def _summary(main: Subgraph, network: Network, stays: int) -> int:
    if network.summary == "full":
        return _full(main, stays, network.hours)
    if max(network.mask_columns) < 0:
        return ops.reduce(main, "MEAN", stays, 1)
    return _mean_of_measured(main, stays, network)


def _with_bias_as_column(main: Subgraph, network: Network, weights: Weights, stays: int) -> int:
    """The dense layers on each feature's mean, the first bias as one more column of its kernel.

    A bias of its own takes an operation and two tensors more, which a column that is multiplied with a constant does
    not. Where inputs are rounded to 8 bits the constant would be one more number to round, so there it stays a bias.
    """
    first = network.dense[0]
    constant = max(float(np.abs(first.bias).max() / max(np.abs(first.kernel).max(), 1e-30)), 1e-3)
    if "dense.0" in weights.moments:
        count, *sums = constant * weights.moments["dense.0.sums"]
        beside = np.pad(weights.moments["dense.0"], [(1, 0), (1, 0)])
        beside[0, 0], beside[0, 1:], beside[1:, 0] = constant * count, sums, sums
        weights.moments["dense.0"] = beside
    kernel = np.concatenate([first.bias[None] / constant, first.kernel])
    return weights.dense(main, network, _mean_of_measured(main, stays, network, constant), kernel, bias=False)


def _mean_of_measured(graph: Subgraph, stays: int, network: Network, constant: float | None = None) -> int:
    """The mean of each feature over the hours in which its variable was measured, over all where there are none.

    As a weighted mean whose weights are a steep softmax of the mask: the measured hours share alike, and all hours do
    where none was measured or where the feature has no mask, but a row of always the same. Where there is a `constant`,
    it comes first.
    """
    columns = np.array(network.mask_columns, np.int32) + 1
    columns = columns if constant is None else np.concatenate([[0], columns])
    small = columns.max() <= np.iinfo(np.int8).max  # an index of one byte a feature, widened in the graph
    own = graph.constant(columns.astype(np.int8 if small else np.int32))
    own = graph.add("CAST", [own], "int32") if small else own
    by_feature = graph.add("TRANSPOSE", [stays, graph.integers(0, 2, 1)])  # (stays, features, hours): whole rows move
    filled = ops.pad(graph, by_feature, [(0, 0), (1, 0), (0, 0)], constant or 0.0)
    steep = ops.multiply(graph, ops.gather(graph, filled, own, 1), graph.constant(np.array(STEEP, np.float32)))
    weights = graph.add("SOFTMAX", [steep], options=schema.SoftmaxOptionsT(beta=1.0))
    values = by_feature if constant is None else filled
    return ops.reduce(graph, "SUM", ops.multiply(graph, values, weights), 2)


def _full(graph: Subgraph, stays: int, hours: int) -> int:
    first, last = (ops.gather(graph, stays, graph.constant(np.array(hour, np.int32)), 1) for hour in (0, hours - 1))
    mean = ops.reduce(graph, "MEAN", stays, 1, keep=True)
    deviation = ops.subtract(graph, stays, mean)
    variance = ops.reduce(graph, "MEAN", ops.multiply(graph, deviation, deviation), 1)
    parts = [
        ops.reduce(graph, "MEAN", stays, 1),
        last,
        ops.reduce(graph, "REDUCE_MIN", stays, 1),
        ops.reduce(graph, "REDUCE_MAX", stays, 1),
        graph.add("SQRT", [variance]),
        ops.subtract(graph, last, first),
    ]
    return ops.concatenate(graph, parts, 1)
