"""Any recurrent layers as one loop over the hours, written in LiteRT operations by the layers' own steps.

Comes in: a loop of a network (see `stages`) and what was evaluated before it. Goes out: what its nodes put out. Where a
loop is a stack of gated layers, `stack` and `wavefront` have faster forms of it.

Layers of one kind and size that read nothing of the loop, such as both directions of one layer or the channels of a
channel-wise network, step together as groups of one: (groups, stays, units). Their products with the state are then one
operation. A layer alone is a group of one.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import cells, ops, parallel, stack, wavefront
from mortcond.deploy.graph import Subgraph
from mortcond.deploy.operations import LiteRTOperations, Named, Stacked, Value
from mortcond.layers import Layer
from mortcond.layers.operations import NUMPY
from mortcond.network import Network, Node
from mortcond.stages import Loop

STEPS, STEPS_SMALL = 2, 1  # hours a turn; in 8-bit files one, where bytes count more


def add(operations: LiteRTOperations, network: Network, loop: Loop, values: dict[str, Any]) -> dict[str, Value]:
    """Add a loop to the graph; return what its recurrent nodes put out, by name.

    Parameters
    ----------
    values
        What the nodes before the loop put out; of a mask, a Mask.
    """
    for form in (wavefront, stack):
        if form.fits(network, loop):
            source, *masks = loop.nodes[0].inputs
            last = form.add(operations, network, loop, values[source], values[masks[0]] if masks else None)
            return {loop.nodes[-1].name: last}
    if parallel.fits(network, loop) and not (operations.weights.mode == "dynamic" and parallel.is_wide(loop)):
        return parallel.add(operations, network, loop, values)
    return _Loop(operations, loop, values, _hours_a_turn(operations)).add()


@dataclass(frozen=True, eq=False)
class Group:
    """Recurrent nodes that step together."""

    nodes: tuple[Node, ...]

    @property
    def layer(self) -> Layer:
        return self.nodes[0].layer

    @property
    def name(self) -> str:
        return " and ".join(node.name for node in self.nodes) if len(self.nodes) < 3 else f"{self.nodes[0].name} ..."

    def weights(self) -> dict[str, Named]:
        """Return the weights of the layers, stacked where there are several: (groups, ...), biases (groups, 1, ...)."""
        first, prefix = self.nodes[0], f"{self.nodes[0].name}."
        if len(self.nodes) == 1:
            return {name: Named(prefix + name, array) for name, array in first.layer.arrays().items()}
        found = {}
        for name in first.layer.arrays():
            if name in first.layer.from_x:
                continue  # used before the loop, by each layer alone
            stacked = np.stack([node.layer.arrays()[name] for node in self.nodes])
            members = tuple(Named(f"{node.name}.{name}", node.layer.arrays()[name]) for node in self.nodes)
            stacked = stacked if stacked.ndim == 3 else stacked[:, None]
            found[name] = Stacked(f"{self.name}.{name}", stacked, members)
        return found


@dataclass(frozen=True)
class Reading:
    """A sequence that the loop reads hour by hour: a part for each group, or one for all."""

    tensor: int  # (turns, steps * parts, stays, width)
    parts: int
    width: int


@dataclass
class _Loop:
    operations: LiteRTOperations
    loop: Loop
    values: dict[str, Any]  # of before the loop
    steps: int  # hours a turn
    counts: dict[tuple[int, bool], int] = field(default_factory=dict)  # by mask and direction

    @property
    def turns(self) -> int:
        return self.operations.length // self.steps

    def add(self) -> dict[str, Value]:
        main = self.operations.graph
        condition, body = main.graph.subgraph(), main.graph.subgraph()
        groups = self._groups()
        readings = self._readings(groups)
        states = [self._zeros(group) for group in groups for _ in group.layer.state_names]
        kept = [group for group in groups if self._kept(group)]
        buffers = [self._buffer(group) for group in kept]
        read = [reading.tensor for reading in readings.values()]
        results = cells.loop(main, condition, body, self.turns, read, [*states, *buffers])
        self._body(body, groups, readings, kept)
        return self._put_out(groups, kept, results)

    # Before the loop.

    def _groups(self) -> list[Group]:
        found: dict[Any, list[Node]] = defaultdict(list)
        for node in self.loop.recurrent:
            layer = node.layer
            shapes = tuple((name, array.shape) for name, array in layer.arrays().items() if name not in layer.from_x)
            plain = layer.config() | {"sequences": None, "backwards": None}
            alone = None if self._reads_outside(node) else node.name
            found[layer.kind, repr(sorted(plain.items())), shapes, len(node.inputs), alone].append(node)
        return [Group(tuple(nodes)) for nodes in found.values()]

    def _reads_outside(self, node: Node) -> bool:
        return node.inputs[0] in self.values

    def _readings(self, groups: list[Group]) -> dict[str, Reading]:
        found = {}
        for group in groups:
            if self._reads_outside(group.nodes[0]):
                found[f"{group.name}/x"] = self._reading([self._projected(node) for node in group.nodes])
            if group.nodes[0].inputs[1:]:
                counts = [self._counts(node) for node in group.nodes]
                same = len({value.tensor for value in counts}) == 1
                found[f"{group.name}/counts"] = self._reading(counts[:1] if same else counts)
        for name, backwards in self.loop.read_between():
            x = self.operations.hours_first(self.values[name])
            found[_between(name, backwards)] = self._reading([self._turned(x, backwards)])
        return found

    def _projected(self, node: Node) -> Value:
        """Return what x gives to a node, (hours, stays, width), in the order in which it steps."""
        z = node.layer.project(self.operations, Group((node,)).weights(), self.values[node.inputs[0]])
        return self._turned(self.operations.hours_first(z), node.layer.backwards)

    def _turned(self, x: Value, backwards: bool) -> Value:
        x, main = self.operations.plain(x), self.operations.graph
        return replace(x, tensor=main.add("REVERSE_V2", [x.tensor, main.integers(0)])) if backwards else x

    def _counts(self, node: Node) -> Value:
        """Return which hours count, (hours, stays, 1), in the order in which a node steps."""
        main, mask = self.operations.graph, self.values[node.inputs[1]]
        key = (mask.sums, node.layer.backwards)
        if key not in self.counts:
            by_hour = main.add("TRANSPOSE", [mask.counts(), main.integers(1, 0)])
            by_hour = ops.reshape(main, by_hour, self.operations.length, -1, 1)
            self.counts[key] = self._turned(Value(self.operations, by_hour, 1, 0, 3), node.layer.backwards).tensor
        return Value(self.operations, self.counts[key], 1, 0, 3)

    def _reading(self, parts: list[Value]) -> Reading:
        """Return (hours, stays, width) of each group side by side, turn by turn."""
        main, tensor, width = self.operations.graph, parts[0].tensor, parts[0].width
        if len(parts) > 1:
            options = schema.PackOptionsT(valuesCount=len(parts), axis=1)
            tensor = main.add("PACK", [part.tensor for part in parts], options=options)
        tensor = ops.reshape(main, tensor, self.turns, self.steps * len(parts), -1, width)
        return Reading(tensor, len(parts), width)

    def _zeros(self, group: Group) -> int:
        """Return a state of zeros, (groups, stays, units)."""
        main, units = self.operations.graph, group.layer.units
        nothing = cells.zeros(main, self.operations.input_sums(), units)
        return ops.add(main, nothing, main.constant(np.zeros((len(group.nodes), 1, units), np.float32)))

    def _kept(self, group: Group) -> bool:
        return any(node.name in self.loop.stored for node in group.nodes)

    def _buffer(self, group: Group) -> int:
        """Return the place of a group's states after every hour, (hours, groups, stays, units)."""
        main, units = self.operations.graph, group.layer.units
        nothing = ops.multiply(main, self.operations.input_sums(), main.constant(np.zeros((), np.float32)))
        by_hour = main.add("TRANSPOSE", [nothing, main.integers(1, 0)])
        by_hour = ops.reshape(main, by_hour, self.operations.length, 1, -1, 1)
        return ops.add(main, by_hour, main.constant(np.zeros((1, len(group.nodes), 1, units), np.float32)))

    # Inside the loop.

    def _body(self, body: Subgraph, groups: list[Group], readings: dict[str, Reading], kept: list[Group]) -> None:
        turn, *others = body.inputs
        read, others = others[: len(readings)], others[len(readings) :]
        count = sum(len(group.layer.state_names) for group in groups)
        states, buffers = self._by_group(groups, others[:count]), dict(zip(kept, others[count:], strict=True))
        inner = replace(self.operations, graph=body)
        hours = self._hours(body, turn, read, readings)
        first = (
            turn if self.steps == 1 else body.add("MUL", [turn, body.constant(np.array(self.steps, np.int32))], "int32")
        )
        for step, by_name in enumerate(hours):
            states = self._step(inner, groups, by_name, states)
            for group, buffer in buffers.items():
                buffers[group] = self._stored(body, buffer, states[group][0], first, step)
        flat = [state for group in groups for state in states[group]]
        body.outputs = [cells.next_step(body, turn), *read, *flat, *buffers.values()]

    @staticmethod
    def _by_group(groups: list[Group], tensors: list[int]) -> dict[Group, list[int]]:
        found, start = {}, 0
        for group in groups:
            found[group] = tensors[start : start + len(group.layer.state_names)]
            start += len(found[group])
        return found

    def _hours(self, body: Subgraph, turn: int, read: list[int], readings: dict[str, Reading]) -> list[dict[str, int]]:
        """Return what is read in each hour of a turn, (parts, stays, width)."""
        parts = {}
        for tensor, name in zip(read, readings, strict=True):
            now = ops.gather(body, tensor, turn, 0)
            parts[name] = ops.split(body, now, self.steps, 0)
        return [{name: tensors[step] for name, tensors in parts.items()} for step in range(self.steps)]

    def _step(
        self, inner: LiteRTOperations, groups: list[Group], read: dict[str, int], states: dict[Group, list[int]]
    ) -> dict[Group, list[int]]:
        """Return the states of all groups after an hour."""
        by_node = {node: group for group in groups for node in group.nodes}
        values: dict[str, Value] = {}
        for name, backwards in self.loop.read_between():
            tensor = read[_between(name, backwards)]
            values[_between(name, backwards)] = Value(inner, tensor, self.values[name].width, None, 3)
        new: dict[Group, list[int]] = {}
        for node in self.loop.nodes:
            group = by_node.get(node)
            if group is None:
                backwards = self.loop.backwards(node)
                inputs = (values.get(name) or values[_between(name, backwards)] for name in node.inputs)
                values[node.name] = node.layer.forward(inner, Group((node,)).weights(), *inputs)
            elif group not in new:
                new[group] = self._group_step(inner, group, read, values, states[group])
                if len(group.nodes) == 1:
                    values[node.name] = Value(inner, new[group][0], group.layer.units, None, 3)
            if group is not None and len(group.nodes) > 1:
                values[node.name] = self._member(inner, group, node, new[group][0])
        return new

    def _group_step(
        self, inner: LiteRTOperations, group: Group, read: dict[str, int], values: dict[str, Value], old: list[int]
    ) -> list[int]:
        layer, weights = group.layer, group.weights()
        if f"{group.name}/x" in read:
            z = Value(inner, read[f"{group.name}/x"], 0, None, 3)
            z = replace(z, width=self._projected_width(group))
        else:
            z = layer.project(inner, weights, values[group.nodes[0].inputs[0]])
        stepped = layer.step(inner, weights, z, *(Value(inner, state, layer.units, None, 3) for state in old))
        new = [inner.plain(state).tensor for state in stepped]
        counts = read.get(f"{group.name}/counts")
        return new if counts is None else [_moved(inner.graph, *pair, counts) for pair in zip(old, new, strict=True)]

    @staticmethod
    def _projected_width(group: Group) -> int:
        layer = group.layer
        probe = layer.project(NUMPY, layer.arrays(), np.zeros((1, 1, layer.inputs)))
        return probe.shape[-1]

    def _member(self, inner: LiteRTOperations, group: Group, node: Node, h: int) -> Value:
        """Return h of one layer of a group, (1, stays, units)."""
        if not any(node.name in other.inputs for other in self.loop.nodes):
            return Value(inner, h, group.layer.units, None, 3)
        parts = ops.split(inner.graph, h, len(group.nodes), 0)
        return Value(inner, parts[group.nodes.index(node)], group.layer.units, None, 3)

    @staticmethod
    def _stored(body: Subgraph, buffer: int, h: int, first: int, step: int) -> int:
        """Put the states after an hour, (groups, stays, units), in their place."""
        hour = ops.add(body, first, body.constant(np.array(step, np.int32)), "int32") if step else first
        start = ops.pad(body, ops.reshape(body, hour, 1, dtype="int32"), [(0, 3)], dtype="int32")
        row = body.add("EXPAND_DIMS", [h, body.constant(np.array(0, np.int32))])
        return body.add("DYNAMIC_UPDATE_SLICE", [buffer, row, start])

    # After the loop.

    def _put_out(self, groups: list[Group], kept: list[Group], results: tuple[int, ...]) -> dict[str, Value]:
        count = sum(len(group.layer.state_names) for group in groups)
        states, buffers = self._by_group(groups, list(results[:count])), dict(zip(kept, results[count:], strict=True))
        found = {}
        for group in groups:
            last = self._apart(states[group][0], len(group.nodes), 0)
            after = self._apart(buffers[group], len(group.nodes), 1) if group in buffers else last
            for node, h, sequence in zip(group.nodes, last, after, strict=True):
                if node.name in self.loop.stored:
                    found[node.name] = self._sequence(node, sequence)
                elif not node.layer.sequences:
                    h = ops.reshape(self.operations.graph, h, -1, node.layer.units)
                    found[node.name] = self.operations.value(h, node.layer.units)
        return found

    def _apart(self, tensor: int, count: int, axis: int) -> list[int]:
        return ops.split(self.operations.graph, tensor, count, axis)

    def _sequence(self, node: Node, after: int) -> Value:
        """Return the states after every hour, (hours, stays, units), in the order of the hours."""
        units = node.layer.units
        sequence = ops.reshape(self.operations.graph, after, self.operations.length, -1, units)
        return self._turned(Value(self.operations, sequence, units, 0, 3), node.layer.backwards)


def _between(name: str, backwards: bool) -> str:
    """Return the name of a sequence as a loop reads it in one direction."""
    return f"{name}/{'backwards' if backwards else 'forwards'}"


def _moved(body: Subgraph, old: int, new: int, counts: int) -> int:
    """Return the new state where the hour counts, the old one where it is skipped."""
    return ops.add(body, old, ops.multiply(body, ops.subtract(body, new, old), counts))


def _hours_a_turn(operations: LiteRTOperations) -> int:
    most = STEPS_SMALL if operations.weights.mode == "int8" else STEPS
    return max(steps for steps in range(1, most + 1) if operations.length % steps == 0)
