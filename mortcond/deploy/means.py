"""The mean of each feature over the hours in which its variable was measured, as LiteRT operations.

Comes in: scaled stays in a graph under construction, and the matrix that reads their means. Goes out: the means, as a
weighted mean whose weights are a steep softmax of the mask: the measured hours share alike, and all hours do where none
was measured or where the feature has no mask, but a row of always the same. Half the time of sums and quotients.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops

if TYPE_CHECKING:
    from mortcond.deploy.operations import LiteRTOperations, Named, Value

STEEP = 200.0  # exp(-200) is 0 in float32: an hour without a measurement has no weight beside one with


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean that is not yet in the graph."""

    ops: "LiteRTOperations"
    x: "Value"  # (stays, hours, features)
    mask_columns: tuple[int, ...]  # for each feature; -1: it has no mask


def with_bias_as_column(mean: Mean, name: str, kernel: "Named", bias: np.ndarray) -> tuple["Named", "Value"]:
    """Return a matrix with its bias as one more row, and the means with a constant as one more column.

    A bias of its own takes an operation and two tensors more. Where inputs are rounded to 8 bits the constant would be
    one more number to round, so there it stays a bias.
    """
    weights = mean.ops.weights
    constant = weights.beside(kernel.array, bias)
    if name in weights.moments:
        count, *sums = constant * weights.moments[f"{name}.sums"]
        beside = np.pad(weights.moments[name], [(1, 0), (1, 0)])
        beside[0, 0], beside[0, 1:], beside[1:, 0] = constant * count, sums, sums
        weights.moments[name] = beside
    joined = replace(kernel, array=np.concatenate([bias[None] / constant, kernel.array]))
    return joined, mean.ops.value(measured(mean, constant), mean.x.width + 1)


def measured(mean: Mean, constant: float | None = None) -> int:
    """Return the means, (stays, features); where there is a `constant`, it comes first."""
    graph, stays = mean.ops.graph, mean.x.tensor
    columns = np.array(mean.mask_columns, np.int32) + 1
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
