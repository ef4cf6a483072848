"""The graph of recurrent networks: all layers step inside one loop over the hours that carries only their states.

Comes in: a Network with LSTM or hidden-layer LSTM layers. Goes out: its LiteRT graph, stateless, any number of stays.

What makes it small and fast, each measured (tests/benchmarks/inference_speed.py):

- The first layer's product with x, for all hours at once, is taken out of the loop.
- Keras' masking would need three operations a state and hour. Here the skipped hours of each stay are moved to its
  front, in a sort before the loop; there a factor of 0 holds the cell state at its initial 0, and h = o tanh(0) = 0
  follows by itself. Of the hours that count, none changes its place among the others, so the result is the same.
- Two LSTM layers run as one of their joint width, the second an hour behind the first ("wavefront"): every operation
  of an hour is called once, not twice. The product of the states has a block of zeros, for the first layer does not
  see the second.
- tanh(x) = 2 sigmoid(2 x) - 1, so that one call serves all four gates.
"""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops
from mortcond.deploy.graph import Graph, Subgraph, Tensor
from mortcond.deploy.weights import Weights
from mortcond.models.network import GATES, HiddenLSTMLayer, LSTMLayer, Network

GATE_ORDER = (0, 1, 3, 2)  # input, forget, output, cell: the three sigmoids, then the tanh


@dataclass(frozen=True)
class Prepared:
    """What the loop reads, by hour."""

    projected: int  # (stays, steps, width): the first layer's product with x
    counts: int  # (stays, steps, 1 or units): 1 where the hour counts, 0 where it is skipped


def build(network: Network, weights: Weights) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1)."""
    graph = Graph()
    main, condition, body = graph.subgraph(), graph.subgraph(), graph.subgraph()
    stays = main.input("float32", (-1, network.hours, network.features))
    wavefront = _is_wavefront(network)
    prepared = (_prepare_wavefront if wavefront else _prepare)(main, network, stays, weights)
    units = (
        [sum(layer.units for layer in network.recurrent)] if wavefront else [layer.units for layer in network.recurrent]
    )
    states = _initial_states(main, prepared, units)
    results = _loop(main, condition, body, network.hours + wavefront, prepared, states, units)
    if wavefront:
        _wavefront_step(body, network.recurrent, weights)
        skipped = network.recurrent[0].units  # the states of the first layer, which the dense layer does not see
    else:
        _step(body, network, weights)
        skipped = 0
    main.outputs = [_dense(main, network, results[-2], skipped, weights)]
    graph.name(["stays"], ["risk"])
    return graph


def _is_wavefront(network: Network) -> bool:
    return len(network.recurrent) == 2 and all(isinstance(layer, LSTMLayer) for layer in network.recurrent)


def _dense(main: Subgraph, network: Network, state: int, skipped: int, weights: Weights) -> int:
    for index, layer in enumerate(network.dense):
        kernel = layer.kernel if index else np.pad(layer.kernel, [(skipped, 0), (0, 0)])
        state = weights.linear(main, state, f"dense.{index}", kernel, layer.bias, relu=layer.activation == "relu")
    return main.add("LOGISTIC", [state], shape=(-1, 1))


# Before the loop.


def _skipped_first(main: Subgraph, stays: int, hours: int) -> tuple[int, int]:
    """Return whether each hour counts, (stays, hours) of 0 and 1, and the order that puts the skipped hours first."""
    counts = main.add("SIGN", [ops.reduce(main, "SUM", main.add("ABS", [stays]), 2)])
    earlier_first = main.constant((-np.arange(hours) / hours).astype(np.float32))  # in (-1, 0]: breaks the ties
    keys = ops.subtract(main, earlier_first, counts)
    _, order = main.add("TOPK_V2", [keys, main.constant(np.array(hours, np.int32))], count=2)
    main.tensors[order] = Tensor("int32")
    return counts, order


def _prepare(main: Subgraph, network: Network, stays: int, weights: Weights) -> Prepared:
    counts, order = _skipped_first(main, stays, network.hours)
    projected = ops.gather(main, _project(main, network.recurrent[0], stays, weights), order, 1, batch_dims=1)
    sorted_counts = ops.gather(main, counts, order, 1, batch_dims=1)
    return Prepared(projected, ops.reshape(main, sorted_counts, -1, network.hours, 1))


def _project(main: Subgraph, layer: LSTMLayer | HiddenLSTMLayer, stays: int, weights: Weights) -> int:
    if isinstance(layer, LSTMLayer):
        return weights.linear(main, stays, "recurrent.0.input", _flat(_gate_major(layer.kernel)))
    return weights.linear(main, stays, "recurrent.0.hidden.x", _first_hidden(layer, from_x=True))


def _prepare_wavefront(main: Subgraph, network: Network, stays: int, weights: Weights) -> Prepared:
    """As `_prepare`, for the joint width and one hour more: layer 2 starts an hour later."""
    hours, (first, second) = network.hours, (layer.units for layer in network.recurrent)
    counts, order = _skipped_first(main, stays, hours)
    projected = ops.gather(main, _project(main, network.recurrent[0], stays, weights), order, 1, batch_dims=1)
    by_gate = ops.reshape(main, projected, -1, hours, 4, first)
    projected = ops.reshape(
        main, ops.pad(main, by_gate, [(0, 0), (0, 1), (0, 0), (0, second)]), -1, hours + 1, 4 * (first + second)
    )
    sorted_counts = ops.gather(main, counts, order, 1, batch_dims=1)
    a_layer = [ops.pad(main, sorted_counts, [(0, 0), ends]) for ends in ((0, 1), (1, 0))]  # each (stays, hours + 1)
    by_layer = main.add("PACK", a_layer, options=schema.PackOptionsT(valuesCount=2, axis=2))
    spread = np.repeat(np.eye(2, dtype=np.float32), (first, second), axis=1)  # (2, units)
    to_units = main.constant(np.ascontiguousarray(spread.T))
    return Prepared(projected, ops.linear(main, by_layer, to_units, weights.no_bias(main, first + second)))


def _initial_states(main: Subgraph, prepared: Prepared, units: list[int]) -> list[int]:
    """Return h and c of each layer at the start: zeros (stays, units), with the number of stays from `prepared`."""
    first = ops.gather(main, prepared.counts, main.constant(np.zeros((), np.int32)), 1)
    zeros = [ops.multiply(main, first, main.constant(np.zeros(width, np.float32))) for width in units]
    return [zero for zero in zeros for _ in ("h", "c")]


# The loop.


def _loop(
    main: Subgraph,
    condition: Subgraph,
    body: Subgraph,
    steps: int,
    prepared: Prepared,
    states: list[int],
    units: list[int],
) -> tuple[int, ...]:
    """Add the loop to `main`; give condition and body their inputs, in the order step, projected, counts, states."""
    carried = [main.constant(np.zeros((), np.int32)), prepared.projected, prepared.counts, *states]
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    results = main.add("WHILE", carried, count=len(carried), options=options)
    main.tensors[results[0]] = Tensor("int32")
    for subgraph in (condition, body):
        subgraph.input("int32", ())
        for _ in carried[1:]:
            subgraph.input("float32", ())
    limit = condition.constant(np.array(steps, np.int32))
    condition.outputs = [condition.add("LESS", [condition.inputs[0], limit], "bool")]
    return results


def _wavefront_step(body: Subgraph, layers: tuple[LSTMLayer, LSTMLayer], weights: Weights) -> None:
    """One hour of both layers: the first at this hour, the second at the one before."""
    step, projected, counts, h, c = body.inputs
    x, count = (ops.gather(body, values, step, 1) for values in (projected, counts))
    kernel, bias = _joint_kernel(*layers)
    block = layers[0].units
    z = ops.add(body, weights.linear(body, h, "recurrent.0 and recurrent.1", kernel, bias, block=block), x)
    states = _cell(body, z, sum(layer.units for layer in layers), c, count)
    body.outputs = [_next(body, step), projected, counts, *states]


def _step(body: Subgraph, network: Network, weights: Weights) -> None:
    """One hour of every layer, one after the other."""
    step, projected, counts, *states = body.inputs
    x, count = (ops.gather(body, values, step, 1) for values in (projected, counts))
    new_states = []
    for index, layer in enumerate(network.recurrent):
        h, c = states[2 * index : 2 * index + 2]
        gates = _lstm_gates if isinstance(layer, LSTMLayer) else _hidden_gates
        z = gates(body, index, layer, x, h, weights)
        new_states += _cell(body, z, layer.units, c, count)
        x = new_states[-2]
    body.outputs = [_next(body, step), projected, counts, *new_states]


def _next(body: Subgraph, step: int) -> int:
    return ops.add(body, step, body.constant(np.array(1, np.int32)), "int32")


def _cell(body: Subgraph, z: int, units: int, c: int, count: int) -> tuple[int, int]:
    """Return h and c from the four gates' sums z (stays, 4 * units), in GATE_ORDER, the cell gate's doubled."""
    i, f, o, g = ops.split(body, body.add("LOGISTIC", [z]), 4, 1)
    half, two = (body.constant(np.array(value, np.float32)) for value in (0.5, 2))
    g = ops.multiply(body, ops.subtract(body, g, half), two)  # tanh
    c = ops.add(body, ops.multiply(body, f, c), ops.multiply(body, i, g))  # eq. 2
    c = ops.multiply(body, c, count)
    return ops.multiply(body, o, body.add("TANH", [c])), c  # eq. 3


def _lstm_gates(body: Subgraph, index: int, layer: LSTMLayer, x: int, h: int, weights: Weights) -> int:
    """Return the sums of an LSTM layer's gates; x is its input, for the first layer already multiplied."""
    name, bias = f"recurrent.{index}", _gate_major(layer.bias).reshape(-1)
    if index == 0:
        return ops.add(body, weights.linear(body, h, name, _flat(_gate_major(layer.recurrent_kernel)), bias), x)
    kernel = _flat(_gate_major(np.concatenate([layer.kernel, layer.recurrent_kernel])))
    return weights.linear(body, ops.concatenate(body, [x, h], 1), name, kernel, bias)


def _hidden_gates(body: Subgraph, index: int, layer: HiddenLSTMLayer, x: int, h: int, weights: Weights) -> int:
    """Return the sums of a hidden-layer LSTM's gates; x is its input, for the first layer already multiplied."""
    name = f"recurrent.{index}"
    if index == 0:
        from_h = weights.linear(body, h, f"{name}.hidden.h", _first_hidden(layer, from_x=False))
        sums = body.add("RELU", [ops.add(body, from_h, x)])
    else:
        kernel = np.concatenate([_first_hidden(layer, from_x=True), _first_hidden(layer, from_x=False)])
        sums = weights.linear(body, ops.concatenate(body, [x, h], 1), f"{name}.hidden", kernel, relu=True)
    gates = [(GATES[gate], layer.gates[gate]) for gate in GATE_ORDER]
    hidden = ops.split(body, sums, [gate.hidden[0].shape[1] for _, gate in gates], 1)
    return ops.concatenate(
        body,
        [
            _gate(body, f"{name}.{gate_name}", gate, value, weights)
            for (gate_name, gate), value in zip(gates, hidden, strict=True)
        ],
        1,
    )


def _gate(body: Subgraph, name: str, gate, value: int, weights: Weights) -> int:
    """Return one gate's sums from its first hidden layer's values; those of the cell gate doubled."""
    for depth, matrix in enumerate(gate.hidden[1:], 1):
        value = weights.linear(body, value, f"{name}.hidden.{depth}", matrix, relu=True)
    factor = np.float32(2 if ".cell" in name else 1)
    return weights.linear(body, value, f"{name}.output", factor * gate.output, factor * gate.bias)


# The weights as the graph wants them.


def _gate_major(weights: np.ndarray) -> np.ndarray:
    """Return (..., 4, units) in GATE_ORDER from (..., 4 * units) in that of GATES, the cell gate's doubled."""
    by_gate = weights.reshape(*weights.shape[:-1], 4, -1)[..., GATE_ORDER, :]
    return by_gate * np.array([1, 1, 1, 2], weights.dtype)[:, None]


def _flat(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(len(kernel), -1)


def _joint_kernel(first: LSTMLayer, second: LSTMLayer) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (units, 4 * units) and bias of both layers' states together, the units of layer 1 first."""
    units = first.units + second.units
    kernel = np.zeros((units, 4, units), np.float32)
    kernel[: first.units, :, : first.units] = _gate_major(first.recurrent_kernel)
    kernel[: first.units, :, first.units :] = _gate_major(second.kernel)
    kernel[first.units :, :, first.units :] = _gate_major(second.recurrent_kernel)
    bias = np.concatenate([_gate_major(first.bias), _gate_major(second.bias)], axis=1)  # (4, units)
    return kernel.reshape(units, -1), bias.reshape(-1)


def _first_hidden(layer: HiddenLSTMLayer, from_x: bool) -> np.ndarray:
    """Return the part of all gates' first hidden layers that multiplies x, or h, side by side in GATE_ORDER."""
    rows = slice(None, layer.inputs) if from_x else slice(layer.inputs, None)
    return np.concatenate([layer.gates[gate].hidden[0][rows] for gate in GATE_ORDER], axis=1)
