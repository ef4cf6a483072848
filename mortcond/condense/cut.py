"""condense: channels taken out of a network.

Comes in: a Network and, for each group of channels, those to keep. Goes out: the smaller Network, or the same one with
the others silenced, which predicts the same.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mortcond.channels import Group, columns_left, groups
from mortcond.network import Network, own_arrays


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
        for places in group.incoming + group.outgoing + group.passing:
            gone[places.array][places.axis].append(places.of(removed))
    for name, by_axis in gone.items():
        for axis, indices in by_axis.items():
            arrays[name] = np.delete(arrays[name], np.concatenate(indices), axis=axis)
    left = columns_left(network, {group.name: removed for group, removed in _removed(network, kept)})
    nodes = []
    for node in network.nodes:
        layer, own = node.layer.without(*(left[name] for name in node.inputs)), own_arrays(arrays, node)
        nodes.append(replace(node, layer=layer.with_arrays(own) if own else layer))
    return replace(network, nodes=tuple(nodes))


def silence(network: Network, kept: dict[str, np.ndarray]) -> Network:
    """Return the network in its full shape, with nobody listening to the channels that are not kept."""
    arrays = {name: array.copy() for name, array in network.arrays().items()}
    for group, removed in _removed(network, kept):
        for places in group.outgoing:
            rows = [slice(None)] * arrays[places.array].ndim
            rows[places.axis] = places.of(removed)
            arrays[places.array][tuple(rows)] = 0
    return network.with_arrays(arrays)


def _removed(network: Network, kept: dict[str, np.ndarray]) -> Iterator[tuple[Group, np.ndarray]]:
    for group in groups(network):
        if group.name in kept:
            yield group, np.setdiff1d(np.arange(group.size), kept[group.name])
