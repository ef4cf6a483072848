"""Raw records -> X by an input specification alone, a batch at a time, for prediction on new patients."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mortcond import tables
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.dataset.features import chunks, scaled, unscaled
from mortcond.dataset.spec import InputSpec
from mortcond.tables import Request


@dataclass(frozen=True)
class RawBatch:
    """Stays ready for a model."""

    stay_id: np.ndarray  # (stays,) int64
    X: np.ndarray  # (stays, hours, features) float32, scaled
    measured: np.ndarray  # (stays, variables) hours in which each variable was measured


def batches(
    source: Path,
    spec: InputSpec,
    session: Session,
    *,
    format: str | None = None,
    batch_stays: int = 512,
    memory_limit: str = "1GB",
    threads: int = 2,
) -> Iterator[RawBatch]:
    """Read raw records without outcomes and yield X for all their stays, sorted by stay_id, in bounded memory.

    Raises InputError where the records cannot be used, or hold no stay with a measurement.
    """
    with scratch_folder() as scratch:
        limits = {"memory_limit": memory_limit, "threads": threads, "console": session.console}
        request = Request(scratch, labels=False, window_hours=spec.window_hours, **limits)
        records = tables.read(source, spec.variables, request, format)
        for chunk, grid in chunks(records.events, records.stays, spec, batch_stays):
            X = scaled(unscaled(grid, chunk, spec), spec)
            yield RawBatch(chunk.stay_id.to_numpy(), X, grid.mask.sum(axis=1))
