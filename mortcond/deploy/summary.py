"""The graph of dnn and linear: a summary of each feature over the hours, then dense layers.

Comes in: a Network with a `summary`. Goes out: its LiteRT graph, stateless, any number of stays.
"""

import numpy as np

from mortcond.deploy import ops
from mortcond.deploy.graph import Graph, Subgraph
from mortcond.deploy.weights import Weights
from mortcond.models.network import Network

LITTLE = 1e-20  # less than half a step of float32 at 1, and far from the least number


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
    """The mean of each feature over the hours in which its variable was measured, over all where there are none.

    As a weighted mean: an hour weighs as its mask says, and a little more, which counts where no hour was measured and
    is lost in the rounding where one was. A feature without a mask is weighted by a column of zeros.
    """
    columns = np.array(network.mask_columns, np.int32) + 1
    if not columns.any():
        return ops.reduce(graph, "MEAN", stays, 1)
    small = columns.max() <= np.iinfo(np.int8).max  # an index of one byte a feature, widened in the graph
    own = graph.constant(columns.astype(np.int8 if small else np.int32))
    own = graph.add("CAST", [own], "int32") if small else own
    mask = ops.gather(graph, ops.pad(graph, stays, [(0, 0), (0, 0), (1, 0)]), own, 2)
    weights = ops.add(graph, mask, graph.constant(np.array(LITTLE, np.float32)))
    total = ops.reduce(graph, "SUM", ops.multiply(graph, stays, weights), 1)
    return graph.add("DIV", [total, ops.reduce(graph, "SUM", weights, 1)])


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
