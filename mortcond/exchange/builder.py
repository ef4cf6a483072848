"""A network while it is read from another framework: nodes so far, and what is known of each value in between.

Comes in: layers in the order in which a graph calls them. Goes out: a `Network` whose last node puts out the risk, with
layers joined where one can do the work of two. What it cannot carry it refuses by name.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mortcond.core.choices import NetworkOutput
from mortcond.core.errors import InputError
from mortcond.layers import Activation, Columns, Concatenate, Dense, Flatten, Hour, Layer, Masking
from mortcond.network import INPUT, Network, Node, chain

AUTO, RISK, LOGIT = NetworkOutput  # what the last value of a network is
MOST_NODES = 10_000


@dataclass(frozen=True)
class Value:
    """What a node puts out, as the other framework sees it."""

    node: str  # ours, or INPUT
    hours: bool  # (stays, hours, width), or (stays, width)
    width: int
    mask: str | None = None  # the node whose mask goes with it
    exact: bool = True  # in skipped hours too it holds the number that the other framework has there
    reversed: bool = False  # the other framework holds its hours in the opposite order
    softmax: bool = False  # a softmax over it is still to come


@dataclass(frozen=True)
class Output:
    """What is known of the end of a network."""

    given: str = AUTO  # what the user said
    from_logits: bool | None = None  # what the loss that it was trained with said


class Builder:
    """Nodes under construction."""

    def __init__(self, hours: int, features: int):
        self.hours, self.features = hours, features
        self.nodes: dict[str, Node] = {}
        self.widths = {INPUT: features}
        self.stems = {INPUT}

    def add(self, wanted: str, layer: Layer, *inputs: str) -> str:
        """Append a node, and return its name: `wanted`, or one like it that is free."""
        if len(self.nodes) >= MOST_NODES:
            raise InputError(f"The network has more than {MOST_NODES:,} layers.", "Use a smaller one.")
        name = self._free(wanted)
        self.nodes[name] = Node(name, layer, inputs)
        self.widths[name] = layer.width(*(self.widths[source] for source in inputs), hours=self.hours)
        return name

    def _free(self, wanted: str) -> str:
        stem = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in wanted).strip("_") or "layer"
        name, count = stem, 1
        while name in self.stems:
            name, count = f"{stem}_{count}", count + 1
        self.stems.add(name)
        return name

    def apply(self, wanted: str, layer: Layer, value: Value, **known: Any) -> Value:
        """Append a layer that treats every hour alike, and return what it puts out."""
        name = self.add(wanted, layer, value.node)
        return replace(value, node=name, width=self.widths[name], **known)

    def masked(self, wanted: str, source: str, missing: float) -> str:
        """Return the node that tells which hours of a source hold anything but `missing`; it may be there already."""
        layer = Masking(missing)
        known = (node.name for node in self.nodes.values() if node.layer == layer and node.inputs == (source,))
        return next(known, None) or self.add(wanted, layer, source)

    def columns(self, wanted: str, value: Value, columns: tuple[int, ...]) -> Value:
        """Return some columns of a value."""
        same = columns == tuple(range(value.width))
        return value if same else self.apply(wanted, Columns(columns), value)

    def hour(self, wanted: str, value: Value, index: int) -> Value:
        """Return one hour of a value, where it can be told what the other framework has there."""
        self.refuse_unlike(wanted, value)
        index = index % self.hours
        index = self.hours - 1 - index if value.reversed else index
        place = -1 if index == self.hours - 1 else index
        name = self.add(wanted, Hour(place), value.node)
        return Value(name, False, value.width)

    def flat(self, wanted: str, layer: Layer, value: Value) -> Value:
        """Append a layer that takes all hours together."""
        self.refuse_unlike(wanted, value)
        name = self.add(wanted, layer, value.node)
        return Value(name, False, self.widths[name])

    def refuse_unlike(self, wanted: str, value: Value) -> None:
        """Refuse to read hours that are skipped, where another number stands in them than in the other framework."""
        if not value.exact:
            raise InputError(
                f"The layer {wanted} reads skipped hours, which hold other numbers here than where it is from.",
                "Let a recurrent layer with the same mask read them.",
            )

    def join(self, wanted: str, layer: Layer, values: list[Value], mask: str | None) -> Value:
        """Append a layer that joins values, all with hours or all without."""
        first = values[0]
        if any(value.hours != first.hours or value.reversed != first.reversed or value.softmax for value in values):
            raise InputError(f"The layer {wanted} joins a sequence with what is none.", "Join after the last hour.")
        if not isinstance_concatenate(layer) and any(value.width != first.width for value in values):
            raise InputError(f"The layer {wanted} joins values of different widths.", "Use one width.")
        name = self.add(wanted, layer, *(value.node for value in values))
        exact = all(value.exact for value in values)
        return Value(name, first.hours, self.widths[name], mask, exact, first.reversed)

    # The end.

    def finish(self, arch: str, value: Value, output: Output) -> Network:
        """Return the network whose risk a value is: a sigmoid, a logit, or a softmax over two classes."""
        if value.hours:
            raise InputError("The network puts out something for every hour.", "Cut it after the last hour.")
        last = self._risk(value, output)
        nodes = simplified(self._needed(last))
        return chain(arch, self.features, self.hours, _ending_dense(nodes))

    def _risk(self, value: Value, output: Output) -> str:
        if value.width == 2 and (value.softmax or output.given == LOGIT):
            difference = Dense(np.array([[-1], [1]], np.float32), np.zeros(1, np.float32), "sigmoid")
            return self.add("risk", difference, value.node)  # of two classes the second: exp(b) / (exp(a) + exp(b))
        if value.softmax or value.width != 1:
            what = f"puts out {value.width} numbers{' with a softmax' if value.softmax else ''}"
            raise InputError(f"The network {what}, not one risk.", "Cut it to one output of one unit.")
        ends = self.nodes[value.node].layer.config().get("activation") if value.node in self.nodes else None
        if ends == "sigmoid" and output.given != LOGIT:
            return value.node
        if ends == "sigmoid":
            raise InputError("The network ends in a sigmoid, so it puts out no logit.", "Leave out --output logit.")
        return self._logit(value, output, ends)

    def _logit(self, value: Value, output: Output, ends: str | None) -> str:
        if ends not in (None, "linear"):
            raise InputError(f"The network's last activation is {ends}, which gives no risk.", "Use a sigmoid.")
        if output.given == RISK:
            raise InputError("The network ends without a sigmoid, so no risk comes out.", "See --output logit.")
        if output.given == AUTO and not output.from_logits:
            trained = (
                "its loss took it for a risk" if output.from_logits is False else "the file does not say what it is"
            )
            raise InputError(
                f"The network's last layer has no activation, and {trained}.",
                "Where it is the logit of the risk, pass --output logit.",
            )
        return self.add("risk", Activation("sigmoid"), value.node)

    def _needed(self, last: str) -> list[Node]:
        """Return the nodes on which the last one depends, in their order."""
        needed = {last}
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed.update(node.inputs)
        return [node for node in self.nodes.values() if node.name in needed]


def isinstance_concatenate(layer: Layer) -> bool:
    """Say whether a layer puts its inputs side by side, so that their widths may differ."""
    return layer == Concatenate()


def simplified(nodes: list[Node]) -> list[Node]:
    """Return the nodes with neighbours joined wherever one layer can do what two do, and nobody else reads between."""
    found = list(nodes)
    while joined := _first_joined(found):
        found = joined
    return found


def _first_joined(nodes: list[Node]) -> list[Node] | None:
    for place, node in enumerate(nodes):
        source = next((other for other in nodes if other.name == node.inputs[0]), None)
        if source is None or sum(source.name in other.inputs for other in nodes) != 1:
            continue
        if len(node.inputs) > 1 and not node.layer.state_names:
            continue  # a join, not a layer with its mask
        layer = source.layer.then(node.layer) or node.layer.after(source.layer)
        if layer is not None:
            inputs = (*source.inputs, *node.inputs[1:])
            rest = [other for other in nodes[:place] if other is not source]
            return [*rest, replace(node, layer=layer, inputs=inputs), *nodes[place + 1 :]]
    return None


def _ending_dense(nodes: list[Node]) -> list[Node]:
    """Return the nodes with a dense layer of one unit and a sigmoid at their end."""
    last = nodes[-1]
    if "kernel" in last.layer.arrays():
        return nodes
    whole = Dense(np.ones((1, 1), np.float32), np.zeros(1, np.float32), "sigmoid")
    return [*nodes[:-1], replace(last, layer=whole)]


def flattened(builder: Builder, wanted: str, value: Value) -> Value:
    """Return all hours of a value side by side."""
    if not value.hours:
        return value
    if value.reversed:
        raise InputError(f"The layer {wanted} flattens a sequence that runs backwards.", "Use Bidirectional.")
    return builder.flat(wanted, Flatten(), value)
