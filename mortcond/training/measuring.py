"""How well a network does, split by split. Comes in: risks and outcomes. Goes out: losses and AUROC, for a history."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mortcond.dataset import SPLITS, Dataset, Split
from mortcond.scores import auroc, defined
from mortcond.training.batches import EPSILON


def measure(predict: Callable[[str], np.ndarray], dataset: Dataset) -> dict[str, Any]:
    """Return NAME_loss and auroc_NAME of every split; None where it is empty or has one outcome only.

    predict gives the risks of the split of a name, (stays,).
    """
    measured: dict[str, Any] = {part: None for name in SPLITS for part in (f"{name}_loss", f"auroc_{name}")}
    for name, split in filled_splits(dataset):
        risk = predict(name)
        measured |= {f"{name}_loss": _loss(split.y, risk), f"auroc_{name}": defined(auroc(split.y, risk))}
    return measured


def filled_splits(dataset: Dataset) -> list[tuple[str, Split]]:
    """Return name and split of those that have stays."""
    found = ((name, getattr(dataset, name)) for name in SPLITS)
    return [(name, split) for name, split in found if split is not None and len(split) > 0]


def _loss(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the mean cross-entropy."""
    risk = np.clip(risk.astype(np.float64), EPSILON, 1 - EPSILON)
    return float(-np.mean(np.where(y == 1, np.log(risk), np.log1p(-risk))))
