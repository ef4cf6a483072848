"""Scratch folders: for what only lasts as long as a step, readable by nobody else (patients may be in it).

Comes in: a place. Goes out: an empty folder, gone when the block ends; one that a killed process left goes with the
next that is made beside it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mortcond.core import leftovers, locks


@contextmanager
def scratch_folder(near: Path | None = None) -> Iterator[Path]:
    """Give an empty folder of mode 700, hidden in the folder `near`, or in the system's place for such (TMPDIR)."""
    parent = Path(tempfile.gettempdir()) if near is None else near
    parent.mkdir(parents=True, exist_ok=True)
    leftovers.tidy(parent)
    outer, lock = _own(parent, leftovers.SCRATCH if near is None else f".{leftovers.SCRATCH}")
    try:
        folder = outer / "work"
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(outer, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _own(parent: Path, prefix: str) -> tuple[Path, int | None]:
    """Make a folder and lock it; where somebody tidied it away before it was locked, another."""
    while True:
        outer = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))  # mode 700
        try:
            free, lock = locks.take(outer / leftovers.SCRATCH_LOCK)
        except FileNotFoundError:
            continue
        if free:
            return outer, lock
