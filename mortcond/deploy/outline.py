"""The outline of a network: all but its weights, as a `.tflite` file carries it, so that its own weights can be found.

Comes in: a Network. Goes out: plain lists that JSON can hold, small once they are compressed; and from such lists the
network with any numbers in the place of its weights. Statistics that stand in a layer's settings (`MANY` numbers and
more) are told like weights, by their shape alone: the file holds them as well.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core import forms
from mortcond.core.dataset_file import MOST_FEATURES, MOST_HOURS
from mortcond.layers import LAYERS
from mortcond.network import Network, Node, chain

MANY = 8
MOST_NUMBERS = 1 << 20  # of a network that is read back; the steps by which they are told apart are exact so far
ENTRY = (str, str, list[str], dict[str, list[int]], dict, dict[str, list[int]])
BROKEN = (KeyError, TypeError, ValueError, IndexError, AttributeError)


def outline(network: Network) -> dict[str, Any]:
    """Return what a file says of its network: hours, features, and for each node a list of the form ENTRY.

    These are its name, kind, inputs, the shapes of its weights, its settings and the shapes of the statistics among
    them; what is empty at the end is left out.
    """
    return {"hours": network.hours, "features": network.features, "nodes": [_entry(node) for node in network.nodes]}


def _entry(node: Node) -> list[Any]:
    settings = node.layer.config()
    numbers = {name: np.shape(value) for name, value in settings.items() if _many(value)}
    config = {name: value for name, value in settings.items() if name not in numbers and value != _usual(node, name)}
    arrays = {name: array.shape for name, array in node.layer.arrays().items()}
    entry = [node.name, node.layer.kind, list(node.inputs), arrays, config, numbers]
    while not entry[-1]:
        entry.pop()
    return entry


def _many(value: Any) -> bool:
    if not isinstance(value, tuple) or not value:
        return False
    array = np.asarray(value, dtype=object)
    return array.size >= MANY and all(isinstance(entry, float) for entry in array.reshape(-1))


def _usual(node: Node, name: str) -> Any:
    """Return the value that a setting has where nothing is said."""
    return getattr(type(node.layer), name, None)


@dataclass(frozen=True)
class Outline:
    """A network without its numbers."""

    arch: str
    hours: int
    features: int
    entries: list[list[Any]]
    size: int  # how many numbers it takes

    @classmethod
    def of(cls, arch: str, record: Any) -> "Outline":
        """Return the outline that a file tells of.

        Raises ValueError where it is none.
        """
        forms.fit_keys(record, {"hours": int, "features": int, "nodes": list[list]}, "network")
        if not (0 < record["hours"] <= MOST_HOURS and 0 < record["features"] <= MOST_FEATURES):
            raise ValueError(f"{record['hours']} hours of {record['features']} features")
        entries = [[*entry, *({} for _ in ENTRY[len(entry) :])] for entry in record["nodes"]]
        for entry in entries:
            for value, form in zip(entry, ENTRY, strict=True):
                forms.fit(value, form, "network.nodes")
        shapes = [shape for entry in entries for shape in (*entry[3].values(), *entry[5].values())]
        if any(length < 0 for shape in shapes for length in shape):
            raise ValueError("a shape below zero")
        size = sum(int(np.prod(shape, dtype=float)) for shape in shapes)
        if size > MOST_NUMBERS:
            raise ValueError(f"{size:,} weights; at most {MOST_NUMBERS:,} are read back")
        return cls(arch, record["hours"], record["features"], entries, size)

    def filled(self, numbers: np.ndarray) -> Network:
        """Return the network with these numbers, (size,), in the order of the nodes.

        Raises one of BROKEN where the layers do not fit together.
        """
        nodes, start = [], 0
        for name, kind, inputs, arrays, config, settings in self.entries:
            taken: dict[str, np.ndarray] = {}
            for part, shape in (arrays | settings).items():
                end = start + int(np.prod(shape, dtype=int))
                taken[part], start = numbers[start:end].reshape(shape).astype(np.float32), end
            given = config | {part: taken.pop(part).tolist() for part in settings}
            nodes.append(Node(name, LAYERS[kind].from_config(given, taken), tuple(inputs)))
        return chain(self.arch, self.features, self.hours, nodes)
