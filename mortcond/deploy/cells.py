"""What every loop over the hours is made of: the order of the hours, the cell, the loop itself.

Comes in: a graph under construction. Goes out: its tensors.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops
from mortcond.deploy.graph import Subgraph, Tensor

GATE_ORDER = (0, 1, 3, 2)  # input, forget, output, cell: the three sigmoids, then the tanh


def skipped_first(main: Subgraph, stays: int, hours: int) -> tuple[int, int]:
    """Return whether each hour counts, (stays, hours) of 0 and 1, and the order that puts the skipped hours first."""
    counts = main.add("SIGN", [ops.reduce(main, "SUM", main.add("ABS", [stays]), 2)])
    earlier_first = main.constant((-np.arange(hours) / hours).astype(np.float32))  # in (-1, 0]: breaks the ties
    keys = ops.subtract(main, earlier_first, counts)
    _, order = main.add("TOPK_V2", [keys, main.constant(np.array(hours, np.int32))], count=2)
    main.tensors[order] = Tensor("int32")
    return counts, order


def zeros(main: Subgraph, like: int, width: int) -> int:
    """Return zeros (stays, width), with the number of stays from `like`, (stays, hours)."""
    first = ops.gather(main, like, main.integers(0), 1)  # (stays, 1)
    return ops.multiply(main, first, main.constant(np.zeros(width, np.float32)))


def loop(main: Subgraph, condition: Subgraph, body: Subgraph, steps: int, read: list[int], states: list[int]) -> int:
    """Add the loop to `main`; return the last layer's h at its end.

    Condition and body get as inputs: the step, `read` (never changed), then h and c of each layer.
    """
    carried = [main.constant(np.zeros((), np.int32)), *read, *states]
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    results = main.add("WHILE", carried, count=len(carried), options=options)
    main.tensors[results[0]] = Tensor("int32")
    for subgraph in (condition, body):
        subgraph.input("int32", ())
        for _ in carried[1:]:
            subgraph.input("float32", ())
    limit = condition.constant(np.array(steps, np.int32))
    condition.outputs = [condition.add("LESS", [condition.inputs[0], limit], "bool")]
    return results[-2]


def next_step(body: Subgraph, step: int) -> int:
    return ops.add(body, step, body.constant(np.array(1, np.int32)), "int32")


def cell(body: Subgraph, z: int, c: int, twice_counts: int) -> tuple[int, int]:
    """Return h and c of an hour.

    Parameters
    ----------
    z
        (stays, 4 * units), the four gates' sums in GATE_ORDER, the cell gate's doubled: tanh(x) = 2 sigmoid(2 x) - 1.
    c
        (stays, units), the cell state before.
    twice_counts
        (stays, 1 or units): 2 where the hour counts; 0 leaves a cell state of 0 as it is, and so h.
    """
    i, f, o, g = ops.split(body, body.add("LOGISTIC", [z]), 4, 1)
    half = body.constant(np.array(0.5, np.float32))
    g = ops.multiply(body, ops.subtract(body, g, half), twice_counts)  # tanh, or 0
    c = ops.add(body, ops.multiply(body, f, c), ops.multiply(body, i, g))  # eq. 2
    return ops.multiply(body, o, body.add("TANH", [c])), c  # eq. 3


def gate_major(weights: np.ndarray) -> np.ndarray:
    """Return (..., 4, units) in GATE_ORDER from (..., 4 * units) in that of GATES, the cell gate's doubled."""
    by_gate = weights.reshape(*weights.shape[:-1], 4, -1)[..., GATE_ORDER, :]
    return by_gate * np.array([1, 1, 1, 2], weights.dtype)[:, None]


def flat(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(len(kernel), -1)
