"""condense: what cut channels gave, made up for by those that stay. No outcomes are needed.

Comes in: a Network, which channels stay, and scaled stays. Goes out: the network with other weights and biases, from
which the channels are then cut. Where nothing is trained after a cut, this is what keeps its risks near.

Each matrix that reads cut channels gets the least-squares estimate of them from what else it reads, and a constant
where it has a bias: W_kept + A W_cut, b + c W_cut, with A and c from the ridge regression of the cut channels on the
kept ones over stays and hours (He et al. 2017, Channel pruning for accelerating very deep neural networks, eq. 1, with
all channels' weights left free). The mean alone, that is c without A, moves risks farther than leaving the biases as
they are: a state grows over the hours, and what is read in the last ones counts most (`cut_without_labels.py`).

What a matrix reads is measured where it reads it: so joins, selections, both directions and pooling need nothing of
their own. Hours that are skipped do not count. The candidate of a GRU whose reset comes first reads a product, which no
state can make up for: that matrix stays as it is.
"""

import numpy as np

from mortcond.channels import groups
from mortcond.network import Network, Node

STAYS = 512
AT_ONCE = 128  # stays
DAMPING = 1e-2  # of the mean square of what is read, added to each: few stays must not tell too much


def compensated(network: Network, kept: dict[str, np.ndarray], x: np.ndarray) -> Network:
    """Return the network with weights that make up for the channels that are not kept.

    Parameters
    ----------
    network
        As it is before the cut.
    kept
        For each group (see `channels.groups`) the indices of the channels that stay.
    x
        (stays, hours, features), scaled; the first STAYS of them are read.
    """
    old, new = network.arrays(), {name: array.astype(np.float64) for name, array in network.arrays().items()}
    moments = _moments(network, x[:STAYS])
    for name, rows in _rows_cut(network, kept).items():
        if name not in moments or not len(rows):
            continue
        estimate, constant = _estimate(moments[name], rows, _bias(network, name) is not None)
        given = old[name][rows].astype(np.float64)
        left = np.setdiff1d(np.arange(len(old[name])), rows)
        new[name][left] += estimate @ given
        if constant is not None:
            new[_bias(network, name)] += constant @ given
    return network.with_arrays({name: array.astype(old[name].dtype) for name, array in new.items()})


def _rows_cut(network: Network, kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return for each matrix which of its rows read channels that are not kept."""
    found: dict[str, list[np.ndarray]] = {}
    for group in groups(network):
        if group.name in kept:
            removed = np.setdiff1d(np.arange(group.size), kept[group.name])
            for places in group.outgoing:
                found.setdefault(places.array, []).append(places.of(removed))
    return {name: np.unique(np.concatenate(rows)) for name, rows in found.items()}


def _estimate(moments: np.ndarray, rows: np.ndarray, constant: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Return how much of each other input a cut one is, (others, cut), and its constant, (cut,), where one may be.

    moments: of the inputs and, last, of 1, (inputs + 1, inputs + 1).
    """
    inputs = len(moments) - 1
    left = np.setdiff1d(np.arange(inputs), rows)
    read = np.append(left, inputs) if constant else left
    own = moments[np.ix_(read, read)]
    damping = np.full(len(read), DAMPING * np.diag(moments)[:inputs].mean())
    damping[len(left) :] = 0
    solved = np.linalg.lstsq(own + np.diag(damping), moments[np.ix_(read, rows)], rcond=None)[0]
    return solved[: len(left)], solved[-1] if constant else None


def _bias(network: Network, name: str) -> str | None:
    node = _owner(network, name)
    bias = node.layer.matrices()[name.removeprefix(f"{node.name}.")][1]
    return f"{node.name}.{bias}" if bias else None


def _owner(network: Network, name: str) -> Node:
    return next(node for node in network.nodes if name.startswith(f"{node.name}."))


def _moments(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the second moments of what each matrix reads, with a 1 beside it, over stays and hours that count."""
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(x), AT_ONCE):
        values = network.values(x[start : start + AT_ONCE].astype(np.float64))
        for node in network.nodes:
            for name, read in _read_by(network, node, values).items():
                rows = np.column_stack([read, np.ones(len(read))])
                found[name] = found.get(name, 0) + rows.T @ rows
    return found


def _read_by(network: Network, node: Node, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what each matrix of a node reads, (observations, inputs)."""
    matrices = node.layer.matrices()
    if not matrices:
        return {}
    read = {"x": values[node.inputs[0]]}
    if node.layer.state_names:
        read |= {"h": network.before(node.name, values)}
        counts = np.ones(read["h"].shape[:2], bool) if len(node.inputs) == 1 else values[node.inputs[1]] > 0
        read = {name: array[counts] for name, array in read.items()}
        read["x and h"] = np.concatenate([read["x"], read["h"]], axis=1)
        read |= node.layer.neurons(read["x and h"])
    return {f"{node.name}.{name}": _rows(read[source]) for name, (source, _) in matrices.items()}


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
