"""The memory that is left. Comes in: what a step is about to take. Goes out: nothing, or an InputError before it."""

import os
from pathlib import Path

from mortcond.core.errors import InputError

MEGABYTE = 1_000_000


def available_bytes() -> int | None:
    """Return the memory that this process can still have, as Linux and its control groups tell; else the machine's."""
    told = [bytes_left for bytes_left in (_of_machine(), _of_group()) if bytes_left is not None]
    return min(told, default=None)


def refuse_beyond_memory(needed: int, what: str) -> None:
    """Raise InputError where `what` needs more memory than there is."""
    available = available_bytes()
    if available is not None and needed > available:
        raise InputError(
            f"{what} takes {needed / MEGABYTE:,.0f} MB of memory; {available / MEGABYTE:,.0f} MB are free.",
            "Close other programs, or use fewer stays.",
        )


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None


def _of_group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return what the control group of this process (a container's) has left; None where it has no limit."""
    try:
        limit = (root / "memory.max").read_text(encoding="ascii").strip()
        used = (root / "memory.current").read_text(encoding="ascii").strip()
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
