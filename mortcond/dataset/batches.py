"""Raw records -> X by an input specification alone, a batch at a time, for prediction on new patients."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class RawStays:
    """The stays of raw records: those that can be predicted, and why the others cannot."""

    batches: Iterator[RawBatch]  # sorted by stay_id
    stays: int  # how many they give
    dropped: dict[int, str]  # stay_id -> why, sorted
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@contextmanager
def raw_stays(
    source: Path,
    spec: InputSpec,
    session: Session,
    *,
    format: str | None = None,
    strict: bool = False,
    batch_stays: int = 512,
    memory_limit: str = "1GB",
    threads: int = 2,
) -> Iterator[RawStays]:
    """Read raw records without outcomes and give X for all their stays, in bounded memory.

    Raises InputError where the records cannot be used.
    """
    with scratch_folder() as scratch:
        limits = {"memory_limit": memory_limit, "threads": threads, "console": session.console}
        request = Request(scratch, labels=False, strict=strict, window_hours=spec.window_hours, **limits)
        records = tables.read(source, spec.variables, request, format)
        rules = {step.step: step.rule for step in records.attrition}
        pairs = records.dropped.sort_values("stay_id").itertuples(index=False)
        dropped = {int(stay): f"{step} (needs {rules[step]})" for stay, step in pairs}
        found = _batches(records, spec, batch_stays)
        yield RawStays(found, len(records.stays), dropped, records.notes, records.warnings)


def batches(source: Path, spec: InputSpec, session: Session, **options) -> Iterator[RawBatch]:
    """Yield the batches of `raw_stays`, which see."""
    with raw_stays(source, spec, session, **options) as raw:
        yield from raw.batches


def _batches(records: tables.Records, spec: InputSpec, size: int) -> Iterator[RawBatch]:
    for chunk, grid in chunks(records.events, records.stays, spec, size):
        X = scaled(unscaled(grid, chunk, spec), spec)
        yield RawBatch(chunk.stay_id.to_numpy(), X, grid.mask.sum(axis=1))
