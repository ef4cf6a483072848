"""Limits of a process that reads what nobody vouches for. Comes in: seconds and bytes. Goes out: nothing."""

from contextlib import suppress
from pathlib import Path

CPU_SECONDS = 6  # of a processor: a loop without an end takes them all, a sound file a fraction
MEMORY_BYTES = 1_500_000_000  # beside what the process has already


def limit(cpu_seconds: int = CPU_SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
    """Let this process have no more from now on, where the system can say so."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        own = pages * resource.getpagesize()
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_AS, (own + memory_bytes, own + memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (used + cpu_seconds, used + cpu_seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
