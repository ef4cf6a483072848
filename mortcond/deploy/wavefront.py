"""The graph of two LSTM layers as one of their joint width, the second an hour behind the first (a "wavefront").

Comes in: a Network with two LSTM layers. Goes out: its LiteRT graph. Every operation of an hour is called once, not
once a layer. The product of the states has a block of zeros, for the first layer does not see the second; it is not
stored. STEPS hours make one turn of the loop, since a turn costs as much as three operations.
"""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops
from mortcond.deploy.cells import cell, flat, gate_major, loop, next_step, skipped_first, zeros
from mortcond.deploy.graph import Graph, Subgraph
from mortcond.deploy.weights import Weights
from mortcond.models.network import LSTMLayer, Network

STEPS = 2  # measured: 1 is 10 % slower for single stays, 3 is 3 % faster and 0.5 KB larger


@dataclass(frozen=True)
class Shape:
    """The sizes of the joint layer."""

    hours: int
    first: int  # units of layer 1
    second: int  # units of layer 2

    @property
    def units(self) -> int:
        return self.first + self.second

    @property
    def turns(self) -> int:
        return -(-(self.hours + 1) // STEPS)

    @property
    def idle(self) -> int:
        """Steps before the first hour, to fill up the turns."""
        return self.turns * STEPS - self.hours - 1


def fits(network: Network) -> bool:
    """Say whether a network is one of two LSTM layers."""
    return len(network.recurrent) == 2 and all(isinstance(layer, LSTMLayer) for layer in network.recurrent)


def build(network: Network, weights: Weights) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1)."""
    graph = Graph()
    main, condition, body = graph.subgraph(), graph.subgraph(), graph.subgraph()
    stays = main.input("float32", (-1, network.hours, network.features))
    shape = Shape(network.hours, *(layer.units for layer in network.recurrent))
    counts, order = skipped_first(main, stays, network.hours)
    counts = ops.gather(main, counts, order, 1, batch_dims=1)
    state = zeros(main, counts, shape.units)
    kernel = flat(gate_major(network.recurrent[0].kernel))
    product = weights.linear(main, stays, "recurrent.0.input", kernel, by_row=True)
    read = [
        _by_turn(main, shape, _joint_product(main, shape, ops.gather(main, product, order, 1, batch_dims=1)), 4),
        _by_turn(main, shape, _joint_counts(main, shape, counts, weights), 1),
    ]
    state = loop(main, condition, body, shape.turns, read, [state, state])
    _turn(body, network.recurrent, weights)
    # The dense layer sees the states of layer 2 alone: its weights for those of layer 1 are zeros.
    kernel, *others = (layer.kernel for layer in network.dense)
    main.outputs = [weights.dense(main, network, [np.pad(kernel, [(shape.first, 0), (0, 0)]), *others], state)]
    graph.name(["stays"], ["risk"])
    return graph


def _joint_product(main: Subgraph, shape: Shape, product: int) -> int:
    """Return x's part of the gates' sums, with zeros for layer 2 and for the steps that layer 1 is idle."""
    by_gate = ops.reshape(main, product, -1, shape.hours, 4, shape.first)
    return ops.pad(main, by_gate, [(0, 0), (shape.idle, 1), (0, 0), (0, shape.second)])


def _joint_counts(main: Subgraph, shape: Shape, counts: int, weights: Weights) -> int:
    """Return (stays, steps, units): 2, or 0 where a layer is idle: in hours that do not count and before its first."""
    ends = [(shape.idle, 1), (shape.idle + 1, 0)]
    by_layer = [ops.pad(main, counts, [(0, 0), end]) for end in ends]  # each (stays, steps)
    by_layer = main.add("PACK", by_layer, options=schema.PackOptionsT(valuesCount=2, axis=2))
    spread = 2 * np.repeat(np.eye(2, dtype=np.float32), (shape.first, shape.second), axis=1)  # (2, units)
    to_units = main.constant(np.ascontiguousarray(spread.T))
    return ops.linear(main, by_layer, to_units, weights.no_bias(main, shape.units))


def _by_turn(main: Subgraph, shape: Shape, values: int, each: int) -> int:
    """Return (stays, turns, STEPS * each * units)."""
    return ops.reshape(main, values, -1, shape.turns, STEPS * each * shape.units)


def _turn(body: Subgraph, layers: tuple[LSTMLayer, LSTMLayer], weights: Weights) -> None:
    """STEPS hours of both layers: the first at its hour, the second at the one before."""
    turn, x, counts, h, c = body.inputs
    kernel, bias = _joint_kernel(*layers)
    steps = [ops.split(body, ops.gather(body, values, turn, 1), STEPS, 1) for values in (x, counts)]
    for x_now, count in zip(*steps, strict=True):
        product = weights.linear(body, h, "recurrent.0 and recurrent.1", kernel, bias, block=layers[0].units)
        h, c = cell(body, ops.add(body, product, x_now), c, count)
    body.outputs = [next_step(body, turn), x, counts, h, c]


def _joint_kernel(first: LSTMLayer, second: LSTMLayer) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (units, 4 * units) and bias of both layers' states together, the units of layer 1 first."""
    units = first.units + second.units
    kernel = np.zeros((units, 4, units), np.float32)
    kernel[: first.units, :, : first.units] = gate_major(first.recurrent_kernel)
    kernel[: first.units, :, first.units :] = gate_major(second.kernel)
    kernel[first.units :, :, first.units :] = gate_major(second.recurrent_kernel)
    bias = np.concatenate([gate_major(first.bias), gate_major(second.bias)], axis=1)  # (4, units)
    return kernel.reshape(units, -1), bias.reshape(-1)
