"""condense: the channels of a network that can be removed, and where each one's weights lie.

Comes in: a Network. Goes out: its groups of channels, told by the names of its weight arrays. What is cut, silenced and
scored follows from this map alone, so a new kind of layer needs an entry here and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mortcond.models.network import GATES, HiddenLSTMLayer, LSTMLayer, Network


@dataclass(frozen=True)
class Slot:
    """Where the channels of a group lie along one axis of one weight array."""

    array: str  # a name of Network.arrays()
    axis: int
    start: int = 0  # where the channels begin along the axis
    blocks: int = 1  # how often they lie there side by side: once for each gate of an LSTM kernel

    def indices(self, channels: np.ndarray, size: int) -> np.ndarray:
        """Return the positions along the axis of some channels of a group of `size`."""
        return np.concatenate([self.start + block * size + channels for block in range(self.blocks)]).astype(int)


@dataclass(frozen=True)
class Group:
    """The channels of one layer: LSTM units, neurons of a dense layer, or hidden neurons inside one gate."""

    name: str  # such as recurrent.0, dense.1 or recurrent.0.forget.hidden.0
    axis: str  # units or hidden
    size: int
    incoming: tuple[Slot, ...]  # what makes the channel: its columns and its bias
    outgoing: tuple[Slot, ...]  # what reads the channel: its rows further on


def groups(network: Network, axis: str = "both") -> list[Group]:
    """Return the groups of channels that may be cut, in the order of the layers.

    Parameters
    ----------
    network
        Any network; the last layer, the risk itself, is no group.
    axis
        units: LSTM units and dense neurons; hidden: the neurons inside the gates of hidden-layer LSTMs; both.
    """
    found = [*_recurrent_groups(network), *_dense_groups(network)]
    return [group for group in found if axis in ("both", group.axis)]


def _recurrent_groups(network: Network) -> Iterator[Group]:
    for index, layer in enumerate(network.recurrent):
        prefix = f"recurrent.{index}"
        readers = _readers(network, index + 1)
        if isinstance(layer, LSTMLayer):
            yield _lstm_units(prefix, layer.units, readers)
        else:
            yield _hidden_lstm_units(prefix, layer, readers)
            yield from _gate_neurons(prefix, layer)


def _readers(network: Network, index: int) -> tuple[Slot, ...]:
    """Return where the units of recurrent layer `index - 1` enter the layer after it."""
    if index == len(network.recurrent):
        return (Slot("dense.0.kernel", 0),)
    if isinstance(network.recurrent[index], LSTMLayer):
        return (Slot(f"recurrent.{index}.kernel", 0),)
    return tuple(Slot(f"recurrent.{index}.{gate}.hidden.0", 0) for gate in GATES)


def _lstm_units(prefix: str, units: int, readers: tuple[Slot, ...]) -> Group:
    columns = (Slot(f"{prefix}.kernel", 1, blocks=4), Slot(f"{prefix}.recurrent_kernel", 1, blocks=4))
    incoming = (*columns, Slot(f"{prefix}.bias", 0, blocks=4))
    return Group(prefix, "units", units, incoming, (Slot(f"{prefix}.recurrent_kernel", 0), *readers))


def _hidden_lstm_units(prefix: str, layer: HiddenLSTMLayer, readers: tuple[Slot, ...]) -> Group:
    incoming = [Slot(f"{prefix}.{gate}.output", 1) for gate in GATES]
    incoming += [Slot(f"{prefix}.{gate}.bias", 0) for gate in GATES]
    own = tuple(Slot(f"{prefix}.{gate}.hidden.0", 0, start=layer.inputs) for gate in GATES)
    return Group(prefix, "units", layer.units, tuple(incoming), own + readers)


def _gate_neurons(prefix: str, layer: HiddenLSTMLayer) -> Iterator[Group]:
    for name, gate in zip(GATES, layer.gates, strict=True):
        for depth, weights in enumerate(gate.hidden):
            last = depth + 1 == len(gate.hidden)
            reader = f"{prefix}.{name}.output" if last else f"{prefix}.{name}.hidden.{depth + 1}"
            array = f"{prefix}.{name}.hidden.{depth}"
            yield Group(array, "hidden", weights.shape[1], (Slot(array, 1),), (Slot(reader, 0),))


def _dense_groups(network: Network) -> Iterator[Group]:
    for index, layer in enumerate(network.dense[:-1]):
        incoming = (Slot(f"dense.{index}.kernel", 1), Slot(f"dense.{index}.bias", 0))
        yield Group(f"dense.{index}", "units", layer.bias.size, incoming, (Slot(f"dense.{index + 1}.kernel", 0),))
