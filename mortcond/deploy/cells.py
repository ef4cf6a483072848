"""What every loop over the hours is made of: the order of the hours, the cell, the loop itself.

Comes in: a graph under construction. Goes out: its tensors.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops
from mortcond.deploy.graph import Subgraph, Tensor

GATE_ORDER = (0, 1, 3, 2)  # input, forget, output, cell: the three sigmoids, then the tanh


def magnitudes(main: Subgraph, stays: int) -> int:
    """Return the sum of each hour's absolute values, (stays, hours)."""
    return ops.reduce(main, "SUM", main.add("ABS", [stays]), 2)


def hours_that_count(main: Subgraph, sums: int) -> int:
    """Return (stays, hours) of 0 and 1: whether any feature of the hour is other than 0 (Keras' Masking).

    By way of bool and not by SIGN, whose NaN would be no hour and no row of a table.
    """
    return main.add("CAST", [main.add("CAST", [sums], "bool")])


def skipped_first(main: Subgraph, counts: int, hours: int) -> int:
    """Return the order that puts the skipped hours of each stay first, (stays, hours) int32."""
    earlier_first = main.constant((-np.arange(hours) / hours).astype(np.float32))  # in (-1, 0]: breaks the ties
    keys = ops.subtract(main, earlier_first, counts)
    _, order = main.add("TOPK_V2", [keys, main.constant(np.array(hours, np.int32))], count=2)
    main.tensors[order] = Tensor("int32")
    return order


def zeros(main: Subgraph, sums: int, width: int) -> int:
    """Return zeros (stays, width) from the magnitudes of the hours, NaN for a stay with a NaN."""
    return ops.multiply(main, ops.reduce(main, "SUM", sums, 1, keep=True), main.constant(np.zeros(width, np.float32)))


def loop(
    main: Subgraph, condition: Subgraph, body: Subgraph, steps: int, read: list[int], states: list[int]
) -> tuple[int, int]:
    """Add the loop to `main`; return the last layer's h and c at its end.

    Condition and body get as inputs: the step, `read` (never changed), then h and c of each layer.
    """
    carried = [main.constant(np.zeros((), np.int32)), *read, *states]
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    results = main.add("WHILE", carried, count=len(carried), options=options)
    for source, result in zip(carried, results, strict=True):
        dtype = main.tensors[source].dtype
        main.tensors[result] = Tensor(dtype)
        for subgraph in (condition, body):
            subgraph.input(dtype, ())
    limit = condition.constant(np.array(steps, np.int32))
    condition.outputs = [condition.add("LESS", [condition.inputs[0], limit], "bool")]
    return results[-2], results[-1]


def next_step(body: Subgraph, step: int) -> int:
    return ops.add(body, step, body.constant(np.array(1, np.int32)), "int32")


def activated(body: Subgraph, z: int, axis: int) -> list[int]:
    """Return input, forget, output and cell gate from their sums z, side by side along an axis in GATE_ORDER."""
    i, f, o, _ = ops.split(body, body.add("LOGISTIC", [z]), 4, axis)
    return [i, f, o, body.add("TANH", [ops.split(body, z, 4, axis)[3]])]


def new_state(body: Subgraph, i: int, f: int, o: int, g: int, c: int) -> tuple[int, int]:
    """Return h and c of an hour from its gates and the cell state before, all of one shape."""
    c = ops.add(body, ops.multiply(body, f, c), ops.multiply(body, i, g))  # eq. 2
    return ops.multiply(body, o, body.add("TANH", [c])), c  # eq. 3


def gate_major(weights: np.ndarray) -> np.ndarray:
    """Return (..., 4, units) in GATE_ORDER from (..., 4 * units) in that of GATES."""
    return weights.reshape(*weights.shape[:-1], 4, -1)[..., GATE_ORDER, :]


def flat(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(len(kernel), -1)
