"""condense: channels taken out of a network.

Comes in: a Network and, for each group of channels, those to keep. Goes out: the smaller Network, or the same one with
the others silenced, which predicts the same.
"""

from collections import defaultdict

import numpy as np

from mortcond.condense.channels import groups
from mortcond.models.network import Network


def cut(network: Network, kept: dict[str, np.ndarray]) -> Network:
    """Return the network without the channels that are not kept: all their inputs and outputs go (paper, II-H).

    Parameters
    ----------
    network
        Any network.
    kept
        For each group (see `channels.groups`) the indices of the channels that stay, at least one; a group that is
        not named stays whole.
    """
    arrays = network.arrays()
    gone: dict[str, dict[int, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for group, removed in _removed(network, kept):
        for slot in group.incoming + group.outgoing:
            gone[slot.array][slot.axis].append(slot.indices(removed, group.size))
    for name, by_axis in gone.items():
        for axis, indices in by_axis.items():
            arrays[name] = np.delete(arrays[name], np.concatenate(indices), axis=axis)
    return network.with_arrays(arrays)


def silence(network: Network, kept: dict[str, np.ndarray]) -> Network:
    """Return the network in its full shape, with nobody listening to the channels that are not kept."""
    arrays = {name: array.copy() for name, array in network.arrays().items()}
    for group, removed in _removed(network, kept):
        for slot in group.outgoing:
            rows = [slice(None)] * arrays[slot.array].ndim
            rows[slot.axis] = slot.indices(removed, group.size)
            arrays[slot.array][tuple(rows)] = 0
    return network.with_arrays(arrays)


def _removed(network: Network, kept: dict[str, np.ndarray]):
    for group in groups(network):
        if group.name in kept:
            yield group, np.setdiff1d(np.arange(group.size), kept[group.name])
