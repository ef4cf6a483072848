"""What of a network is computed for every batch, and what once for all epochs; which recurrent nodes share a loop.

Comes in: a Network. Goes out: names and an order of nodes, the same for every backend, and the data of the epochs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mortcond.layers.operations import NUMPY
from mortcond.network import AT_ONCE, INPUT, Network, Node

Stack = tuple[Node, ...]  # recurrent nodes, each of which reads the one before and nothing else does


@dataclass(frozen=True)
class Loop:
    """Stacks of recurrent nodes that step through the hours together."""

    stacks: tuple[Stack, ...]
    gated: bool  # all of its layers are four gates of an LSTM, with as many matrices in the chain of each

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for stack in self.stacks for node in stack)


@dataclass(frozen=True)
class Walk:
    """The order in which a network is evaluated in training."""

    network: Network

    @cached_property
    def once(self) -> tuple[Node, ...]:
        """Return the nodes that are the same in every epoch: without weights and noise, reading only the stays."""
        fixed, found = {INPUT}, []
        for node in self.network.nodes:
            if set(node.inputs) <= fixed and not (node.layer.arrays() or node.layer.drop_rate):
                fixed.add(node.name)
                found.append(node)
        return tuple(found)

    @cached_property
    def every_batch(self) -> tuple[Node, ...]:
        """Return the nodes that every batch computes.

        Among them are selections of columns over the hours that others of them read: kept, they would take as much
        memory as the stays themselves.
        """
        once, found, read = {node.name for node in self.once}, [], set()
        for node in reversed(self.network.nodes):
            if node.name not in once or (node.name in read and self._is_large(node)):
                found.append(node)
                read.update(node.inputs)
        return tuple(reversed(found))

    def _is_large(self, node: Node) -> bool:
        return self.network.over_hours[node.name] and self.network.widths[node.name] > 0

    @cached_property
    def data(self) -> tuple[str, ...]:
        """Return the names of what the epochs read: nodes that are computed once, or the stays."""
        own = {node.name for node in self.every_batch}
        read = {name for node in self.every_batch for name in node.inputs}
        return tuple(name for name in (INPUT, *(node.name for node in self.network.nodes)) if name in read - own)

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """Return which feature each column of `data` is made of: dropped from the input, they all go."""
        origins = {INPUT: np.arange(self.network.features)}
        for node in self.once:
            sources = (origins[name] for name in node.inputs)
            origins[node.name] = node.layer.carried(*sources, hours=self.network.hours)
        return {name: origins[name] for name in self.data}

    def prepare(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the data of the epochs by their names, float32; x: (stays, hours, features), scaled.

        They are computed for some stays at a time: a summary needs several times their memory.
        """
        made = [name for name in self.data if name != INPUT]
        if not made:
            return {INPUT: x}
        parts = [self._prepared(x[start : start + AT_ONCE], made) for start in range(0, max(len(x), 1), AT_ONCE)]
        data = {name: np.concatenate([part[name] for part in parts]) for name in made}
        return data | ({INPUT: x} if INPUT in self.data else {})

    def _prepared(self, x: np.ndarray, wanted: list[str]) -> dict[str, np.ndarray]:
        values = {INPUT: x}
        for node in self.once:
            values[node.name] = node.layer.forward(NUMPY, {}, *(values[name] for name in node.inputs))
        return {name: values[name].astype(np.float32) for name in wanted}

    @cached_property
    def order(self) -> tuple[Node | Loop, ...]:
        """Return single nodes and loops in an order in which everything is there before it is read."""
        left, known, found = list(self.every_batch), set(self.data), []
        while left:
            ready = [node for node in left if set(node.inputs) <= known]
            single = [node for node in ready if not node.layer.state_names]
            taken = single or list(self._loops(ready))
            found.extend(taken)
            names = {node.name for step in taken for node in nodes_of(step)}
            left, known = [node for node in left if node.name not in names], known | names
        return tuple(found)

    def _loops(self, ready: list[Node]) -> Iterator[Loop]:
        by_form: dict[int | None, list[Stack]] = {}
        for node in ready:
            by_form.setdefault(form(node), []).append(self._stack(node))
        for found, stacks in by_form.items():
            yield Loop(tuple(stacks), found is not None)

    def _stack(self, lowest: Node) -> Stack:
        stack = [lowest]
        while True:
            readers = self.network.readers(stack[-1].name)
            if len(readers) != 1 or not _continues(stack[-1], readers[0]):
                return tuple(stack)
            stack.append(readers[0])


def form(node: Node) -> int | None:
    """Return how many matrices each gate's chain has, where a recurrent node is four gates of an LSTM; else None."""
    gates = node.layer.gates(node.layer.arrays())
    return None if gates is None else len(gates[0].chain)


def _continues(below: Node, above: Node) -> bool:
    """Say whether a node reads the recurrent one below it hour by hour, in its direction and with its mask."""
    if not above.layer.state_names or above.inputs != (below.name, *below.inputs[1:]):
        return False
    return above.layer.backwards == below.layer.backwards and form(above) == form(below)


def nodes_of(step: Node | Loop) -> tuple[Node, ...]:
    """Return the nodes of a step of `Walk.order`."""
    return step.nodes if isinstance(step, Loop) else (step,)
