"""condense: what each channel is worth.

Comes in: a Network and, for the methods that look at data, scaled stays of the training split with their outcomes.
Goes out: for each group of channels a score each; the lowest are cut.

| method | a channel's score |
| --- | --- |
| mean | mean absolute weight over its inputs (the paper, section II-H) |
| l2 | Euclidean norm of its input weights |
| taylor | mean absolute first-order change of a stay's loss when it is silenced (Molchanov et al. 2017) |
| fisher | half the mean square of that change (Theis et al. 2018, the paper's [8]) |
| correlation | how unlike any other channel it behaves (NoiseOut, the paper's [21]) |
| random | the control |
"""

from typing import Any

import numpy as np

from mortcond.channels import Group
from mortcond.condense.activations import activations
from mortcond.layers.operations import NUMPY
from mortcond.network import Network, evaluate

MAGNITUDES = ("mean", "l2")  # they depend on a layer's number of inputs: across layers, compare them normalised
NEED_OUTCOMES = ("taylor", "fisher")
NEED_DATA = ("taylor", "fisher", "correlation")
STAYS = 512  # enough for a stable order of the channels, few enough for a laptop
EPSILON = 1e-4


def score(
    network: Network,
    method: str,
    channel_groups: list[Group],
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return the score of every channel of each group, (channels,) float64.

    Parameters
    ----------
    network
        The network to prune.
    method
        One of `core.choices.Method`.
    channel_groups
        Of `channels.groups(network)`.
    x, y
        Stays of the training split (stays, hours, features), scaled, and their outcomes (stays,); for the methods of
        NEED_DATA. More than STAYS are thinned to that number, by a draw with `seed`.
    seed
        Of that draw, and of random scores.
    """
    generator = np.random.default_rng(seed)
    if method in NEED_DATA and len(x) > STAYS:
        drawn = np.sort(generator.permutation(len(x))[:STAYS])
        x, y = x[drawn], y[drawn]
    if method == "random":
        return {group.name: generator.random(group.size) for group in channel_groups}
    if method == "correlation":
        outputs = activations(network, x)
        return {group.name: dissimilarity(outputs[group.name]) for group in channel_groups}
    if method in ("taylor", "fisher"):
        changes = loss_changes(network, channel_groups, x, y)
        mean = {"taylor": lambda change: np.abs(change).mean(0), "fisher": lambda change: (change**2).mean(0) / 2}
        return {name: mean[method](change) for name, change in changes.items()}
    weights = {group.name: input_weights(network, group) for group in channel_groups}
    if method == "mean":
        return {name: np.abs(values).mean(1) for name, values in weights.items()}
    return {name: np.linalg.norm(values, axis=1) for name, values in weights.items()}


def input_weights(network: Network, group: Group) -> np.ndarray:
    """Return the weights of every input of each channel, (channels, weights): of an LSTM unit, those of its four gates.

    Biases are no inputs and left out.
    """
    arrays = network.arrays()
    matrices = [(arrays[slot.array], slot) for slot in group.makers if arrays[slot.array].ndim == 2]
    columns = [np.take(matrix, slot.positions, slot.axis) for matrix, slot in matrices]  # (inputs, channels, gates)
    return np.concatenate([array.swapaxes(1, 2).reshape(-1, group.size) for array in columns]).T.astype(np.float64)


def loss_changes(network: Network, channel_groups: list[Group], x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the first-order change of each stay's loss when a channel is silenced: for each group (stays, channels).

    A channel is silenced by turning the gain g of what reads it from 1 to 0; to first order the loss then changes by
    -dL/dg. The derivative is taken by a central difference of the reference evaluation in float64 (error about 1e-8):
    two evaluations of what comes after a channel, without a second implementation of every layer's gradient.
    """
    x = x.astype(np.float64)
    arrays = {name: array.astype(np.float64) for name, array in network.arrays().items()}
    values = evaluate(network, NUMPY, arrays, x)

    def losses(group: Group, channel: int, gain: float, known: dict[str, Any]) -> np.ndarray:
        changed = dict(arrays)
        for slot in group.outgoing:
            changed[slot.array] = changed[slot.array].copy()
            changed[slot.array][slot.of(np.array([channel]))] *= gain  # what reads a channel is rows
        risk = evaluate(network, NUMPY, changed, x, known)[network.output.name][:, 0]
        risk = np.clip(risk, 1e-12, 1 - 1e-12)
        return -np.where(y == 1, np.log(risk), np.log(1 - risk))

    def change(group: Group, channel: int, known: dict[str, Any]) -> np.ndarray:
        below, above = (losses(group, channel, gain, known) for gain in (1 - EPSILON, 1 + EPSILON))
        return (below - above) / (2 * EPSILON)

    found = {}
    for group in channel_groups:
        known = {name: values[name] for name in _untouched(network, group)}
        found[group.name] = np.stack([change(group, channel, known) for channel in range(group.size)], axis=1)
    return found


def _untouched(network: Network, group: Group) -> set[str]:
    """Return the nodes that do not depend on what reads the channels of a group."""
    reading = {places.array for places in group.outgoing}
    touched: set[str] = set()
    for node in network.nodes:
        own = any(f"{node.name}.{array}" in reading for array in node.layer.arrays())
        if own or touched.intersection(node.inputs):
            touched.add(node.name)
    return {node.name for node in network.nodes} - touched


def dissimilarity(outputs: np.ndarray) -> np.ndarray:
    """Return how unlike the others each channel is, (channels,), from its outputs (observations, channels).

    As NoiseOut does: of the most correlated pair among the channels left, the one that varies less goes, and so on; the
    score is 1 - |correlation| at the moment it goes, never less than that of one gone before. The last scores 1; one
    that never varies is a constant, which goes first, with 0.
    """
    spread = outputs.std(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.abs(np.nan_to_num(np.corrcoef(outputs, rowvar=False).reshape(len(spread), -1), nan=0.0))
    alike[spread == 0, :] = alike[:, spread == 0] = 2.0  # more alike than any pair that varies
    np.fill_diagonal(alike, -1.0)
    values, worst = np.ones(len(spread)), 0.0
    for turn in range(len(spread) - 1):
        first, second = np.unravel_index(np.argmax(alike), alike.shape)
        going = first if spread[first] <= spread[second] else second
        worst = max(worst, 1 - alike[first, second])
        values[going] = worst + 1e-12 * turn  # keeps the order among equals
        alike[going, :] = alike[:, going] = -1.0
    return values
