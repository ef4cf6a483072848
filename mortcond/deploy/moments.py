"""The second moments of what each matrix of a graph multiplies, on given stays: what rounding to 8 bits is weighed by.

Comes in: a Network and scaled stays of the training split. Goes out: for each matrix, under its name in the graph and
in the graph's order of inputs, the sum over observations of its inputs' products with each other.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.deploy import parallel, stack, wavefront
from mortcond.deploy.cells import Gated
from mortcond.deploy.operations import Named, matrix_name
from mortcond.layers.lstm import GATES
from mortcond.layers.operations import NumpyOperations
from mortcond.network import Network, Node, evaluate
from mortcond.stages import Loop, stages

MOST_STAYS = 2048  # the moments of more are no different
Moments = dict[str, np.ndarray]  # name: (inputs, inputs)


def second_moments(network: Network, x: np.ndarray) -> Moments:
    """Return the second moments of every matrix's inputs.

    Parameters
    ----------
    network
        Any network.
    x
        (stays, hours, features), scaled; evenly chosen MOST_STAYS of them are used.
    """
    x = (x[:: -(-len(x) // MOST_STAYS)] if len(x) else x).astype(np.float64)
    recording = Recording()
    weights = {name: Weight(array, name) for name, array in network.arrays().items()}
    values = evaluate(network, recording, weights, x)
    found = recording.found
    for loop in stages(network):
        if isinstance(loop, Loop) and stack.fits(network, loop):
            for node in loop.nodes:
                _of_layer(network, node, node == loop.nodes[0], values, found)
            if wavefront.fits(network, loop):
                wavefront.join(loop, found)
        elif isinstance(loop, Loop) and parallel.fits(network, loop):
            for node in loop.nodes:
                _of_layer(network, node, True, values, found)
            parallel.join(loop, found)
    return dict(found)


@dataclass(frozen=True)
class Weight:
    """A weight array under its name in the network; numpy takes it for the array."""

    array: np.ndarray
    name: str

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.array, dtype)

    def __getitem__(self, key: Any) -> "Weight":
        part = Named(self.name, self.array)[key]
        return Weight(part.array, part.name)


class Recording(NumpyOperations):
    """numpy, that keeps the moments of all that is multiplied with a matrix."""

    def __init__(self):
        self.found: Moments = defaultdict(float)
        self.counting: np.ndarray | None = None  # which stays count in the hour that is stepped

    def linear(self, x: np.ndarray, kernel: Any, bias: Any = None) -> np.ndarray:
        name, rows = matrix_name(kernel.name), x if self.counting is None else x[self.counting]
        rows = rows.reshape(-1, rows.shape[-1])
        self.found[name] = self.found[name] + _squared(rows)
        self.found[f"{name}.sums"] = np.concatenate([[len(rows)], rows.sum(0)])  # moments with a constant of 1
        return super().linear(x, np.asarray(kernel), None if bias is None else np.asarray(bias))

    def scan(self, step, x, widths, counts, backwards):
        hours = iter(range(x.shape[1])[:: -1 if backwards else 1])

        def recorded(z: np.ndarray, *states: np.ndarray) -> tuple[np.ndarray, ...]:
            hour = next(hours)
            self.counting = None if counts is None else counts[:, hour] > 0
            return step(z, *states)

        try:
            return super().scan(recorded, x, widths, counts, backwards)
        finally:
            self.counting = None


def _squared(values: np.ndarray) -> np.ndarray:
    return values.T @ values


def _of_layer(network: Network, node: Node, first: bool, values: dict[str, np.ndarray], found: Moments) -> None:
    """Add the moments of one layer of a stack, hour by hour, under the names that the stack gives its matrices."""
    inputs, layer = values[node.inputs[0]], Gated.of(node.layer)
    h = network.before(node.name, values)
    counts = values[node.inputs[1]] > 0 if node.inputs[1:] else np.ones(h.shape[:2], bool)
    for own in [name for name in found if name.startswith(f"{node.name}.") or name == node.name]:
        del found[own]
    if first and layer.plain:
        found[f"{node.name}.input.count"] += np.float64(counts.sum())
    for hour in range(h.shape[1]):
        now = counts[:, hour]
        x_and_h = np.concatenate([inputs[:, hour], h[:, hour]], axis=1)[now]
        _of_hour(node.name, first, layer, x_and_h, inputs.shape[2], found)


def _of_hour(name: str, first: bool, layer: Gated, x_and_h: np.ndarray, inputs: int, found: Moments) -> None:
    if first:  # its product with x stands before the loop
        names = (f"{name}.input", name) if layer.plain else (f"{name}.hidden.x", f"{name}.hidden.h")
        for own, part in zip(names, (x_and_h[:, :inputs], x_and_h[:, inputs:]), strict=True):
            found[own] += _squared(part)
    else:
        found[name if layer.plain else f"{name}.hidden"] += _squared(x_and_h)
    if not layer.plain:
        for gate_name, gate in zip(GATES, layer.gates, strict=True):
            values = np.maximum(x_and_h @ np.concatenate([gate.kernel, gate.recurrent_kernel]), 0)
            for depth, matrix in enumerate(gate.chain[:-1], 1):
                found[f"{name}.{gate_name}.hidden.{depth}"] += _squared(values)
                values = np.maximum(values @ matrix, 0)
            found[f"{name}.{gate_name}.output"] += _squared(values)
