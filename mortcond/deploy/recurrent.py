"""The graph of recurrent networks: all layers step inside one loop over the hours that carries only their states.

Comes in: a Network with LSTM or hidden-layer LSTM layers. Goes out: its LiteRT graph, stateless, any number of stays.

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

from mortcond.deploy import cells, ops, wavefront
from mortcond.deploy.graph import Graph, Subgraph
from mortcond.deploy.weights import Weights
from mortcond.models.network import GATES, Gate, HiddenLSTMLayer, LSTMLayer, Network

SMALL_GATE = 64  # weights from hidden neurons to units, up to which the zeros of one matrix cost less than its calls


def build(network: Network, weights: Weights) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1)."""
    if wavefront.fits(network):
        return wavefront.build(network, weights)
    graph = Graph()
    main, condition, body = graph.subgraph(), graph.subgraph(), graph.subgraph()
    stays = main.input("float32", (-1, network.hours, network.features))
    sums = cells.magnitudes(main, stays)
    counts = cells.hours_that_count(main, sums)
    order = cells.skipped_first(main, counts, network.hours)
    counts = ops.gather(main, counts, order, 1, batch_dims=1)
    product, width = _product(main, network.recurrent[0], stays, weights)
    product = ops.gather(main, product, order, 1, batch_dims=1)
    states = [cells.zeros(main, sums, layer.units) for layer in network.recurrent for _ in ("h", "c")]
    steps = _steps(network.hours, weights.mode)
    turns = network.hours // steps
    by_turn = [ops.reshape(main, values, -1, turns, steps * width) for values, width in ((product, width), (counts, 1))]
    state, _ = cells.loop(main, condition, body, turns, by_turn, states)
    _turn(body, network, weights, steps)
    main.outputs = [weights.never_from_nan(main, weights.dense(main, network, state), sums)]
    graph.name(["stays"], ["risk"])
    return graph


def _steps(hours: int, mode: str) -> int:
    """Return how many hours make a turn: as many as for two layers in one, or fewer, so that they make whole turns."""
    most = wavefront.STEPS_SMALL if mode == "int8" else wavefront.STEPS
    return max(steps for steps in range(1, most + 1) if hours % steps == 0)


def _product(main: Subgraph, layer: LSTMLayer | HiddenLSTMLayer, stays: int, weights: Weights) -> tuple[int, int]:
    """Return x's part of the first layer's sums, (stays, hours, width), and their width."""
    if isinstance(layer, LSTMLayer):
        name, kernel = "recurrent.0.input", cells.flat(cells.gate_major(layer.kernel))
    else:
        name, kernel = "recurrent.0.hidden.x", _first_hidden(layer, from_x=True)
    return weights.of_each_hour(main, stays, name, kernel), kernel.shape[1]


def _turn(body: Subgraph, network: Network, weights: Weights, steps: int) -> None:
    """Some hours, one after the other."""
    turn, products, counts, *states = body.inputs
    by_hour = [ops.split(body, ops.gather(body, values, turn, 1), steps, 1) for values in (products, counts)]
    for x, count in zip(*by_hour, strict=True):
        states = _step(body, network, weights, x, count, states)
    body.outputs = [cells.next_step(body, turn), products, counts, *states]


def _step(body: Subgraph, network: Network, weights: Weights, x: int, count: int, states: list[int]) -> list[int]:
    """Return h and c of every layer after an hour, from those before; the layers one after the other."""
    new_states = []
    for index, layer in enumerate(network.recurrent):
        h, c = states[2 * index : 2 * index + 2]
        gates = _lstm_gates if isinstance(layer, LSTMLayer) else _hidden_gates
        i, f, o, g = gates(body, index, layer, x, h, weights)
        new_states += cells.new_state(body, i, f, o, ops.multiply(body, g, count), c)
        x = new_states[-2]
    return new_states


def _lstm_gates(body: Subgraph, index: int, layer: LSTMLayer, x: int, h: int, weights: Weights) -> list[int]:
    """Return an LSTM layer's gates in GATE_ORDER; x is its input, for the first layer already multiplied."""
    name, bias = f"recurrent.{index}", cells.gate_major(layer.bias).reshape(-1)
    if index == 0:
        product = weights.linear(body, h, name, cells.flat(cells.gate_major(layer.recurrent_kernel)), bias)
        return cells.activated(body, ops.add(body, product, x), 1)
    kernel = cells.flat(cells.gate_major(np.concatenate([layer.kernel, layer.recurrent_kernel])))
    return cells.activated(body, weights.linear(body, ops.concatenate(body, [x, h], 1), name, kernel, bias), 1)


def _hidden_gates(body: Subgraph, index: int, layer: HiddenLSTMLayer, x: int, h: int, weights: Weights) -> list[int]:
    """Return a hidden-layer LSTM's gates in GATE_ORDER; x is its input, for the first layer already multiplied."""
    name = f"recurrent.{index}"
    if index == 0:
        from_h = weights.linear(body, h, f"{name}.hidden.h", _first_hidden(layer, from_x=False))
        sums = body.add("RELU", [ops.add(body, from_h, x)])
    else:
        kernel = np.concatenate([_first_hidden(layer, from_x=True), _first_hidden(layer, from_x=False)])
        sums = weights.linear(body, ops.concatenate(body, [x, h], 1), f"{name}.hidden", kernel, relu=True)
    gates = {f"{name}.{GATES[gate]}": layer.gates[gate] for gate in cells.GATE_ORDER}
    if _better_as_one(layer, weights.mode):
        return _gates_as_one(body, name, gates, sums, weights)
    hidden = ops.split(body, sums, [gate.hidden[0].shape[1] for gate in gates.values()], 1)
    return [_gate(body, *own, value, weights) for own, value in zip(gates.items(), hidden, strict=True)]


def _better_as_one(layer: HiddenLSTMLayer, mode: str) -> bool:
    widths = {tuple(hidden.shape[1] for hidden in gate.hidden) for gate in layer.gates}
    return mode == "dynamic" or len(widths) > 1 or layer.units * widths.pop()[-1] <= SMALL_GATE


def _gates_as_one(body: Subgraph, name: str, gates: dict[str, Gate], value: int, weights: Weights) -> list[int]:
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
    for depth in range(1, len(each[0].hidden)):
        value = product(f"hidden.{depth}", value, [gate.hidden[depth] for gate in each], relu=True)
    sums = product("output", value, [gate.output for gate in each], np.concatenate([gate.bias for gate in each]))
    return cells.activated(body, sums, 1)


def _gate(body: Subgraph, name: str, gate: Gate, value: int, weights: Weights) -> int:
    """Return one gate from its first hidden layer's values."""
    for depth, matrix in enumerate(gate.hidden[1:], 1):
        value = weights.linear(body, value, f"{name}.hidden.{depth}", matrix, relu=True)
    sums = weights.linear(body, value, f"{name}.output", gate.output, gate.bias)
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


def _first_hidden(layer: HiddenLSTMLayer, from_x: bool) -> np.ndarray:
    """Return the part of all gates' first hidden layers that multiplies x, or h, side by side in GATE_ORDER."""
    rows = slice(None, layer.inputs) if from_x else slice(layer.inputs, None)
    return np.concatenate([layer.gates[gate].hidden[0][rows] for gate in cells.GATE_ORDER], axis=1)
