"""The graph of two LSTM layers as one of their joint width, the second an hour behind the first (a "wavefront").

Comes in: a stack of two LSTM layers (see `stack`). Goes out: h of both. Every operation of an hour is called once, not
once a layer. The product of the states has a block of zeros, for the first layer does not see the second; it is not
stored. Two or three hours make one turn of the loop, since a turn costs as much as several operations.

What the layers read stands in a table of rows, (stays, 2 + hours, gates * units): x's part of the first layer's sums
for every hour, and before them two rows for what is no hour:

- SHUT, far below zero for the input gate: the gate is exactly 0, and so is the cell state that begins with 0, and
  h = o tanh(0). It stands for skipped hours, which come first (see `recurrent`), and for a layer that is not yet begun.
- REST, zeros: what the second layer reads, whose input is the first layer's h.

Which two rows a step reads, one a layer, is worked out before the loop. So nothing has to be moved into its place there
(at 64 stays a tenth of the time), and skipped hours cost the cell nothing.

The second layer needs one step more than there are hours. Where the hours alone make whole turns, the first step comes
before the loop: as both states are 0 it needs no matrix.
"""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import cells, ops, stack
from mortcond.deploy.cells import Gated
from mortcond.deploy.graph import Subgraph, Tensor
from mortcond.deploy.operations import LiteRTOperations, Mask, Value
from mortcond.deploy.weights import Weights
from mortcond.network import Network
from mortcond.stages import Loop

STEPS = stack.STEPS  # hours a turn: for single stays 2 are 3 % slower, 1 is 15 %, 4 are no faster
STEPS_SMALL = stack.STEPS_SMALL  # without the third and the first step of its own a file is 1 KB smaller
SMALL = 6_000  # parameters, up to which that KB counts in an 8-bit file
SHUT, REST, FIRST_HOUR = 0, 1, 2  # rows of the table
FAR_BELOW_ZERO = -1e4  # exp of it is 0 in float32


Pair = tuple[Gated, Gated]


@dataclass(frozen=True)
class Shape:
    """The sizes of the joint layer."""

    name: str  # of both layers together
    hours: int
    units: int  # of the wider layer; the other one is filled up with units that are always 0
    small: bool  # whether bytes count more than time

    @property
    def steps(self) -> int:
        """Return how many hours make a turn."""
        return STEPS_SMALL if self.small else STEPS

    @property
    def opening(self) -> int:
        """Return how many steps come before the loop, 0 or 1."""
        return int(not self.small and self.hours % self.steps == 0)

    @property
    def turns(self) -> int:
        return -(-(self.hours + 1 - self.opening) // self.steps)

    @property
    def idle(self) -> int:
        """Return how many steps before the first hour fill up the turns."""
        return self.opening + self.turns * self.steps - self.hours - 1


def fits(network: Network, loop: Loop) -> bool:
    """Say whether a loop is a stack of two LSTM layers."""
    return len(loop.nodes) == 2 and stack.fits(network, loop) and _alike(loop)


def _alike(loop: Loop) -> bool:
    layers = [Gated.of(node.layer) for node in loop.nodes]
    return all(layer.plain for layer in layers) and len({layer.slope for layer in layers}) == 1


def joint_name(loop: Loop) -> str:
    """Return the name of the matrix of both layers."""
    return " and ".join(node.name for node in loop.nodes)


def add(operations: LiteRTOperations, network: Network, loop: Loop, x: Value, mask: Mask | None) -> Value:
    """Add both layers to the graph; return the last h, (stays, 1, layers, units), of which the second's is its own."""
    main, weights = operations.graph, operations.weights
    condition, body = main.graph.subgraph(), main.graph.subgraph()
    evenly = weights.mode in ("dynamic", "int8")
    layers = first, second = tuple(Gated.of(node.layer, evenly) for node in loop.nodes)
    small = weights.mode == "int8" and network.parameters <= SMALL
    shape = Shape(joint_name(loop), operations.length, max(first.units, second.units), small)
    stays, sums, counts = stack.hours_of(operations, loop, x, mask)
    nothing = ops.reshape(main, cells.zeros(main, sums, shape.units), -1, 1, 1, shape.units)
    product = _product(main, shape, f"{loop.nodes[0].name}.input", first, stays, weights)
    table = _table(main, shape, product, nothing)
    rows = _rows(main, shape, counts())  # (stays, steps in all, layers)
    if shape.opening:
        now, rows = ops.split(main, rows, [shape.opening, shape.turns * shape.steps], 1)
        states = _first_step(main, shape, layers, weights, ops.gather(main, table, now, 1, batch_dims=1))
    else:
        states = [ops.add(main, nothing, main.constant(np.zeros((2, 1), np.float32)))] * 2  # (stays, 1, layers, units)
    by_turn = ops.reshape(main, rows, -1, shape.turns, shape.steps, 2, dtype="int32")
    h, _ = cells.loop(main, condition, body, shape.turns, [by_turn, table], states)
    _turn(body, shape, layers, weights)
    # What follows reads the states of layer 2 alone: its weights for those of layer 1 are zeros.
    return Value(operations, h, second.units, None, 4, (shape.units, shape.units - second.units))


def _product(main: Subgraph, shape: Shape, name: str, layer: Gated, stays: int, weights: Weights) -> int:
    """Return x's part of the first layer's sums, (stays, hours, gates * units)."""
    product = weights.of_each_hour(main, stays, name, cells.flat(cells.gate_major(layer.kernel)))
    if layer.units == shape.units:
        return product
    by_gate = ops.reshape(main, product, -1, shape.hours, 4, layer.units)
    filled = ops.pad(main, by_gate, [(0, 0), (0, 0), (0, 0), (0, shape.units - layer.units)])
    return ops.reshape(main, filled, -1, shape.hours, 4 * shape.units)


def _table(main: Subgraph, shape: Shape, product: int, nothing: int) -> int:
    """Return (stays, 2 + hours, gates * units): what a layer may read."""
    special = np.zeros((2, 4, 1), np.float32)  # (rows, gates, any unit)
    special[SHUT, 0] = FAR_BELOW_ZERO
    special = ops.reshape(main, ops.add(main, nothing, main.constant(special)), -1, 2, 4 * shape.units)
    return ops.concatenate(main, [special, product], 1)


def _rows(main: Subgraph, shape: Shape, counts: int) -> int:
    """Return which row of the table each layer reads at each step, (stays, steps in all, layers) int32.

    The hours are sorted by a key that is higher for skipped ones, then for earlier ones, and from which their row
    follows: SHUT for all that were skipped.
    """
    apart = shape.hours + FIRST_HOUR  # more than hours are apart
    hour = main.constant(-np.arange(shape.hours, dtype=np.float32))
    keys = ops.subtract(main, hour, ops.multiply(main, counts, main.constant(np.array(apart, np.float32))))
    keys, order = main.add("TOPK_V2", [keys, main.constant(np.array(shape.hours, np.int32))], count=2)
    main.tensors[order] = Tensor("int32")
    first = ops.subtract(main, main.constant(np.array(FIRST_HOUR - apart, np.float32)), keys, relu=True)
    second = main.add("SIGN", [first])  # SHUT or REST, an hour later
    ends = [(shape.idle, 1), (shape.idle + 1, 0)]
    both = [ops.pad(main, rows, [(0, 0), end]) for rows, end in zip((first, second), ends, strict=True)]
    rows = main.add("PACK", both, options=schema.PackOptionsT(valuesCount=2, axis=2))
    return main.add("CAST", [rows], "int32")


def _first_step(main: Subgraph, shape: Shape, layers: Pair, weights: Weights, x: int) -> tuple[int, int]:
    """Return h and c, (stays, 1, layers, units), after a step from states of 0 that reads x."""
    bias = weights.bias(main, shape.name, *_joint_kernel(shape, *layers))
    z = ops.add(main, x, ops.reshape(main, bias, 2, 4 * shape.units))
    i, _, o, g = cells.activated(main, z, 3, layers[0])
    c = ops.multiply(main, i, g)
    return ops.multiply(main, o, main.add("TANH", [c])), c


def _turn(body: Subgraph, shape: Shape, layers: Pair, weights: Weights) -> None:
    """Some hours of both layers: the first at its hour, the second at the one before."""
    turn, rows, table, h, c = body.inputs
    now = ops.gather(body, rows, turn, 1, dtype="int32")  # (stays, steps, layers)
    read = ops.gather(body, table, now, 1, batch_dims=1)  # (stays, steps, layers, gates * units)
    for x in ops.split(body, read, shape.steps, 1):
        h, c = _step(body, shape, layers, weights, x, h, c)
    body.outputs = [cells.next_step(body, turn), rows, table, h, c]


def _step(graph: Subgraph, shape: Shape, layers: Pair, weights: Weights, x: int, h: int, c: int):
    """Return h and c, (stays, 1, layers, units), after a step that reads x, (stays, 1, layers, gates * units)."""
    product = weights.linear(graph, h, shape.name, *_joint_kernel(shape, *layers), block=shape.units)
    z = ops.add(graph, ops.reshape(graph, product, -1, 1, 2, 4 * shape.units), x)
    return cells.new_state(graph, *cells.activated(graph, z, 3, layers[0]), c)


def join(loop: Loop, moments: dict[str, np.ndarray]) -> None:
    """Put the moments of both layers in the order of the joint layer's inputs: layers, then units."""
    first, second = (node.layer.units for node in loop.nodes)
    units = max(first, second)
    where = np.concatenate([np.arange(first), units + np.arange(second)])
    joint = np.zeros((2 * units, 2 * units))
    joint[np.ix_(where, where)] = moments.pop(loop.nodes[1].name)  # of layer 1's h and layer 2's, an hour behind
    moments.pop(loop.nodes[0].name)  # the same but for the last hour
    moments[joint_name(loop)] = joint


def _joint_kernel(shape: Shape, first: Gated, second: Gated) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (layers * units, layers * gates * units) and bias of both layers' states together."""
    kernel = np.zeros((2, shape.units, 2, 4, shape.units), np.float32)  # from layer and unit to layer, gate and unit
    bias = np.zeros((2, 4, shape.units), np.float32)
    kernel[0, : first.units, 0, :, : first.units] = cells.gate_major(first.recurrent_kernel)
    kernel[0, : first.units, 1, :, : second.units] = cells.gate_major(second.kernel)
    kernel[1, : second.units, 1, :, : second.units] = cells.gate_major(second.recurrent_kernel)
    bias[0, :, : first.units], bias[1, :, : second.units] = cells.gate_major(first.bias), cells.gate_major(second.bias)
    return kernel.reshape(2 * shape.units, -1), bias.reshape(-1)
