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

from dataclasses import replace

import numpy as np

from mortcond.condense.activations import activations
from mortcond.condense.channels import Group
from mortcond.models.network import Network, summarise

MAGNITUDES = ("mean", "l2")  # they depend on a layer's number of inputs: across layers, compare them normalised
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
    matrices = [arrays[slot.array] for slot in group.incoming if arrays[slot.array].ndim == 2]
    columns = [matrix.reshape(-1, group.size) for matrix in matrices]  # (inputs * gates, channels)
    return np.concatenate(columns).T.astype(np.float64)


def loss_changes(network: Network, channel_groups: list[Group], x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the first-order change of each stay's loss when a channel is silenced: for each group (stays, channels).

    A channel is silenced by turning the gain g of what reads it from 1 to 0; to first order the loss then changes by
    -dL/dg. The derivative is taken by a central difference of the reference evaluation in float64 (error about 1e-8):
    two evaluations a channel, without a second implementation of every layer's gradient.
    """
    network, x = _without_hours(network, x)
    arrays = {name: array.astype(np.float64) for name, array in network.arrays().items()}

    def losses(group: Group, channel: int, gain: float) -> np.ndarray:
        changed = dict(arrays)
        for slot in group.outgoing:
            changed[slot.array] = changed[slot.array].copy()
            changed[slot.array][slot.indices(np.array([channel]), group.size)] *= gain  # what reads a channel is rows
        risk = np.clip(network.with_arrays(changed).predict(x), 1e-12, 1 - 1e-12)
        return -np.where(y == 1, np.log(risk), np.log(1 - risk))

    def change(group: Group, channel: int) -> np.ndarray:
        return (losses(group, channel, 1 - EPSILON) - losses(group, channel, 1 + EPSILON)) / (2 * EPSILON)

    return {
        group.name: np.stack([change(group, channel) for channel in range(group.size)], axis=1)
        for group in channel_groups
    }


def _without_hours(network: Network, x: np.ndarray) -> tuple[Network, np.ndarray]:
    """Summarise the hours once, not for every channel, where the network sees nothing but their summary."""
    if network.recurrent or network.summary != "mean":
        return network, x
    summary = summarise(x.astype(np.float64), network.summary, network.mask_columns)
    return replace(network, hours=1, mask_columns=(-1,) * network.features), summary[:, None, :]


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
