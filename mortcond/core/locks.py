"""Locks: one process at a time writes a name, and a name whose lock is free has no living writer.

Comes in: the path of an artifact. Goes out: its lock, held until the artifact is written or the process ends, however
it ends; or an error that says who holds it. The lock is the system's own on the hidden file `.NAME.mortcond-lock`.
"""

import atexit
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from mortcond.core.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows: no locks, and so nothing of another process is ever taken for dead
    fcntl = None

SUFFIX = ".mortcond-lock"
PATIENCE_SECONDS = 2.0  # whoever only tidies up holds a lock for less
_HELD: dict[Path, tuple[int, int | None, int]] = {}  # by lock file: process, descriptor, how often it was taken
_CLAIMED: set[Path] = set()  # lock files of names that are held for the rest of a command


def lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}{SUFFIX}")


@contextmanager
def held(target: Path) -> Iterator[None]:
    """Hold the lock of a name during the block; what this process holds already, it may take again.

    Raises UsageError, within PATIENCE_SECONDS, where another process holds it.
    """
    path = _take_again(target)
    try:
        yield
    finally:
        _give_back(path)


def claim(target: Path) -> None:
    """Hold the lock of a name until `unclaim`, the end of the block of `claims`, or the end of this process.

    Raises as `held`.
    """
    if _key(target) not in _CLAIMED:
        _CLAIMED.add(_take_again(target))


def unclaim(target: Path) -> None:
    """Give back the lock of a name that was claimed; nothing where it was not."""
    if _key(target) in _CLAIMED:
        _CLAIMED.remove(_key(target))
        _give_back(_key(target))


@contextmanager
def claims() -> Iterator[None]:
    """Give back at the end what was claimed in the block: a command has ended, with or without its artifacts."""
    before = set(_CLAIMED)
    try:
        yield
    finally:
        for path in _CLAIMED - before:
            _CLAIMED.remove(path)
            _give_back(path)


def release_claims() -> None:
    """Give back every claim of this process."""
    while _CLAIMED:
        _give_back(_CLAIMED.pop())


def _key(target: Path) -> Path:
    return lock_file(Path(os.path.abspath(target)))


def _take_again(target: Path) -> Path:
    path = _key(target)
    process, descriptor, times = _HELD.get(path, (0, None, 0))
    if process != os.getpid():  # a fork knows of its parent's locks, but they are not its own
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, times = _patiently(path, target), 0
    _HELD[path] = (os.getpid(), descriptor, times + 1)
    return path


def _give_back(path: Path) -> None:
    process, descriptor, times = _HELD.pop(path, (0, None, 0))
    if process == os.getpid():
        if times > 1:
            _HELD[path] = (process, descriptor, times - 1)
        else:
            let_go(path, descriptor)


atexit.register(release_claims)


def take(path: Path) -> tuple[bool, int | None]:
    """Try to lock a file, which is made where it is missing.

    Returns
    -------
    Whether nobody else holds it, and the descriptor that does now; (True, None) where the system knows no locks.
    """
    while fcntl is not None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False, None
        except OSError:  # some network shares
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return True, None
        if _is_still(path, descriptor):
            return True, descriptor
        os.close(descriptor)  # its owner removed the file between our two calls
    return True, None


def let_go(path: Path, descriptor: int | None) -> None:
    """Remove a lock's file and give the lock back, in this order."""
    if descriptor is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _patiently(path: Path, target: Path) -> int | None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        free, descriptor = take(path)
        if free:
            _sign(descriptor)
            return descriptor
        if time.monotonic() > deadline:
            raise UsageError(
                f"{target} is being written by {_holder(path)}.",
                "Wait until it has ended, or write to another name with -o/--out.",
            )
        time.sleep(0.05)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int | None) -> None:
    """Write into the lock's file who holds it, for whoever finds it taken."""
    if descriptor is not None:
        words = [word for word in sys.argv[1:2] if not word.startswith("-")]
        command = " ".join(["mortcond", *words]) if "mortcond" in sys.argv[0] else Path(sys.argv[0]).name
        facts = {"pid": os.getpid(), "host": platform.node(), "command": command}
        facts["since"] = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(facts).encode(), 0)


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        where = "" if facts["host"] == platform.node() else f" on {facts['host']}"
        return f"process {facts['pid']}{where} ({facts['command']}, since {facts['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
