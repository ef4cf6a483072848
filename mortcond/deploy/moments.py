"""The second moments of what each matrix of a graph multiplies, on given stays: what rounding to 8 bits is weighed by.

Comes in: a Network and scaled stays of the training split. Goes out: for each matrix, under its name in the graph and
in the graph's order of inputs, the sum over observations of its inputs' products with each other.
"""

from collections import defaultdict

import numpy as np

from mortcond.deploy import wavefront
from mortcond.models.network import GATES, HiddenLSTMLayer, Network, summarise_in_parts

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
    x = x[:: -(-len(x) // MOST_STAYS)] if len(x) else x
    found: Moments = defaultdict(float)
    if network.recurrent:
        state = _of_hours(network, x.astype(np.float64), found)
    else:
        state = summarise_in_parts(x, network.summary, network.mask_columns).astype(np.float64)
        found["dense.0.sums"] = np.concatenate([[len(state)], state.sum(0)])  # moments with a constant of 1
    for index, layer in enumerate(network.dense):
        found[f"dense.{index}"] = _squared(state)
        state = layer(state)
    if wavefront.fits(network):
        wavefront.join(network, found)
    return dict(found)


def _squared(values: np.ndarray) -> np.ndarray:
    return values.T @ values


def _of_hours(network: Network, x: np.ndarray, found: Moments) -> np.ndarray:
    """Add the moments of the recurrent layers hour by hour; return the last layer's h at the end."""

    def record(index: int, inputs: np.ndarray, h: np.ndarray, now: np.ndarray) -> None:
        x_and_h = np.concatenate([inputs, h], axis=1)[now]
        _of_layer(network.recurrent[index], f"recurrent.{index}", x_and_h, inputs.shape[1], found)

    return network.walk(x, record)


def _of_layer(layer, name: str, x_and_h: np.ndarray, inputs: int, found: Moments) -> None:
    """Add the moments of one layer in one hour; x_and_h: (stays that count, inputs + units)."""
    hidden = isinstance(layer, HiddenLSTMLayer)
    if name == "recurrent.0":  # its product with x stands before the loop
        names = ("hidden.x", "hidden.h") if hidden else ("input", None)
        for own, part in zip(names, (x_and_h[:, :inputs], x_and_h[:, inputs:]), strict=True):
            found[f"{name}.{own}" if own else name] += _squared(part)
    else:
        found[f"{name}.hidden" if hidden else name] += _squared(x_and_h)
    if hidden:
        for gate_name, gate in zip(GATES, layer.gates, strict=True):
            values = np.maximum(x_and_h @ gate.hidden[0], 0)
            for depth, matrix in enumerate(gate.hidden[1:], 1):
                found[f"{name}.{gate_name}.hidden.{depth}"] += _squared(values)
                values = np.maximum(values @ matrix, 0)
            found[f"{name}.{gate_name}.output"] += _squared(values)
