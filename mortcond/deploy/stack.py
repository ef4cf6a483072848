"""A stack of LSTM or hidden-layer LSTM layers as LiteRT operations: one loop over the hours that carries only states.

Comes in: a loop of a network in which each layer reads the one below it, and what comes before it in the graph. Goes
out: the last layer's h. It is one of the forms that a loop may take, for the commonest networks; see `loops`.

What makes it small and fast, each measured (tests/benchmarks/inference_speed.py):

- The first layer's product with x, for all hours at once, is taken out of the loop.
- Keras' masking would need three operations a state and hour. Here the skipped hours of each stay are moved to its
  front, in a sort before the loop; there the cell gate is multiplied by 0, so that the cell state keeps its initial 0,
  and h = o tanh(0) = 0 follows by itself. The hours that count keep their order, so the result is the same.
- Two or three hours make one turn of the loop.
- Two LSTM layers run as one: see `wavefront`.
- The four gates of a hidden-layer LSTM multiply as the blocks of one matrix where that is faster: where they are small,
  where they differ in width (cutting what they read apart again would be slow), and in `dynamic`, where each product
  rounds what it reads.
"""

import numpy as np

from mortcond.deploy import cells, ops
from mortcond.deploy.cells import Gated
from mortcond.deploy.graph import Subgraph
from mortcond.deploy.operations import LiteRTOperations, Mask, Value
from mortcond.deploy.weights import Weights
from mortcond.layers.base import Gate
from mortcond.layers.lstm import GATES
from mortcond.network import Network
from mortcond.stages import Loop

SMALL_GATE = 64  # weights from hidden neurons to units, up to which the zeros of one matrix cost less than its calls
STEPS, STEPS_SMALL = 3, 2  # hours a turn, see `wavefront`


def fits(network: Network, loop: Loop) -> bool:
    """Say whether a loop is a stack: layers of gates, each upon the one before, that skip the same hours."""
    if any(not node.layer.state_names or Gated.of(node.layer) is None for node in loop.nodes):
        return False
    first, *others = loop.nodes
    below = dict(zip((node.name for node in others), loop.nodes, strict=False))
    stacked = all(node.inputs[0] == below[node.name].name for node in others)
    alike = len({(node.inputs[1:], node.layer.backwards) for node in loop.nodes}) == 1
    last_only = not network.over_hours[loop.nodes[-1].name] and not loop.stored
    return stacked and alike and last_only and first.inputs[0] not in {node.name for node in loop.nodes}


def add(operations: LiteRTOperations, network: Network, loop: Loop, x: Value, mask: Mask | None) -> Value:
    """Add a stack to the graph; return its last h, (stays, units).

    Parameters
    ----------
    x
        What the first layer reads, (stays, hours, inputs).
    mask
        Which hours count; None: all.
    """
    main, weights = operations.graph, operations.weights
    condition, body = main.graph.subgraph(), main.graph.subgraph()
    evenly = weights.mode in ("dynamic", "int8")
    layers = {node.name: Gated.of(node.layer, evenly) for node in loop.nodes}
    stays, sums, counts = hours_of(operations, loop, x, mask)
    counts = counts()
    hours = operations.length
    order = cells.skipped_first(main, counts, hours)
    counts = ops.gather(main, counts, order, 1, batch_dims=1)
    product, width = _product(main, loop.nodes[0].name, layers[loop.nodes[0].name], stays, weights)
    product = ops.gather(main, product, order, 1, batch_dims=1)
    states = [cells.zeros(main, sums, layer.units) for layer in layers.values() for _ in ("h", "c")]
    steps = hours_a_turn(hours, weights.mode)
    turns = hours // steps
    by_turn = [ops.reshape(main, values, -1, turns, steps * width) for values, width in ((product, width), (counts, 1))]
    *_, state, _ = cells.loop(main, condition, body, turns, by_turn, states)
    _turn(body, layers, weights, steps)
    return operations.value(state, layers[loop.nodes[-1].name].units)


def hours_of(operations: LiteRTOperations, loop: Loop, x: Value, mask: Mask | None):
    """Return the stays, the sums of each hour's magnitudes, and what gives which hours count, in the loop's order."""
    main, tensor = operations.graph, operations.plain(operations.stays_first(x)).tensor
    sums = mask.sums if mask is not None else cells.magnitudes(main, tensor)
    if loop.nodes[0].layer.backwards:
        tensor, sums = cells.backwards(main, tensor), cells.backwards(main, sums)
    counted = cells.every_hour if mask is None else cells.hours_that_count
    return tensor, sums, lambda: counted(main, sums)


def hours_a_turn(hours: int, mode: str) -> int:
    """Return how many hours make a turn: as many as for two layers in one, or fewer, so that they make whole turns."""
    most = STEPS_SMALL if mode == "int8" else STEPS
    return max(steps for steps in range(1, most + 1) if hours % steps == 0)


def _product(main: Subgraph, name: str, layer: Gated, stays: int, weights: Weights) -> tuple[int, int]:
    """Return x's part of the first layer's sums, (stays, hours, width), and their width."""
    if layer.plain:
        part, kernel = "input", cells.flat(cells.gate_major(layer.kernel))
    else:
        part, kernel = "hidden.x", _first_hidden(layer, from_x=True)
    return weights.of_each_hour(main, stays, f"{name}.{part}", kernel), kernel.shape[1]


def _turn(body: Subgraph, layers: dict[str, Gated], weights: Weights, steps: int) -> None:
    """Some hours, one after the other."""
    turn, products, counts, *states = body.inputs
    by_hour = [ops.split(body, ops.gather(body, values, turn, 1), steps, 1) for values in (products, counts)]
    for x, count in zip(*by_hour, strict=True):
        states = _step(body, layers, weights, x, count, states)
    body.outputs = [cells.next_step(body, turn), products, counts, *states]


def _step(
    body: Subgraph, layers: dict[str, Gated], weights: Weights, x: int, count: int, states: list[int]
) -> list[int]:
    """Return h and c of every layer after an hour, from those before; the layers one after the other."""
    new_states = []
    for index, (name, layer) in enumerate(layers.items()):
        h, c = states[2 * index : 2 * index + 2]
        gates = _lstm_gates if layer.plain else _hidden_gates
        i, f, o, g = gates(body, name, index == 0, layer, x, h, weights)
        new_states += cells.new_state(body, i, f, o, ops.multiply(body, g, count), c)
        x = new_states[-2]
    return new_states


def _lstm_gates(body: Subgraph, name: str, first: bool, layer: Gated, x: int, h: int, weights: Weights) -> list[int]:
    """Return an LSTM layer's gates in GATE_ORDER; x is its input, for the first layer already multiplied."""
    bias = cells.gate_major(layer.bias).reshape(-1)
    if first:
        product = weights.linear(body, h, name, cells.flat(cells.gate_major(layer.recurrent_kernel)), bias)
        return cells.activated(body, ops.add(body, product, x), 1, layer)
    kernel = cells.flat(cells.gate_major(np.concatenate([layer.kernel, layer.recurrent_kernel])))
    return cells.activated(body, weights.linear(body, ops.concatenate(body, [x, h], 1), name, kernel, bias), 1, layer)


def _hidden_gates(body: Subgraph, name: str, first: bool, layer: Gated, x: int, h: int, weights: Weights) -> list[int]:
    """Return a hidden-layer LSTM's gates in GATE_ORDER; x is its input, for the first layer already multiplied."""
    if first:
        from_h = weights.linear(body, h, f"{name}.hidden.h", _first_hidden(layer, from_x=False))
        sums = body.add("RELU", [ops.add(body, from_h, x)])
    else:
        kernel = np.concatenate([_first_hidden(layer, from_x=True), _first_hidden(layer, from_x=False)])
        sums = weights.linear(body, ops.concatenate(body, [x, h], 1), f"{name}.hidden", kernel, relu=True)
    gates = {f"{name}.{GATES[gate]}": layer.gates[gate] for gate in cells.GATE_ORDER}
    if _better_as_one(layer, weights.mode):
        return _gates_as_one(body, name, layer, gates, sums, weights)
    hidden = ops.split(body, sums, [gate.kernel.shape[1] for gate in gates.values()], 1)
    return [_gate(body, *own, value, weights) for own, value in zip(gates.items(), hidden, strict=True)]


def _better_as_one(layer: Gated, mode: str) -> bool:
    widths = {tuple(matrix.shape[0] for matrix in gate.chain) for gate in layer.gates}
    return mode == "dynamic" or len(widths) > 1 or layer.units * widths.pop()[-1] <= SMALL_GATE


def _gates_as_one(
    body: Subgraph, name: str, layer: Gated, gates: dict[str, Gate], value: int, weights: Weights
) -> list[int]:
    """Return all gates from the values of their first hidden layers side by side, (stays, hidden units of all)."""

    def product(
        own: str, value: int, matrices: list[np.ndarray], bias: np.ndarray | None = None, relu: bool = False
    ) -> int:
        known = [weights.moments.get(f"{gate}.{own}") for gate in gates]
        if known[0] is not None:
            weights.moments[f"{name}.{own}"] = _blocks(known)
        widths = {len(matrix) for matrix in matrices}
        block = widths.pop() if len(widths) == 1 else 1
        return weights.linear(body, value, f"{name}.{own}", _blocks(matrices), bias, relu, block)

    each = list(gates.values())
    for depth in range(1, len(each[0].chain)):
        value = product(f"hidden.{depth}", value, [gate.chain[depth - 1] for gate in each], relu=True)
    sums = product("output", value, [gate.chain[-1] for gate in each], np.concatenate([gate.bias for gate in each]))
    return cells.activated(body, sums, 1, layer)


def _gate(body: Subgraph, name: str, gate: Gate, value: int, weights: Weights) -> int:
    """Return one gate from its first hidden layer's values."""
    for depth, matrix in enumerate(gate.chain[:-1], 1):
        value = weights.linear(body, value, f"{name}.hidden.{depth}", matrix, relu=True)
    sums = weights.linear(body, value, f"{name}.output", gate.chain[-1], gate.bias)
    return body.add("TANH" if name.endswith(".cell") else "LOGISTIC", [sums])


# The weights as the graph wants them.


def _blocks(matrices: list[np.ndarray]) -> np.ndarray:
    """Return matrices as the blocks along the diagonal of one, zeros elsewhere."""
    whole = np.zeros(np.sum([matrix.shape for matrix in matrices], axis=0), matrices[0].dtype)
    row = column = 0
    for matrix in matrices:
        whole[row : row + matrix.shape[0], column : column + matrix.shape[1]] = matrix
        row, column = row + matrix.shape[0], column + matrix.shape[1]
    return whole


def _first_hidden(layer: Gated, from_x: bool) -> np.ndarray:
    """Return the part of all gates' first hidden layers that multiplies x, or h, side by side in GATE_ORDER."""
    part = "kernel" if from_x else "recurrent_kernel"
    return np.concatenate([getattr(layer.gates[gate], part) for gate in cells.GATE_ORDER], axis=1)
