"""Short names for the LiteRT operations that the graphs use, each with its options. Comes in, goes out: tensors."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy.graph import Subgraph


def linear(graph: Subgraph, x: int, weights: int, bias: int = -1, relu: bool = False) -> int:
    """x @ weights.T + bias over the last axis; leading axes are kept."""
    activation = schema.ActivationFunctionType.RELU if relu else schema.ActivationFunctionType.NONE
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=activation, keepNumDims=True)
    return graph.add("FULLY_CONNECTED", [x, weights, bias], version=5, options=options)


def add(graph: Subgraph, a: int, b: int, dtype: str = "float32") -> int:
    return graph.add("ADD", [a, b], dtype, options=schema.AddOptionsT())


def subtract(graph: Subgraph, a: int, b: int) -> int:
    return graph.add("SUB", [a, b], options=schema.SubOptionsT())


def multiply(graph: Subgraph, a: int, b: int) -> int:
    return graph.add("MUL", [a, b], options=schema.MulOptionsT())


def split(graph: Subgraph, x: int, sizes: list[int], axis: int) -> list[int]:
    """Cut x along an axis into parts of the given sizes."""
    if len(sizes) == 1:
        return [x]
    count, where = len(sizes), graph.constant(np.array(axis, np.int32))
    if len(set(sizes)) == 1:
        return list(graph.add("SPLIT", [where, x], count=count, options=schema.SplitOptionsT(numSplits=count)))
    inputs = [x, graph.integers(*sizes), where]
    return list(graph.add("SPLIT_V", inputs, count=count, options=schema.SplitVOptionsT(numSplits=count)))


def concatenate(graph: Subgraph, parts: list[int], axis: int, dtype: str = "float32") -> int:
    return graph.add("CONCATENATION", parts, dtype, options=schema.ConcatenationOptionsT(axis=axis))


def gather(graph: Subgraph, x: int, index: int, axis: int) -> int:
    return graph.add("GATHER", [x, index], options=schema.GatherOptionsT(axis=axis))


def reduce(graph: Subgraph, operation: str, x: int, axis: int, keep: bool = False, dtype: str = "float32") -> int:
    """SUM, MEAN, REDUCE_MAX ... along one axis."""
    return graph.add(operation, [x, graph.integers(axis)], dtype, options=schema.ReducerOptionsT(keepDims=keep))


def zeros(graph: Subgraph, like: int, width: int) -> int:
    """A float matrix of zeros (stays, width), with as many rows as `like`."""
    shape = graph.add("SHAPE", [like], "int32", options=schema.ShapeOptionsT(outType=schema.TensorType.INT32))
    ends = [graph.integers(0), graph.integers(1), graph.integers(1)]
    stays = graph.add("STRIDED_SLICE", [shape, *ends], "int32", options=schema.StridedSliceOptionsT())
    dimensions = concatenate(graph, [stays, graph.integers(width)], 0, "int32")
    return graph.add("FILL", [dimensions, graph.constant(np.zeros((), np.float32))], options=schema.FillOptionsT())


def simple(graph: Subgraph, operation: str, *inputs: int, options: Any = None, dtype: str = "float32") -> int:
    return graph.add(operation, list(inputs), dtype, options=options)
