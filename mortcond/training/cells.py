"""One hour of any recurrent nodes that share a loop, in any set of operations.

Comes in: a `Loop` of the walk. Goes out: a function from the states before an hour to those after it, in which what
happens to one stay depends on no other; so it takes the stays of many hours at once as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mortcond.network import Node, own_arrays
from mortcond.training.walk import Loop

Cell = Callable[[list[Any], list[Any], list[Any], list[Any]], list[Any]]  # see `Cells.step`


@dataclass(frozen=True)
class Cells:
    """The nodes of a loop, as lists: inputs a stack, constants, states and weights."""

    loop: Loop
    dropped: frozenset[str]  # nodes whose state has dropout

    @property
    def weights(self) -> list[str]:
        return [f"{node.name}.{name}" for node in self.loop.nodes for name in node.layer.arrays()]

    @property
    def state_widths(self) -> list[int]:
        return [node.layer.units for node in self.loop.nodes for _ in node.layer.state_names]

    def projected(self, ops: Any, weights: dict[str, Any], values: dict[str, Any]) -> list[Any]:
        """Return for each stack what its input gives to every hour, (stays, hours, width)."""
        lowest = [stack[0] for stack in self.loop.stacks]
        return [node.layer.project(ops, own_arrays(weights, node), values[node.inputs[0]]) for node in lowest]

    def masks(self, values: dict[str, Any]) -> list[tuple[Any, Node]]:
        """Return the masks, (stays, hours), and the node of each, in the order in which `step` takes their hours."""
        return [(values[stack[0].inputs[1]], stack[0]) for stack in self.loop.stacks if len(stack[0].inputs) > 1]

    def drops(self, kept: dict[str, Any]) -> list[Any]:
        """Return the factors of dropout, (stays, units), which `step` takes after the masks."""
        return [kept[node.name] for node in self.loop.nodes if node.name in self.dropped]

    def step(self, ops: Any) -> Cell:
        """Return a function (inputs, constants, states, weights) -> states of an hour, all (stays, width)."""

        def cell(inputs: list[Any], constants: list[Any], states: list[Any], weights: list[Any]) -> list[Any]:
            named, constant = dict(zip(self.weights, weights, strict=True)), iter(constants)
            counts = [next(constant) if len(stack[0].inputs) > 1 else None for stack in self.loop.stacks]
            factors = {node.name: next(constant) for node in self.loop.nodes if node.name in self.dropped}
            before, after = iter(states), []
            for z, now, stack in zip(inputs, counts, self.loop.stacks, strict=True):
                h = None
                for node in stack:
                    own, old = own_arrays(named, node), [next(before) for _ in node.layer.state_names]
                    sums = z if h is None else node.layer.project(ops, own, h)
                    new = node.layer.step(ops, own, sums, *old, kept=factors.get(node.name))
                    if now is not None:
                        new = [ops.choose(now, fresh, stale) for fresh, stale in zip(new, old, strict=True)]
                    after.extend(new)
                    h = new[0]
            return after

        return cell

    def tops(self) -> list[tuple[Node, int]]:
        """Return the uppermost node of each stack, and the place of its first state among all."""
        found, place = [], 0
        for stack in self.loop.stacks:
            place += sum(len(node.layer.state_names) for node in stack)
            found.append((stack[-1], place - len(stack[-1].layer.state_names)))
        return found
