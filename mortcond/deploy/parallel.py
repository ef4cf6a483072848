"""The graph of LSTM layers side by side as one of their joint width: both directions of one, or the channels of many.

Comes in: a loop of plain LSTM layers that read nothing of each other and skip the same hours. Goes out: the last h of
each, or its h after every hour. Every operation of an hour is called once, not once a layer; the product of the states
has a block for each layer, and zeros, which are not stored, elsewhere.

Every layer goes through the hours in its own direction, skipped ones first. In those the input gate is shut, so that
the cell state stays 0 until the first hour that counts. What stands for an hour afterwards is the state after the last
counted one up to it: the steps that were skipped, and as many as hours have counted since.
"""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import cells, ops, stack
from mortcond.deploy.cells import Gated
from mortcond.deploy.graph import Subgraph, Tensor
from mortcond.deploy.operations import LiteRTOperations, Mask, Value
from mortcond.deploy.wavefront import FAR_BELOW_ZERO
from mortcond.deploy.weights import EIGHT_BITS, row_factors
from mortcond.network import Network, Node
from mortcond.stages import Loop

WIDE = 32  # units
MOST_UNITS = 160  # of all layers together, up to which one large product costs less than one a layer


def fits(network: Network, loop: Loop) -> bool:
    """Say whether a loop is plain LSTM layers side by side."""
    layers = [Gated.of(node.layer) if node.layer.state_names else None for node in loop.nodes]
    if any(layer is None or not layer.plain for layer in layers):
        return False
    inside = {node.name for node in loop.nodes}
    apart = all(not inside.intersection(node.inputs) for node in loop.nodes)
    alike = len({node.inputs[1:] for node in loop.nodes}) == len({layer.slope for layer in layers}) == 1
    return apart and alike and sum(layer.units for layer in layers) <= MOST_UNITS


def is_wide(loop: Loop) -> bool:
    """Say whether the zeros of the joint matrix would be most of a file that cannot leave them out."""
    return sum(node.layer.units for node in loop.nodes) > WIDE


def in_order(loop: Loop) -> list[Node]:
    """Return the layers of a loop, those that run backwards after the others."""
    return sorted(loop.nodes, key=lambda node: node.layer.backwards)


def joint_name(loop: Loop) -> str:
    """Return the name of the matrix of all layers."""
    names = [node.name for node in loop.nodes]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


def input_name(nodes: list[Node]) -> str:
    """Return the name of the matrix with which layers read one value."""
    names = [node.name for node in nodes]
    whole = (
        names[0] if len(names) == 1 else f"{names[0]} and {names[1] if len(names) == 2 else f'{len(names) - 1} more'}"
    )
    return f"{whole}.input"


def join(loop: Loop, moments: dict[str, np.ndarray]) -> None:
    """Put the moments of all layers' states together, those of different layers as if they had nothing to do."""
    nodes = in_order(loop)
    units = [node.layer.units for node in nodes]
    joint, start = np.zeros((sum(units), sum(units))), 0
    for node, width in zip(nodes, units, strict=True):
        joint[start : start + width, start : start + width] = moments.pop(node.name)
        start += width
    moments[joint_name(loop)] = joint
    for source in dict.fromkeys(node.inputs[0] for node in nodes):
        reading = [node for node in nodes if node.inputs[0] == source]
        for part in ("", ".count"):
            own = [moments.pop(f"{node.name}.input{part}") for node in reading]  # all the same
            moments[f"{input_name(reading)}{part}"] = own[0]


@dataclass(frozen=True)
class Order:
    """How the layers of one direction go through the hours."""

    order: int | None  # (stays, hours) int32, the hours by their steps; None: as they come
    places: int | None  # (stays, hours) int32, for each hour the step whose state it has; None: its own


def add(
    operations: LiteRTOperations, network: Network, loop: Loop, values: dict[str, Value | Mask]
) -> dict[str, Value]:
    """Add the layers to the graph; return what each puts out: (stays, units), or (stays, hours, units) where stored."""
    return _Parallel(operations, loop, values).add()


class _Parallel:
    def __init__(self, operations: LiteRTOperations, loop: Loop, values: dict[str, Value | Mask]):
        self.operations, self.loop, self.values = operations, loop, values
        self.main, self.weights = operations.graph, operations.weights
        self.nodes = in_order(loop)
        self.layers = [Gated.of(node.layer) for node in self.nodes]
        self.units = sum(layer.units for layer in self.layers)
        self.hours = operations.length
        self.steps = stack.hours_a_turn(self.hours, self.weights.mode)
        self.kernel, self.bias = self._joint()
        # Layers whose weights are of other sizes share one scale in 8 bits: every row is stretched, as for the inputs.
        self.factors = row_factors(self.kernel) if self.weights.mode in EIGHT_BITS else None
        masks = self.nodes[0].inputs[1:]
        self.counts = values[masks[0]].counts() if masks else None
        self.sums = operations.input_sums()

    def add(self) -> dict[str, Value]:
        main, turns = self.main, self.hours // self.steps
        condition, body = main.graph.subgraph(), main.graph.subgraph()
        orders = {way: self._order(way) for way in sorted({node.layer.backwards for node in self.nodes})}
        x = ops.reshape(main, self._read(orders), -1, turns, self.steps * 4 * self.units)
        states = [cells.zeros(main, self.sums, self.units)] * 2
        buffer = [self._buffer(turns)] if self.loop.stored else []
        h, _, *kept = cells.loop(main, condition, body, turns, [x], [*states, *buffer])
        self._turn(body)
        return self._put_out(h, kept, orders)

    # Before the loop.

    def _order(self, backwards: bool) -> Order:
        if self.counts is None:
            return Order(None, None)
        main, counts = self.main, self.counts
        earlier = main.constant((-np.arange(self.hours) / self.hours).astype(np.float32))  # in (-1, 0]: breaks the ties
        keys = ops.subtract(main, earlier, counts)
        if backwards:
            keys = main.add("NEG", [ops.add(main, earlier, counts)])
        _, order = main.add("TOPK_V2", [keys, main.constant(np.array(self.hours, np.int32))], count=2)
        main.tensors[order] = Tensor("int32")
        if not self.loop.stored:
            return Order(order, None)
        options = schema.CumsumOptionsT(reverse=backwards)
        so_far = main.add("CUMSUM", [counts, main.constant(np.array(1, np.int32))], options=options)
        last = main.constant(np.array(self.hours - 1, np.float32))
        skipped = ops.subtract(main, last, ops.reduce(main, "SUM", counts, 1, keep=True))
        return Order(order, main.add("CAST", [ops.add(main, skipped, so_far)], "int32"))

    def _read(self, orders: dict[bool, Order]) -> int:
        """Return x's part of the sums of every step, (stays, hours, gates * units): the gates' blocks side by side."""
        main, parts = self.main, {}
        for source in dict.fromkeys(node.inputs[0] for node in self.nodes):
            parts |= self._products(source, [node for node in self.nodes if node.inputs[0] == source])
        ordered = [
            self._ordered([parts[node.name] for node in self.nodes if node.layer.backwards == way], order, way)
            for way, order in orders.items()
        ]
        joint = ops.concatenate(main, ordered, 3) if len(ordered) > 1 else ordered[0]
        joint = ops.reshape(main, joint, -1, self.hours, 4 * self.units)
        if self.factors is not None:  # the bias is not among what is taken by the factors
            self.weights.note(f"{joint_name(self.loop)}.bias", self.bias, "float32", "added to float sums")
            joint = ops.add(main, joint, main.constant(self.bias))
        return self._shut(joint)

    def _products(self, source: str, nodes: list[Node]) -> dict[str, int]:
        """Return what a value gives to each node that reads it, (stays, hours, gates, units)."""
        main, x = self.main, self.operations.plain(self.operations.stays_first(self.values[source])).tensor
        layers = [self.layers[self.nodes.index(node)] for node in nodes]
        units = [layer.units for layer in layers]
        kernel = np.concatenate([cells.gate_major(layer.kernel) for layer in layers], axis=2)
        product = self.weights.of_each_hour(main, x, input_name(nodes), cells.flat(kernel))
        by_gate = ops.reshape(main, product, -1, self.hours, 4, sum(units))
        return dict(zip((node.name for node in nodes), ops.split(main, by_gate, units, 3), strict=True))

    def _ordered(self, parts: list[int], order: Order, backwards: bool) -> int:
        """Return what the layers of one direction read, side by side, in the order of their steps."""
        joint = ops.concatenate(self.main, parts, 3) if len(parts) > 1 else parts[0]
        if order.order is not None:
            return ops.gather(self.main, joint, order.order, 1, batch_dims=1)
        return cells.backwards(self.main, joint) if backwards else joint

    def _shut(self, x: int) -> int:
        """Return the sums with the input gates far below zero in the skipped steps, which are the same for all."""
        if self.counts is None:
            return x
        main = self.main
        step = main.constant(np.arange(self.hours, dtype=np.float32)[:, None])
        skipped = ops.reshape(main, self._skipped(), -1, 1, 1)
        shut = np.zeros((4, self.units), np.float32)
        shut[0] = FAR_BELOW_ZERO
        late = ops.subtract(main, skipped, step, relu=True)  # 1 and more in skipped steps, else 0
        return ops.add(main, x, ops.multiply(main, late, main.constant(shut.reshape(-1))))

    def _skipped(self) -> int:
        main = self.main
        hours = main.constant(np.array(self.hours, np.float32))
        return ops.subtract(main, hours, ops.reduce(main, "SUM", self.counts, 1))

    def _buffer(self, turns: int) -> int:
        """Return the place of all states, (turns, stays, steps * units)."""
        main = self.main
        row = ops.reshape(main, cells.zeros(main, self.sums, self.steps * self.units), 1, -1, self.steps * self.units)
        return ops.add(main, row, main.constant(np.zeros((turns, 1, 1), np.float32)))

    # Inside the loop.

    def _turn(self, body: Subgraph) -> None:
        turn, x, h, c, *buffer = body.inputs
        states = []
        for read in ops.split(body, ops.gather(body, x, turn, 1), self.steps, 1):
            z = ops.add(body, self._product(body, h), read)
            h, c = cells.new_state(body, *cells.activated(body, z, 1, self.layers[0]), c)
            states.append(h)
        if buffer:
            row = states[0] if len(states) == 1 else ops.concatenate(body, states, 1)
            start = ops.pad(body, ops.reshape(body, turn, 1, dtype="int32"), [(0, 2)], dtype="int32")
            row = body.add("EXPAND_DIMS", [row, body.constant(np.array(0, np.int32))])
            buffer = [body.add("DYNAMIC_UPDATE_SLICE", [buffer[0], row, start])]
        body.outputs = [cells.next_step(body, turn), x, h, c, *buffer]

    def _product(self, body: Subgraph, h: int) -> int:
        """Return what the states give to the sums of a step, (stays, gates * units)."""
        name, block = joint_name(self.loop), self._block()
        if self.factors is None:
            return self.weights.linear(body, h, name, self.kernel, self.bias, block=block)
        product = self.weights.linear(body, h, name, self.kernel / self.factors, block=block)
        self.weights.note(f"{name}.factors", self.factors, "float32", "a factor a row, by which its product is taken")
        return ops.multiply(body, product, body.constant(self.factors))

    def _block(self) -> int | None:
        widths = {layer.units for layer in self.layers}
        return widths.pop() if len(widths) == 1 and len(self.layers) > 1 else None

    def _joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel (units, gates * units) and bias of all layers' states together."""
        kernel = np.zeros((self.units, 4, self.units), np.float32)  # from unit to gate and unit
        bias, start = [], 0
        for layer in self.layers:
            own = slice(start, start + layer.units)
            kernel[own, :, own] = cells.gate_major(layer.recurrent_kernel)
            bias.append(cells.gate_major(layer.bias))
            start += layer.units
        return kernel.reshape(self.units, -1), np.concatenate(bias, axis=1).reshape(-1).astype(np.float32)

    # After the loop.

    def _put_out(self, h: int, kept: list[int], orders: dict[bool, Order]) -> dict[str, Value]:
        main, units = self.main, [layer.units for layer in self.layers]
        found = {}
        stored = [node for node in self.nodes if node.name in self.loop.stored]
        if len(stored) < len(self.nodes):
            for node, part in zip(self.nodes, ops.split(main, h, units, 1), strict=True):
                found[node.name] = self.operations.value(part, node.layer.units)
        if stored:
            by_stay = main.add("TRANSPOSE", [kept[0], main.integers(1, 0, 2)])
            by_hour = ops.reshape(main, by_stay, -1, self.hours, self.units)
            found |= self._of_hours(by_hour, orders)
        return found

    def _of_hours(self, states: int, orders: dict[bool, Order]) -> dict[str, Value]:
        """Return the states of the stored nodes, (stays, hours, units), by the hours that they stand for."""
        nodes = {way: [node for node in self.nodes if node.layer.backwards == way] for way in orders}
        widths = [sum(node.layer.units for node in own) for own in nodes.values()]
        found = {}
        for (way, own), part in zip(nodes.items(), ops.split(self.main, states, widths, 2), strict=True):
            places = orders[way].places
            if places is not None:
                part = ops.gather(self.main, part, places, 1, batch_dims=1)
            elif way:
                part = cells.backwards(self.main, part)
            for node, value in zip(own, ops.split(self.main, part, [n.layer.units for n in own], 2), strict=True):
                if node.name in self.loop.stored:
                    found[node.name] = Value(self.operations, value, node.layer.units, 1, 3)
        return found
