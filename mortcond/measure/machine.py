"""The machine that measured: processor, memory, system, versions; no name of it, of a user or of a place.

Comes in: nothing. Goes out: a dict for the report, and the processor's energy counter where the kernel lets it be read.
"""

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

from mortcond.core.manifest import library_versions

RAPL = Path("/sys/class/powercap")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe() -> dict[str, Any]:
    """Return what a reader needs to judge the times: what is unknown is None."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "os": _operating_system(),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "governor": _read(GOVERNOR),
        "energy_counter": "RAPL" if _counters() else None,
        "versions": library_versions(),
    }


def energy_joules() -> float | None:
    """Return the energy that the processor packages have used since the counter began; None where unreadable.

    The counter wraps after some minutes: a difference below zero is to be left out.
    """
    counters = _counters()
    if not counters:
        return None
    values = [_read(path) for path in counters]
    return None if None in values else sum(int(value) for value in values) / 1e6


@cache
def _counters() -> tuple[Path, ...]:
    """Return the readable energy counters of whole packages (intel-rapl:N; AMD's have the same names)."""
    found = sorted(RAPL.glob("intel-rapl:?/energy_uj")) if RAPL.is_dir() else []
    return tuple(path for path in found if _read(path) is not None)


def _cpu_model() -> str | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or None


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        return f"{platform.system()} {platform.release()}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
