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
from mortcond.deploy.weights import Weights, quantise
from mortcond.models.network import LSTMLayer, Network

STEPS = 2  # measured: 1 is 10 % slower for single stays, 4 is no faster and 1.2 KB larger
SHUT = 254.0  # taken from an input gate's sum, it makes the gate exactly 0 in float32; 127 of 2, so exact in int8


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
    product = weights.linear(main, stays, "recurrent.0.input", flat(gate_major(network.recurrent[0].kernel)))
    x = _joint_input(main, shape, ops.gather(main, product, order, 1, batch_dims=1), counts, weights)
    state = loop(main, condition, body, shape.turns, [x], [state, state])
    _turn(body, network.recurrent, weights)
    # The dense layer sees the states of layer 2 alone: its weights for those of layer 1 are zeros.
    kernel, *others = (layer.kernel for layer in network.dense)
    main.outputs = [weights.dense(main, network, [np.pad(kernel, [(shape.first, 0), (0, 0)]), *others], state)]
    graph.name(["stays"], ["risk"])
    return graph


def _joint_input(main: Subgraph, shape: Shape, product: int, counts: int, weights: Weights) -> int:
    """Return (stays, turns, STEPS * 4 * units): at each step x's part of the gates' sums, and what shuts idle ones.

    Layer 2 has no part of x. A layer is idle in the hours that do not count, and before its first hour.
    """
    by_gate = ops.reshape(main, product, -1, shape.hours, 4, shape.first)
    by_gate = ops.pad(main, by_gate, [(0, 0), (shape.idle, 1), (0, 0), (0, shape.second)])
    x = ops.reshape(main, by_gate, -1, shape.turns * STEPS, 4 * shape.units)
    one = main.constant(np.ones((), np.float32))
    skipped = ops.subtract(main, one, counts)
    ends = [(shape.idle, 1), (shape.idle + 1, 0)]  # each (stays, steps): 1 where layer 1, or 2, is idle
    by_layer = [main.add("PADV2", [skipped, main.constant(np.array([(0, 0), end], np.int32)), one]) for end in ends]
    idle = main.add("PACK", by_layer, options=schema.PackOptionsT(valuesCount=2, axis=2))
    shut = np.zeros((4, shape.units, 2), np.float32)
    shut[0, : shape.first, 0] = shut[0, shape.first :, 1] = -SHUT  # the input gates
    stored, quantization = quantise(shut.reshape(-1, 2))
    rows = main.add("DEQUANTIZE", [main.constant(stored, quantization)], version=2, shape=stored.shape)
    x = ops.add(main, x, ops.linear(main, idle, rows, weights.no_bias(main, 4 * shape.units)))
    return ops.reshape(main, x, -1, shape.turns, STEPS * 4 * shape.units)


def _turn(body: Subgraph, layers: tuple[LSTMLayer, LSTMLayer], weights: Weights) -> None:
    """STEPS hours of both layers: the first at its hour, the second at the one before."""
    turn, x, h, c = body.inputs
    kernel, bias = _joint_kernel(*layers)
    for x_now in ops.split(body, ops.gather(body, x, turn, 1), STEPS, 1):
        product = weights.linear(body, h, "recurrent.0 and recurrent.1", kernel, bias, block=layers[0].units)
        h, c = cell(body, ops.add(body, product, x_now), c)
    body.outputs = [next_step(body, turn), x, h, c]


def _joint_kernel(first: LSTMLayer, second: LSTMLayer) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (units, 4 * units) and bias of both layers' states together, the units of layer 1 first."""
    units = first.units + second.units
    kernel = np.zeros((units, 4, units), np.float32)
    kernel[: first.units, :, : first.units] = gate_major(first.recurrent_kernel)
    kernel[: first.units, :, first.units :] = gate_major(second.kernel)
    kernel[first.units :, :, first.units :] = gate_major(second.recurrent_kernel)
    bias = np.concatenate([gate_major(first.bias), gate_major(second.bias)], axis=1)  # (4, units)
    return kernel.reshape(units, -1), bias.reshape(-1)
