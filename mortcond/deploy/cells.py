"""What every loop over the hours is made of: the order of the hours, the cell, the loop itself.

Comes in: a graph under construction. Goes out: its tensors.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops
from mortcond.deploy.graph import Subgraph, Tensor
from mortcond.layers import Layer
from mortcond.layers.base import Gate

CELL = 2  # of the gates
GATE_ORDER = (0, 1, 3, 2)  # input, forget, output, cell: the three sigmoids, then the tanh


@dataclass(frozen=True)
class Gated:
    """A layer as the four gates of an LSTM, input, forget, cell and output."""

    gates: tuple[Gate, ...]
    slope: float | None = None  # of hard sigmoids, which are then clipped sums; None: sigmoids
    stretch: float = 1.0  # by which the sums of the cell gate are still to be multiplied

    @classmethod
    def of(cls, layer: Layer, evenly: bool = False) -> "Gated | None":
        """Return a layer's gates; None where it has none.

        evenly: with the slope of hard sigmoids on the cell gate too, so that all share one scale in 8 bits.
        """
        gates = layer.gates(layer.arrays())
        if gates is not None:
            return cls(tuple(gates))
        clipped = layer.clipped_gates(layer.arrays())
        if clipped is None:
            return None
        gates, slope = clipped
        if not evenly:
            return cls(tuple(gates), slope)
        cell = gates[CELL]
        gates[CELL] = Gate(cell.kernel * slope, cell.recurrent_kernel * slope, (), cell.bias * slope)
        return cls(tuple(gates), slope, 1 / slope)

    @property
    def plain(self) -> bool:
        """Say whether it is an LSTM without hidden layers in its gates."""
        return not self.gates[0].chain

    @property
    def units(self) -> int:
        return len(self.gates[0].bias)

    @cached_property
    def kernel(self) -> np.ndarray:
        """Return what multiplies x, gates side by side in the order of GATES."""
        return np.concatenate([gate.kernel for gate in self.gates], axis=1)

    @cached_property
    def recurrent_kernel(self) -> np.ndarray:
        return np.concatenate([gate.recurrent_kernel for gate in self.gates], axis=1)

    @cached_property
    def bias(self) -> np.ndarray:
        return np.concatenate([gate.bias for gate in self.gates])


def magnitudes(main: Subgraph, stays: int) -> int:
    """Return the sum of each hour's absolute values, (stays, hours)."""
    return ops.reduce(main, "SUM", main.add("ABS", [stays]), 2)


def hours_that_count(main: Subgraph, sums: int) -> int:
    """Return (stays, hours) of 0 and 1: whether any feature of the hour is other than 0 (Keras' Masking).

    By way of bool and not by SIGN, whose NaN would be no hour and no row of a table.
    """
    return main.add("CAST", [main.add("CAST", [sums], "bool")])


def every_hour(main: Subgraph, sums: int) -> int:
    """Return ones (stays, hours): no hour is skipped."""
    nothing = ops.multiply(main, sums, main.constant(np.zeros((), np.float32)))
    return ops.add(main, nothing, main.constant(np.ones((), np.float32)))


def backwards(main: Subgraph, x: int) -> int:
    """Return x, (stays, hours, ...), with its hours from the last to the first."""
    return main.add("REVERSE_V2", [x, main.integers(1)])


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
) -> tuple[int, ...]:
    """Add the loop to `main`; return the states at its end.

    Condition and body get as inputs: the step, `read` (never changed), then the states.
    """
    carried = [main.constant(np.zeros((), np.int32)), *read, *states]
    options = schema.WhileOptionsT(condSubgraphIndex=condition.number, bodySubgraphIndex=body.number)
    results = main.add("WHILE", carried, count=len(carried), options=options)
    for source, result in zip(carried, results, strict=True):
        dtype = main.tensors[source].dtype
        main.tensors[result] = Tensor(dtype)
        for subgraph in (condition, body):
            subgraph.input(dtype, ())
    limit = condition.constant(np.array(steps, np.int32))
    condition.outputs = [condition.add("LESS", [condition.inputs[0], limit], "bool")]
    return results[1 + len(read) :]


def next_step(body: Subgraph, step: int) -> int:
    return ops.add(body, step, body.constant(np.array(1, np.int32)), "int32")


def activated(body: Subgraph, z: int, axis: int, layer: Gated) -> list[int]:
    """Return input, forget, output and cell gate from their sums z, side by side along an axis in GATE_ORDER."""
    i, f, o, _ = ops.split(body, body.add("LOGISTIC" if layer.slope is None else "RELU_0_TO_1", [z]), 4, axis)
    cell = ops.split(body, z, 4, axis)[3]
    if layer.stretch != 1:
        cell = ops.multiply(body, cell, body.constant(np.array(layer.stretch, np.float32)))
    return [i, f, o, body.add("TANH", [cell])]


def new_state(body: Subgraph, i: int, f: int, o: int, g: int, c: int) -> tuple[int, int]:
    """Return h and c of an hour from its gates and the cell state before, all of one shape."""
    c = ops.add(body, ops.multiply(body, f, c), ops.multiply(body, i, g))  # eq. 2
    return ops.multiply(body, o, body.add("TANH", [c])), c  # eq. 3


def gate_major(weights: np.ndarray) -> np.ndarray:
    """Return (..., 4, units) in GATE_ORDER from (..., 4 * units) in that of GATES."""
    return weights.reshape(*weights.shape[:-1], 4, -1)[..., GATE_ORDER, :]


def flat(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(len(kernel), -1)
