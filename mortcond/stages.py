"""Which recurrent layers step together: loops over the hours, as few as there can be.

Comes in: a Network. Goes out: its nodes in stages, each a loop or a layer outside all loops. Layers side by side over
the same hours share a loop, forwards and backwards alike, and so does a layer that reads another of its own direction
in the same hour. What reads both directions of a loop waits for its end.
"""

from dataclasses import dataclass

from mortcond.network import INPUT, Network, Node


@dataclass(frozen=True)
class Loop:
    """Nodes that are evaluated hour by hour, in their order; those that are not recurrent stand between the others."""

    nodes: tuple[Node, ...]
    stored: tuple[str, ...]  # recurrent nodes whose state after every hour is read after the loop

    @property
    def recurrent(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.layer.state_names)

    def backwards(self, node: Node) -> bool:
        """Say in which direction a node goes through the hours: one between two layers as the one that reads it."""
        while not node.layer.state_names:
            node = next(other for other in self.nodes if node.name in other.inputs)
        return node.layer.backwards

    def read_between(self) -> list[tuple[str, bool]]:
        """Return what of before the loop its nodes between others read hour by hour, and in which direction."""
        inside = {node.name for node in self.nodes}
        others = [node for node in self.nodes if not node.layer.state_names]
        return sorted({(name, self.backwards(node)) for node in others for name in node.inputs if name not in inside})


@dataclass(frozen=True)
class Apart:
    """A node that is evaluated for all hours at once, or that has none."""

    node: Node


Stage = Loop | Apart


@dataclass(frozen=True)
class _Known:
    """When and in which direction a value comes about."""

    loop: int = 0  # the loop that it comes from; 0: from before all loops
    directions: frozenset[bool] = frozenset()  # whether backwards, of the layers of that loop that it depends on


def stages(network: Network) -> list[Stage]:
    """Return the stages of a network, in an order in which each finds what it reads."""
    known = _when(network)
    loops = max(entry.loop for entry in known.values())
    found: list[Stage] = [Apart(node) for node in network.nodes if _outside(network, known, node, 0)]
    for number in range(1, loops + 1):
        found.append(_loop(network, known, number))
        found += [Apart(node) for node in network.nodes if _outside(network, known, node, number)]
    return found


def _when(network: Network) -> dict[str, _Known]:
    known = {INPUT: _Known()}
    for node in network.nodes:
        sources = [known[name] for name in node.inputs]
        loop = max(source.loop for source in sources)
        directions = frozenset().union(*(source.directions for source in sources if source.loop == loop))
        if not node.layer.state_names:
            known[node.name] = _Known(loop, directions)
            continue
        own = frozenset({node.layer.backwards})
        ended = any(not network.over_hours[name] and known[name].loop == loop for name in node.inputs) and loop > 0
        joins = loop > 0 and directions == own and not ended
        known[node.name] = _Known(loop if joins else loop + 1, own)
    return known


def _inside(network: Network, known: dict[str, _Known], node: Node, number: int) -> bool:
    """Say whether a node is evaluated within a loop: a recurrent one of it, or one that such a one reads."""
    if known[node.name].loop != number or number == 0:
        return False
    if node.layer.state_names:
        return True
    readers = network.readers(node.name)
    return network.over_hours[node.name] and any(_inside(network, known, reader, number) for reader in readers)


def _outside(network: Network, known: dict[str, _Known], node: Node, number: int) -> bool:
    """Say whether a node is evaluated after loop `number`, for all hours at once."""
    if known[node.name].loop != number or node.layer.state_names:
        return False
    return not _inside(network, known, node, number) or _read_outside(network, known, node, number)


def _read_outside(network: Network, known: dict[str, _Known], node: Node, number: int) -> bool:
    """Say whether a value is read by a node that is evaluated outside the loop it comes from, or by nobody."""
    readers = network.readers(node.name)
    return not readers or any(not _inside(network, known, reader, number) for reader in readers)


def _loop(network: Network, known: dict[str, _Known], number: int) -> Loop:
    nodes = tuple(node for node in network.nodes if _inside(network, known, node, number))
    stored = {
        node.name
        for node in nodes
        if node.layer.state_names and network.over_hours[node.name] and _read_outside(network, known, node, number)
    }
    for node in nodes:  # what is evaluated again after the loop needs what it reads of the loop
        if not node.layer.state_names and _read_outside(network, known, node, number):
            stored |= {name for name in node.inputs if network.node(name).layer.state_names}
    return Loop(nodes, tuple(sorted(stored)))
