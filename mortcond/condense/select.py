"""condense: which channels stay.

Comes in: the score of every channel and how many shall go. Goes out: the indices of those that stay. A layer is never
emptied; equal scores are told apart by position, the first goes first, so the count is always that of the quantile.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Amount:
    """How much goes: a quantile, per layer or over all layers, or what stays of each layer."""

    quantile: float = 0.5
    keep: tuple[int, ...] = ()  # channels to keep, of every group or one number a group; beats the quantile
    scope: str = "layer"


def removed_at_quantile(size: int, quantile: float) -> int:
    """Return how many of `size` different scores lie below their quantile (linear interpolation): 8 of 16 at 0.5."""
    return max(0, math.ceil(quantile * (size - 1) - 1e-9))  # 1e-9: 0.1 * 10 shall not count as more than 1


def select(
    scores: dict[str, np.ndarray], amount: Amount, sizes: dict[str, int] | None = None, share: float = 1.0
) -> dict[str, np.ndarray]:
    """Return for each group the sorted indices of the channels that stay.

    Parameters
    ----------
    scores
        For each group, (channels,): the lowest go. For scope global they are compared across layers.
    amount
        How much goes in the end.
    sizes
        The original size of each group where some channels are gone already; None: as many as there are scores.
    share
        Of what goes in the end, how much is gone after this step: 1 for all.
    """
    sizes = sizes or {name: len(values) for name, values in scores.items()}
    gone = {name: sizes[name] - len(values) for name, values in scores.items()}
    if amount.scope == "global" and not amount.keep:
        total = round(share * removed_at_quantile(sum(sizes.values()), amount.quantile))
        return _without_lowest_of_all(scores, total - sum(gone.values()))
    final = _removed_by_group(sizes, amount)
    return {name: _without_lowest(values, round(share * final[name]) - gone[name]) for name, values in scores.items()}


def normalised(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return scores relative to the mean of their group, so that layers of unlike weights can be compared."""
    return {name: values / (values.mean() or 1.0) for name, values in scores.items()}


def _removed_by_group(sizes: dict[str, int], amount: Amount) -> dict[str, int]:
    if not amount.keep:
        return {name: removed_at_quantile(size, amount.quantile) for name, size in sizes.items()}
    keep = amount.keep * len(sizes) if len(amount.keep) == 1 else amount.keep
    return {name: max(0, size - max(1, wanted)) for (name, size), wanted in zip(sizes.items(), keep, strict=True)}


def _without_lowest(values: np.ndarray, count: int) -> np.ndarray:
    return np.sort(np.argsort(values, kind="stable")[max(0, count) :])


def _without_lowest_of_all(scores: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Remove the lowest of all, in turn, but never the best of a group."""
    candidates = []
    for position, (name, values) in enumerate(scores.items()):
        order = np.argsort(values, kind="stable")
        candidates += [(values[index], position, name, int(index)) for index in order[:-1]]
    candidates.sort(key=lambda candidate: candidate[0])  # stable: on equal scores the earlier layer goes first
    gone: dict[str, list[int]] = {name: [] for name in scores}
    for _, _, name, index in candidates[: max(0, count)]:
        gone[name].append(index)
    return {name: np.setdiff1d(np.arange(len(values)), gone[name]) for name, values in scores.items()}
