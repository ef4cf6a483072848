"""The channels of a network that can be removed or scaled, and where each one's weights lie.

Comes in: a Network. Goes out: its groups of channels, told by the names of its weight arrays, through joins,
selections of columns and both directions. What is cut, silenced, scored and equalised follows from this map alone, and
the map from what the layers say of themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mortcond.layers import GROUP_AXES, Channels, Slot
from mortcond.network import INPUT, Network, Node

AXES = (*GROUP_AXES, "both")
NONE = -1  # a column that is no channel


@dataclass(frozen=True)
class Places:
    """Where the channels of a group lie along one axis of one weight array of the network."""

    array: str  # a name of Network.arrays()
    axis: int
    owners: np.ndarray  # (places,): whose place each is, a channel of the group
    places: np.ndarray  # (places,): indices along the axis

    def of(self, channels: np.ndarray) -> np.ndarray:
        """Return the indices along the axis of some channels."""
        return self.places[np.isin(self.owners, channels)]


@dataclass(frozen=True)
class Group:
    """The channels of one layer: units, neurons of a dense layer, or hidden neurons inside one gate."""

    name: str  # such as recurrent.0, dense.1 or recurrent.0.forget.hidden.0
    axis: str  # units or hidden
    size: int
    makers: tuple[Slot, ...]  # what makes a channel: its columns and its bias; arrays of the network
    incoming: tuple[Places, ...]  # the same, as places
    outgoing: tuple[Places, ...]  # what reads the channel: its rows further on
    passing: tuple[Places, ...] = ()  # what it goes through on its way there, such as a factor of its own
    rectified: bool = False  # whether it is a ReLU of its sum


def groups(network: Network, axis: str = "both") -> list[Group]:
    """Return the groups of channels that may be cut, in the order of the layers.

    Parameters
    ----------
    network
        Any network; the last layer, the risk itself, is no group, nor is what a layer needs whole.
    axis
        units: of recurrent and dense layers; hidden: the neurons inside the gates of hidden-layer LSTMs; both.
    """
    flow = _Flow.of(network)
    found = [_group(network, flow, node, own) for node in network.nodes if node != network.output for own in _own(node)]
    return [group for group in found if axis in ("both", group.axis) and group.name not in flow.tied]


def columns_left(network: Network, removed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return for each node, and INPUT, which of its columns are left when channels of some groups go."""
    flow = _Flow.of(network)
    gone = [flow.start[name] + channels for name, channels in removed.items() if name in flow.start]
    gone = np.concatenate(gone) if gone else np.zeros(0, int)
    return {name: np.flatnonzero(~np.isin(columns, gone)) for name, columns in flow.columns.items()}


@dataclass(frozen=True)
class _Flow:
    """Which channel every column of every value is."""

    columns: dict[str, np.ndarray]  # for each node, and INPUT: the number of the channel that a column is; NONE
    start: dict[str, int]  # for each node that makes channels, the number of its first one
    tied: set[str]  # nodes whose channels a layer needs whole

    @classmethod
    def of(cls, network: Network) -> "_Flow":
        columns, start, total = {INPUT: np.full(network.features, NONE)}, {}, 0
        held: list[np.ndarray] = []
        for node in network.nodes:
            inputs = [columns[name] for name in node.inputs]
            made = [own for own in _own(node) if not own.name]
            if made:
                start[node.name], columns[node.name] = total, total + np.arange(made[0].size)
                total += made[0].size
            else:
                columns[node.name] = node.layer.carried(*inputs, hours=network.hours)
            held += inputs if node.layer.tied() else []
        held_numbers = np.concatenate(held) if held else np.zeros(0, int)
        tied = {name for name, first in start.items() if np.isin(held_numbers, columns[name]).any() and first >= 0}
        return cls(columns, start, tied)


def _own(node: Node) -> tuple[Channels, ...]:
    return node.layer.channels()


def _group(network: Network, flow: _Flow, node: Node, own: Channels) -> Group:
    name = f"{node.name}.{own.name}" if own.name else node.name
    makers = tuple(_renamed(node, slot) for slot in own.makers)
    inside = tuple(_places(_renamed(node, slot), np.arange(own.size)) for slot in own.readers)
    outside = () if own.name else tuple(_read_outside(network, flow, node))
    outgoing = tuple(places for places, passed_on in outside if not passed_on)
    passing = tuple(places for places, passed_on in outside if passed_on)
    incoming = tuple(_places(slot, np.arange(own.size)) for slot in makers)
    return Group(name, own.axis, own.size, makers, incoming, inside + outgoing, passing, own.rectified)


def _read_outside(network: Network, flow: _Flow, maker: Node) -> Iterator[tuple[Places, bool]]:
    """Yield where later layers read a node's channels, and whether such a layer only passes them on."""
    first = flow.start[maker.name]
    size = len(flow.columns[maker.name])
    for node in network.nodes:
        for index, source in enumerate(node.inputs):
            numbers = flow.columns[source]
            columns = np.flatnonzero((numbers >= first) & (numbers < first + size))
            if len(columns):
                passed_on = node.name not in flow.start
                for slot in node.layer.readers(index, columns[:, None]):
                    yield _places(_renamed(node, slot), numbers[columns] - first), passed_on


def _renamed(node: Node, slot: Slot) -> Slot:
    return Slot(f"{node.name}.{slot.array}", slot.axis, slot.positions)


def _places(slot: Slot, owners: np.ndarray) -> Places:
    per_owner = slot.positions.shape[1]
    return Places(slot.array, slot.axis, np.repeat(owners, per_owner), slot.positions.ravel())
