"""condense: what each channel puts out on given stays.

Comes in: a Network and scaled stays. Goes out: for each group of channels its outputs, hour by hour where it has hours.
"""

from collections import defaultdict

import numpy as np

from mortcond.models.network import GATES, HiddenLSTMLayer, Network, summarise


def activations(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of every group of channels, each (observations, channels).

    Parameters
    ----------
    network
        Any network.
    x
        (stays, hours, features), scaled. Recurrent layers give an observation for every stay and hour, dense layers
        one for every stay.
    """
    recorded: dict[str, list[np.ndarray]] = defaultdict(list)
    if network.recurrent:
        state = _record_hours(network, x.astype(np.float64), recorded)
    else:
        state = summarise(x.astype(np.float64), network.summary, network.mask_columns)
    for index, layer in enumerate(network.dense[:-1]):
        state = layer(state)
        recorded[f"dense.{index}"].append(state)
    return {name: np.concatenate(parts) for name, parts in recorded.items()}


def layer_inputs(network: Network, x: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what enters recurrent layer `index` in every measured hour of every stay.

    Returns
    -------
    (inputs, h): the layer's input, (observations, inputs), and its hidden state before the hour, (observations, units).
    """
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def record(layer_index, inputs, h, measured):
        if layer_index == index:
            seen.append((inputs[measured], h[measured]))

    network.walk(x.astype(np.float64), record)
    return np.concatenate([inputs for inputs, _ in seen]), np.concatenate([h for _, h in seen])


def _record_hours(network: Network, x: np.ndarray, recorded: dict[str, list[np.ndarray]]) -> np.ndarray:
    def record(index, inputs, h, measured):
        layer = network.recurrent[index]
        recorded[f"recurrent.{index}"].append(h)
        if isinstance(layer, HiddenLSTMLayer):
            _record_gates(layer, f"recurrent.{index}", np.concatenate([inputs, h], axis=1), recorded)

    state = network.walk(x, record)
    recorded[f"recurrent.{len(network.recurrent) - 1}"].append(state)
    return state


def _record_gates(layer: HiddenLSTMLayer, prefix: str, x_and_h: np.ndarray, recorded: dict) -> None:
    for name, gate in zip(GATES, layer.gates, strict=True):
        values = x_and_h
        for depth, weights in enumerate(gate.hidden):
            values = np.maximum(values @ weights, 0)
            recorded[f"{prefix}.{name}.hidden.{depth}"].append(values)
