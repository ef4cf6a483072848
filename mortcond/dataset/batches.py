"""Raw records -> X by an input specification alone, a batch at a time, for prediction and for --apply."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mortcond.core.session import Session
from mortcond.dataset.spec import InputSpec


@dataclass(frozen=True)
class RawBatch:
    """Stays ready for a model."""

    stay_id: np.ndarray  # (stays,) int64
    X: np.ndarray  # (stays, hours, features) float32, scaled
    measured: np.ndarray  # (stays, variables) hours in which each measured variable was measured


def batches(source: Path, spec: InputSpec, session: Session, *, batch_stays: int = 1024) -> Iterator[RawBatch]:
    """Read raw records and yield X for all their stays, sorted by stay_id, in bounded memory."""
    yield from ()
