"""The graph of dnn and linear: a summary of each feature over the hours, then dense layers.

Comes in: a Network with a `summary`. Goes out: its LiteRT graph, stateless, any number of stays.
"""

import numpy as np

from mortcond.deploy import ops
from mortcond.deploy.graph import Graph, Subgraph
from mortcond.deploy.weights import Weights
from mortcond.models.network import Network


def build(network: Network, weights: Weights) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1)."""
    graph = Graph()
    main = graph.subgraph()
    stays = main.input("float32", (-1, network.hours, network.features))
    state = _full(main, stays, network.hours) if network.summary == "full" else _mean(main, stays, network)
    for index, layer in enumerate(network.dense):
        state = weights.linear(main, state, f"dense.{index}", layer.kernel, layer.bias, relu=layer.activation == "relu")
    main.outputs = [main.add("LOGISTIC", [state], shape=(-1, 1))]
    graph.name(["stays"], ["risk"])
    return graph


def _mean(graph: Subgraph, stays: int, network: Network) -> int:
    mean = ops.reduce(graph, "MEAN", stays, 1)
    columns = np.array(network.mask_columns, np.int32)
    if not np.any(columns >= 0):
        return mean
    # Features without a mask of their own get a weight of 0 in every hour, and so the plain mean.
    has_mask = graph.constant((columns >= 0).astype(np.float32))
    mask = ops.gather(graph, stays, graph.constant(np.maximum(columns, 0).astype(np.int32)), 2)
    mask = ops.multiply(graph, mask, has_mask)
    hours = ops.reduce(graph, "SUM", mask, 1)
    total = ops.reduce(graph, "SUM", ops.multiply(graph, stays, mask), 1)
    at_least_one = graph.add("MAXIMUM", [hours, graph.constant(np.ones((), np.float32))])
    measured_mean = graph.add("DIV", [total, at_least_one])
    zero = graph.constant(np.zeros((), np.float32))
    measured = graph.add("GREATER", [hours, zero], "bool")
    return graph.add("SELECT_V2", [measured, measured_mean, mean])


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
