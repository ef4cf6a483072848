"""condense: what each channel puts out on given stays.

Comes in: a Network and scaled stays. Goes out: for each group of channels its outputs, hour by hour where it has hours.
"""

import numpy as np

from mortcond.network import Network, Node


def activations(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of every group of channels, each (observations, channels).

    Parameters
    ----------
    network
        Any network.
    x
        (stays, hours, features), scaled. Recurrent layers give an observation for every stay and hour and one for the
        state they begin with, dense layers one for every stay.
    """
    values = network.values(x.astype(np.float64))
    found = {}
    for node in network.nodes:
        if node.layer.state_names:
            found |= _of_hours(network, node, values)
        elif node.layer.channels() and node != network.output:
            found[node.name] = values[node.name].reshape(-1, values[node.name].shape[-1])
    return found


def layer_inputs(network: Network, x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what enters a recurrent node in every hour that counts, of every stay.

    Returns
    -------
    (inputs, h): the layer's input, (observations, inputs), and its hidden state before the hour, (observations, units);
    hour by hour, all stays of an hour together.
    """
    values = network.values(x.astype(np.float64))
    node = network.node(name)
    inputs, h = (_hours_first(array) for array in (values[node.inputs[0]], network.before(name, values)))
    if len(node.inputs) == 1:
        return _rows(inputs), _rows(h)
    counts = _hours_first(values[node.inputs[1]]) > 0
    return inputs[counts], h[counts]


def _of_hours(network: Network, node: Node, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    h = network.before(node.name, values)
    last = network.states(node.name, values)[:, 0 if node.layer.backwards else -1]
    found = {node.name: np.concatenate([_rows(_hours_first(h)), last])}
    x_and_h = _rows(_hours_first(np.concatenate([values[node.inputs[0]], h], axis=2)))
    return found | {f"{node.name}.{name}": value for name, value in node.layer.neurons(x_and_h).items()}


def _hours_first(array: np.ndarray) -> np.ndarray:
    return np.swapaxes(array, 0, 1)


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
