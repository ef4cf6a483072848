"""Multiply-accumulates of one stay, counted from a `.tflite` graph.

Comes in: a file and the interpreter that has run it once with a batch of one, which knows every shape. Goes out: the
count. Matrix products only: what a gate multiplies element by element is a small share and not counted.
"""

from pathlib import Path
from typing import Any

import numpy as np

MATRIX_PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL")


def count(file: Path, interpreter: Any, hours: int) -> int:
    """Return the multiply-accumulates of one stay.

    Parameters
    ----------
    file
        The `.tflite` file.
    interpreter
        An ai-edge-litert interpreter of it that was invoked with a batch of one.
    hours
        Length of the series: how often a loop runs its body where its condition compares with no constant.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(file.read_bytes(), 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [_builtin(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    loops = _loops(model, codes, names, schema, hours)
    total = 0
    for index in range(model.SubgraphsLength()):
        shapes = {entry["index"]: entry["shape"] for entry in interpreter.get_tensor_details(index)}
        graph = model.Subgraphs(index)
        operations = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        named = [(names[codes[operation.OpcodeIndex()]], operation) for operation in operations]
        widened = {operation.Outputs(0): operation.Inputs(0) for name, operation in named if name == "DEQUANTIZE"}
        for name, operation in named:
            if name in MATRIX_PRODUCTS:
                weights = graph.Tensors(widened.get(operation.Inputs(1), operation.Inputs(1)))
                rows = loops[index] if index in loops else int(np.prod(shapes[operation.Inputs(0)][:-1]))
                total += rows * int(np.prod(weights.ShapeAsNumpy()))  # a row of x meets every weight once
    return total


def _builtin(code: Any) -> int:
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())


def _loops(model: Any, codes: list[int], names: dict[int, str], schema: Any, hours: int) -> dict[int, int]:
    """Return how often each loop's body runs, by the body's subgraph; a body sees one hour of each stay at a time."""
    graph, found = model.Subgraphs(0), {}
    for operation in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        if names[codes[operation.OpcodeIndex()]] == "WHILE":
            options, table = schema.WhileOptions(), operation.BuiltinOptions()
            options.Init(table.Bytes, table.Pos)
            found[options.BodySubgraphIndex()] = _limit(model, options.CondSubgraphIndex()) or hours
    return found


def _limit(model: Any, condition: int) -> int | None:
    """Return the one integer constant of a loop's condition, which its counter is compared with."""
    graph = model.Subgraphs(condition)
    contents = [model.Buffers(graph.Tensors(i).Buffer()).DataAsNumpy() for i in range(graph.TensorsLength())]
    constants = [np.asarray(content).view("<i4") for content in contents if np.size(content) == 4]
    return int(constants[0][0]) if len(constants) == 1 else None
