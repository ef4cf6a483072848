"""Bidirectional: two recurrent layers side by side, one from the first hour on and one from the last, and their join.

It has no arithmetic of its own: it is a way to write three nodes, and to find them again. Comes in: two recurrent
layers. Goes out: (name, layer, inputs) of the nodes that stand for them; of such nodes, the pair that Keras writes as
one `Bidirectional`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mortcond.layers.base import Layer, Recurrent
from mortcond.layers.concatenate import Concatenate
from mortcond.layers.merge import Merge

FORWARD, BACKWARD = "forward", "backward"
MERGES: dict[str, Layer] = {  # Keras' names
    "concat": Concatenate(),
    "sum": Merge("sum"),
    "mul": Merge("product"),
    "ave": Merge("mean"),
}
Entry = tuple[str, Layer, tuple[str, ...]]  # name, layer, inputs of a node


def both_ways(
    name: str, forward: Recurrent, backward: Recurrent, inputs: Sequence[str], merge: str = "concat"
) -> list[Entry]:
    """Return the nodes of a bidirectional layer; the last one, `name`, is its output.

    Parameters
    ----------
    forward, backward
        The halves; the second is made to run backwards, and keeps the order of the hours.
    inputs
        The sequence, and perhaps the mask, of both.
    """
    backward = replace(backward, backwards=True, sequences=forward.sequences)
    halves = [(f"{name}-{FORWARD}", replace(forward, backwards=False)), (f"{name}-{BACKWARD}", backward)]
    entries: list[Entry] = [(half, layer, tuple(inputs)) for half, layer in halves]
    return [*entries, (name, MERGES[merge], tuple(half for half, _ in halves))]


@dataclass(frozen=True)
class Pair:
    """A bidirectional layer that was found among nodes."""

    forward: Any  # a node, with name, layer and inputs
    backward: Any
    merge: str  # of MERGES

    def to_keras(self, keras: Any, name: str) -> Any:
        """Return the Keras layer, without weights."""
        halves = [node.layer.to_keras(keras, node.name) for node in (self.forward, self.backward)]
        return keras.layers.Bidirectional(halves[0], backward_layer=halves[1], merge_mode=self.merge, name=name)

    def keras_weights(self) -> list[Any]:
        """Return the weights in the order of Keras' `get_weights`."""
        return [*self.forward.layer.keras_weights(), *self.backward.layer.keras_weights()]


def pair(join: Any, nodes: Mapping[str, Any], readers: Mapping[str, int]) -> Pair | None:
    """Return the bidirectional layer whose join a node is; None: it is none.

    Parameters
    ----------
    nodes
        By their names.
    readers
        How many nodes read each.
    """
    merge = next((name for name, layer in MERGES.items() if layer == join.layer), None)
    halves = [nodes.get(name) for name in join.inputs]
    if merge is None or len(halves) != 2 or not all(half and half.layer.state_names for half in halves):
        return None
    forward, backward = halves
    same = forward.inputs == backward.inputs and forward.layer.sequences == backward.layer.sequences
    alone = all(readers[half.name] == 1 for half in halves)
    way = not forward.layer.backwards and backward.layer.backwards
    return Pair(forward, backward, merge) if same and alone and way else None
