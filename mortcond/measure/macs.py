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
        Length of the series: how often a loop over it runs its body. The graph does not tell a loop's length; every
        loop is taken to be one over the hours.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(file.read_bytes(), 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [_builtin(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    bodies = _loop_bodies(model, codes, names, schema)
    total = 0
    for index in range(model.SubgraphsLength()):
        shapes = {entry["index"]: entry["shape"] for entry in interpreter.get_tensor_details(index)}
        graph = model.Subgraphs(index)
        for operation in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            if names[codes[operation.OpcodeIndex()]] in MATRIX_PRODUCTS:
                total += _product(graph, operation, shapes, in_loop=index in bodies) * (hours if index in bodies else 1)
    return total


def _builtin(code: Any) -> int:
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())


def _loop_bodies(model: Any, codes: list[int], names: dict[int, str], schema: Any) -> set[int]:
    graph, found = model.Subgraphs(0), set()
    for operation in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        if names[codes[operation.OpcodeIndex()]] == "WHILE":
            options, table = schema.WhileOptions(), operation.BuiltinOptions()
            options.Init(table.Bytes, table.Pos)
            found.add(options.BodySubgraphIndex())
    return found


def _product(graph: Any, operation: Any, shapes: dict[int, Any], in_loop: bool) -> int:
    """Return rows times the size of the second operand: a row of x meets every weight once."""
    x, weights = operation.Inputs(0), operation.Inputs(1)
    size = int(np.prod(graph.Tensors(weights).ShapeAsNumpy()))
    rows = 1 if in_loop else int(np.prod(shapes[x][:-1]))  # in the loop, x is one hour of one stay: (1, inputs)
    return rows * size
