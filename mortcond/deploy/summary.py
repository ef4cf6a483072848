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
    main.outputs = [weights.dense(main, network, [layer.kernel for layer in network.dense], state)]
    graph.name(["stays"], ["risk"])
    return graph


def _mean(graph: Subgraph, stays: int, network: Network) -> int:
    """The mean of each feature over the hours in which its variable was measured, over all where there are none."""
    mean = ops.reduce(graph, "MEAN", stays, 1)
    columns = np.array(network.mask_columns, np.int32)
    if not np.any(columns >= 0):
        return mean
    small = columns.max() <= np.iinfo(np.int8).max  # an index of one byte a feature, widened in the graph
    own = graph.constant(np.maximum(columns, 0).astype(np.int8 if small else np.int32))
    own = graph.add("CAST", [own], "int32") if small else own
    mask = ops.gather(graph, stays, own, 2)  # for features without a mask any column: it is not used
    hours = ops.reduce(graph, "SUM", mask, 1)
    total = ops.reduce(graph, "SUM", ops.multiply(graph, stays, mask), 1)
    measured = graph.add("CAST", [hours], "bool")
    measured = graph.add("LOGICAL_AND", [measured, graph.constant(columns >= 0)], "bool")
    return graph.add("SELECT_V2", [measured, graph.add("DIV", [total, hours]), mean])


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
