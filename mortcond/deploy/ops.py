"""Short names for the LiteRT operations that the graphs use, each with its options. Comes in, goes out: tensors."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy.graph import Quantization, Subgraph


def linear(
    graph: Subgraph, x: int, weights: int, bias: int | None = None, relu: bool = False, each_hour: bool = False
) -> int:
    """x @ weights.T + bias: (stays, outputs), or over the last axis of each hour, (stays, hours, outputs)."""
    options = None  # the runtime's defaults: no activation, all axes but the last one as one
    if relu or each_hour:
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=_activation(relu), keepNumDims=each_hour)
    return graph.add("FULLY_CONNECTED", [x, weights, -1 if bias is None else bias], version=5, options=options)


def product_of_groups(graph: Subgraph, x: int, weights: int) -> int:
    """x @ weights for each of several groups: (groups, stays, inputs) and (groups, inputs, outputs)."""
    return graph.add("BATCH_MATMUL", [x, weights], options=schema.BatchMatMulOptionsT())


def whole_linear(graph: Subgraph, inputs: list[int], scale: Quantization, shape: tuple[int, ...]) -> int:
    """ReLU(x @ weights.T + bias) in whole numbers: x and weights int8, bias int32; the output int8 with its scale."""
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=_activation(True))
    return graph.add("FULLY_CONNECTED", inputs, "int8", version=5, quantization=scale, shape=shape, options=options)


def add(graph: Subgraph, a: int, b: int, dtype: str = "float32") -> int:
    return graph.add("ADD", [a, b], dtype)


def subtract(graph: Subgraph, a: int, b: int, relu: bool = False) -> int:
    options = schema.SubOptionsT(fusedActivationFunction=_activation(relu)) if relu else None
    return graph.add("SUB", [a, b], options=options)


def multiply(graph: Subgraph, a: int, b: int) -> int:
    return graph.add("MUL", [a, b])


def split(graph: Subgraph, x: int, sizes: int | list[int], axis: int) -> list[int]:
    """Cut x along an axis into so many equal parts, or into parts of the given sizes."""
    if not isinstance(sizes, int) and len(set(sizes)) == 1:
        sizes = len(sizes)
    if sizes == 1:
        return [x]
    where, dtype = graph.constant(np.array(axis, np.int32)), graph.tensors[x].dtype
    if isinstance(sizes, int):
        return list(graph.add("SPLIT", [where, x], dtype, count=sizes, options=schema.SplitOptionsT(numSplits=sizes)))
    inputs, count = [x, graph.integers(*sizes), where], len(sizes)
    return list(graph.add("SPLIT_V", inputs, dtype, count=count, options=schema.SplitVOptionsT(numSplits=count)))


def concatenate(graph: Subgraph, parts: list[int], axis: int) -> int:
    return graph.add("CONCATENATION", parts, options=schema.ConcatenationOptionsT(axis=axis))


def gather(graph: Subgraph, x: int, index: int, axis: int, batch_dims: int = 0, dtype: str = "float32") -> int:
    return graph.add("GATHER", [x, index], dtype, options=schema.GatherOptionsT(axis=axis, batchDims=batch_dims))


def reshape(graph: Subgraph, x: int, *shape: int, dtype: str = "float32") -> int:
    return graph.add("RESHAPE", [x, graph.integers(*shape)], dtype)


def pad(graph: Subgraph, x: int, ends: list[tuple[int, int]], value: float = 0.0, dtype: str = "float32") -> int:
    """Add zeros, or another value, at both ends of each axis."""
    where = graph.constant(np.array(ends, np.int32))
    if value:
        return graph.add("PADV2", [x, where, graph.constant(np.array(value, np.float32))])
    return graph.add("PAD", [x, where], dtype)


def reduce(graph: Subgraph, operation: str, x: int, axis: int, keep: bool = False) -> int:
    """SUM, MEAN, REDUCE_MAX ... along one axis."""
    options = schema.ReducerOptionsT(keepDims=True) if keep else None
    return graph.add(operation, [x, graph.integers(axis)], options=options)


def _activation(relu: bool) -> int:
    return schema.ActivationFunctionType.RELU if relu else schema.ActivationFunctionType.NONE
