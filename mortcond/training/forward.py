"""From the data of a batch to the logit of each stay's risk, in any set of operations, with dropout where asked.

Comes in: a walk, weights, data. Goes out: logits, (stays,). Both backends evaluate a network by these lines; how they
step through the hours is their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mortcond.network import Network, Node, own_arrays
from mortcond.training.settings import TrainSettings
from mortcond.training.walk import Loop, Walk

INPUTS, STATES, UNITS = 0, 1, 2  # streams of random numbers; further dropout layers have those after UNITS
Data = dict[str, Any]  # what `Walk.prepare` gives
RunLoop = Callable[[Loop, dict[str, Any], dict[str, Any], dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Noise:
    """Dropout of one step as factors, 0 or 1 / (share kept)."""

    inputs: Any = None  # (stays, features): a feature goes for all hours of a stay; None: none
    states: dict[str, Any] = field(default_factory=dict)  # by recurrent node: on its state as its gates see it
    units: dict[str, Any] = field(default_factory=dict)  # by dropout node


def draw(network: Network, settings: TrainSettings, ops: Any, factors: Callable[[float, int, int], Any]) -> Noise:
    """Return the dropout of a step; factors: (share dropped, width, stream) -> (stays, width)."""
    inputs = factors(settings.input_dropout, network.features, INPUTS) if settings.input_dropout else None
    states = {}
    if settings.recurrent_dropout and network.recurrent:
        widths = [node.layer.units for node in network.recurrent]
        drawn = ops.split(factors(settings.recurrent_dropout, sum(widths), STATES), widths)
        states = {node.name: own for node, own in zip(network.recurrent, drawn, strict=True)}
    dropping = [node for node in network.nodes if node.layer.drop_rate]
    units = {
        node.name: factors(node.layer.drop_rate, network.widths[node.name], UNITS + index)
        for index, node in enumerate(dropping)
    }
    return Noise(inputs, states, units)


def logits(walk: Walk, ops: Any, weights: dict[str, Any], data: Data, noise: Noise, run: RunLoop) -> Any:
    """Return the logit of each stay's risk, (stays,).

    Parameters
    ----------
    weights
        As in `Network.arrays`.
    run
        (loop, weights, values, dropout of the states) -> what the uppermost node of each of its stacks puts out.
    """
    values = dict(data) if noise.inputs is None else without_features(walk, ops, data, noise.inputs)
    output = walk.network.output
    for step in walk.order:
        if isinstance(step, Loop):
            values |= run(step, weights, values, noise.states)
        elif step is not output:
            values[step.name] = _dropped(_value(step, ops, weights, values), noise.units.get(step.name))
    return output.layer.sums(ops, own_arrays(weights, output), values[output.inputs[0]])[:, 0]


def _value(node: Node, ops: Any, weights: dict[str, Any], values: dict[str, Any]) -> Any:
    return node.layer.forward(ops, own_arrays(weights, node), *(values[name] for name in node.inputs))


def without_features(walk: Walk, ops: Any, data: Data, factors: Any) -> Data:
    """Drop features from the data, and whatever was made of one alone; masks tell of hours and stay."""
    found, everything = {}, np.arange(walk.network.features)
    for name, values in data.items():
        own = walk.features[name]
        if not own.size:
            found[name] = values
        elif np.array_equal(own, everything):
            found[name] = _dropped(values, factors)
        else:
            with_others = ops.concatenate([factors, np.ones((factors.shape[0], 1), np.float32)])  # -1: of several
            found[name] = _dropped(values, ops.columns(with_others, own % (len(everything) + 1)))
    return found


def _dropped(x: Any, factors: Any) -> Any:
    if factors is None:
        return x
    return x * (factors[:, None] if len(x.shape) > len(factors.shape) else factors)
