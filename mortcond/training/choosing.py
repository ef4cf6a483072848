"""Which epoch counts, and when training ends: by the last epoch or by the validation split, never by the test split.

Comes in: rows of a history, settings. Goes out: an epoch's number, or the weights that count.
"""

from typing import Any

import numpy as np

from mortcond.network import Network
from mortcond.training.settings import TrainSettings

Rows = list[dict[str, Any]]


def patience_is_over(rows: Rows, settings: TrainSettings) -> bool:
    """Say whether the validation AUROC has not risen for as many epochs as settings allow."""
    if settings.patience is None or not rows or rows[-1]["auroc_val"] is None:
        return False
    return rows[-1]["epoch"] - _best_epoch(rows) >= settings.patience


def chosen_epoch(rows: Rows, settings: TrainSettings) -> int:
    """Return the epoch whose weights count."""
    best_counts = settings.keep == "best" and rows[-1]["auroc_val"] is not None
    return _best_epoch(rows) if best_counts else rows[-1]["epoch"]


def own(rows: Rows, weights: dict[int, Network]) -> Rows:
    """Return the rows whose weights are at hand: a pruned network's history begins with epochs of its parent."""
    return [row for row in rows if row["epoch"] in weights]


def averaged(weights: dict[int, Network], last: int, count: int) -> Network:
    """Return the mean of the weights of `count` epochs up to `last`, as far as they are at hand."""
    networks = [weights[epoch] for epoch in range(last - count + 1, last + 1) if epoch in weights]
    arrays = [network.arrays() for network in networks]
    return networks[-1].with_arrays({name: np.mean([a[name] for a in arrays], axis=0) for name in arrays[-1]})


def _best_epoch(rows: Rows) -> int:
    return max(rows, key=lambda row: (row["auroc_val"] or 0.0, -row["epoch"]))["epoch"]
