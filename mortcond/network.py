"""A network: a short ordered list of nodes, each a layer and the names of its inputs. It knows no layer by name.

Comes in: layers with their weights. Goes out: the same weights under their names, their count, a file, and a plain
evaluation in numpy, the reference that every faster form must equal.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from mortcond.core import forms, npz
from mortcond.core.dataset_file import MOST_FEATURES, MOST_HOURS
from mortcond.core.errors import InputError
from mortcond.core.format_version import FORMAT_VERSION, KEY, known
from mortcond.layers import LAYERS, Layer
from mortcond.layers.operations import NUMPY

INPUT = "stays"  # the name of what comes in, (stays, hours, features)
AT_ONCE = 1024  # stays that are summarised at a time
_FORM = {"arch": str, "features": int, "hours": int, "nodes": list[dict]}


@dataclass(frozen=True, eq=False)
class Node:
    """One layer in its place; two are the same only where they are one object."""

    name: str
    layer: Layer
    inputs: tuple[str, ...] = (INPUT,)  # INPUT, or the names of nodes before


@dataclass(frozen=True)
class Network:
    """A whole network from a scaled stay, (hours, features), to the risk of death, which its last node puts out.

    The last node is a dense layer of one unit with a sigmoid.
    """

    arch: str  # a row of `archs`, or where it was imported from
    features: int
    hours: int
    nodes: tuple[Node, ...]

    @property
    def parameters(self) -> int:
        return sum(array.size for array in self.arrays().values())

    @property
    def output(self) -> Node:
        """Return the node that puts out the risk."""
        return self.nodes[-1]

    def __getitem__(self, name: str) -> Layer:
        """Return the layer of a node."""
        return self._by_name[name].layer

    def node(self, name: str) -> Node:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def recurrent(self) -> tuple[Node, ...]:
        """Return the nodes that step through the hours."""
        return tuple(node for node in self.nodes if node.layer.state_names)

    @cached_property
    def tail(self) -> tuple[Node, ...]:
        """Return the dense layers at the end, each reading the one before, dropout or not between them."""
        found, name = [self.output], self.output.inputs[0]
        while name != INPUT:
            node = self.node(name)
            if node.layer.affine and not self.over_hours[name] and len(self.readers(name)) == 1:
                found.append(node)
            elif not node.layer.identity:
                break
            name = node.inputs[0]
        return tuple(found[::-1])

    def readers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read what a node puts out."""
        return tuple(node for node in self.nodes if name in node.inputs)

    # Weights.

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every weight array as NODE.ARRAY, such as `recurrent.0.kernel`."""
        return {f"{node.name}.{name}": array for node in self.nodes for name, array in node.layer.arrays().items()}

    def with_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        """Return the same network with its weights replaced by those of `arrays` (keys as in `arrays()`)."""
        layers = {}
        for node in self.nodes:
            own = own_arrays(arrays, node)
            layers[node.name] = node.layer.with_arrays(own) if own else node.layer
        return self.with_layers(layers)

    def with_layers(self, layers: dict[str, Layer]) -> Self:
        """Return the same network with other layers in some of its nodes."""
        nodes = tuple(replace(node, layer=layers.get(node.name, node.layer)) for node in self.nodes)
        return replace(self, nodes=nodes)

    def fitted(self, x: np.ndarray) -> Self:
        """Return the network with the statistics that its layers take of training stays, (stays, hours, features)."""
        network = self
        for node in self.nodes:
            if type(node.layer).fitted is not Layer.fitted:
                inputs = network.values(x)[node.inputs[0]]
                network = network.with_layers({node.name: node.layer.fitted(inputs)})
        return network

    # Shapes.

    @cached_property
    def widths(self) -> dict[str, int]:
        """Return how many columns each node puts out, and INPUT."""
        widths = {INPUT: self.features}
        for node in self.nodes:
            widths[node.name] = node.layer.width(*(widths[name] for name in node.inputs), hours=self.hours)
        return widths

    @cached_property
    def over_hours(self) -> dict[str, bool]:
        """Return for each node, and INPUT, whether what it puts out has hours."""
        found = {INPUT: True}
        for node in self.nodes:
            own = node.layer.hours_out
            found[node.name] = found[node.inputs[0]] if own is None else own
        return found

    def structure(self) -> tuple:
        """Return all but the weights, hashable: what a compiled program depends on."""
        nodes = tuple((node.name, node.layer.kind, _frozen(node.layer.config()), node.inputs) for node in self.nodes)
        shapes = tuple((name, array.shape) for name, array in self.arrays().items())
        return self.arch, self.features, self.hours, nodes, shapes

    # Evaluation.

    def predict(self, x: np.ndarray, precision: type = np.float64) -> np.ndarray:
        """Return the risk of each stay, (stays,), evaluated plainly; x: (stays, hours, features), scaled."""
        return self.values(x.astype(precision))[self.output.name][:, 0]

    def values(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return what every node puts out, and INPUT, by name; x: (stays, hours, features), scaled."""
        return evaluate(self, NUMPY, self.arrays(), x)

    def states(self, name: str, values: dict[str, np.ndarray]) -> np.ndarray:
        """Return h of a recurrent node after every hour, (stays, hours, units), from the values of its inputs."""
        node = self._by_name[name]
        return node.layer.states(NUMPY, node.layer.arrays(), *(values[source] for source in node.inputs))

    def before(self, name: str, values: dict[str, np.ndarray]) -> np.ndarray:
        """Return h of a recurrent node before every hour, (stays, hours, units), as it steps."""
        after = self.states(name, values)
        start = np.zeros_like(after[:, :1])
        parts = (after[:, 1:], start) if self[name].backwards else (start, after[:, :-1])
        return np.concatenate(parts, axis=1)

    # Files.

    def save(self, path: Path) -> None:
        """Write the network to an npz file, without pickles."""
        facts = {"format": FORMAT_VERSION, "arch": self.arch, "features": self.features, "hours": self.hours}
        nodes = [
            {"name": node.name, "kind": node.layer.kind, "config": node.layer.config(), "inputs": node.inputs}
            for node in self.nodes
        ]
        with path.open("wb") as file:
            np.savez(file, header=json.dumps(facts | {"nodes": nodes}), **self.arrays())

    @classmethod
    def load(cls, path: Path, like: Self | None = None) -> Self:
        """Read a network that `save` wrote.

        Parameters
        ----------
        like
            A network of the same nodes, for files of format version 1, which hold the same arrays without them.

        Raises InputError where the file is something else.
        """
        stored = npz.read_all(path, "holds no weights of a network", "Train the model again.")
        try:
            header = forms.parsed(str(stored.pop("header")))
            version = header.setdefault("format", 1)
            known({KEY: version}, str(path))
            network = like.with_arrays(stored) if like and version == 1 else cls.assemble(header, stored)
            network.predict(np.zeros((1, network.hours, network.features)))  # whatever does not fit together fails here
            return network
        except npz.BROKEN as error:
            raise InputError(f"{path} holds no weights of a network ({error}).", "Train the model again.") from None

    @classmethod
    def assemble(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Return the network that a file's header and arrays tell of."""
        if header.get("format") != FORMAT_VERSION:
            raise ValueError(f"format {header.get('format')}, not {FORMAT_VERSION}")
        forms.fit_keys(header, _FORM)
        if not (0 < header["hours"] <= MOST_HOURS and 0 < header["features"] <= MOST_FEATURES):
            raise ValueError(f"{header['hours']} hours of {header['features']} features")
        if any(array.dtype.kind != "f" for array in arrays.values()):
            raise ValueError("weights that are no floating-point numbers")
        nodes = []
        for entry in header["nodes"]:
            node = Node(str(entry["name"]), LAYERS[entry["kind"]], tuple(entry["inputs"]))
            layer = LAYERS[entry["kind"]].from_config(entry["config"], own_arrays(arrays, node))
            nodes.append(replace(node, layer=layer))
        return chain(header["arch"], header["features"], header["hours"], nodes)


def evaluate(
    network: Network, ops: Any, weights: dict[str, Any], x: Any, known: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what every node puts out, by name, in any set of operations (see `layers.operations`).

    Parameters
    ----------
    weights
        As in `Network.arrays`, as values of that set.
    x
        (stays, hours, features).
    known
        What some nodes put out, which are then not evaluated.
    """
    values = {INPUT: x, **(known or {})}
    for node in network.nodes:
        if node.name in values:
            continue
        inputs = (values[name] for name in node.inputs)
        values[node.name] = node.layer.forward(ops, own_arrays(weights, node), *inputs)
    return values


def own_arrays(arrays: dict[str, Any], node: Node) -> dict[str, Any]:
    """Return what of `arrays` belongs to a node, by its name within the layer."""
    prefix = f"{node.name}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def chain(arch: str, features: int, hours: int, nodes: Sequence[Node]) -> Network:
    """Return a network; every node must read what stands before it.

    Raises ValueError where the list is no network.
    """
    known = {INPUT}
    for node in nodes:
        missing = set(node.inputs) - known
        if missing or any(f"{node.name}.".startswith(f"{other}.") for other in known):
            raise ValueError(f"node {node.name} reads {missing or 'nothing wrong, but its name is taken'}")
        known.add(node.name)
    return Network(arch, features, hours, tuple(nodes))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((name, _frozen(entry)) for name, entry in sorted(value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
