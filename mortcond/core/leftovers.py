"""What processes left that were killed: removed by the next command that writes there, or put back in its place.

Comes in: a folder that is about to be written to or read from. Goes out: the same folder without parts of artifacts,
scratch and locks of dead processes. Nothing of a living one is touched: it holds a lock (`locks`), and has its number
in the name.
"""

import os
import re
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mortcond.core import locks

SCRATCH = "mortcond-"  # scratch folders are mortcond-* in the system's place for them, .mortcond-* beside an artifact
SCRATCH_LOCK = "owner.lock"
EMPTY_SECONDS = 60  # after which an empty scratch folder is no longer being made
_PART = re.compile(r"\.(?P<name>.+)\.(?P<kind>partial|old)-(?P<pid>[0-9]+)")
_LOCK = re.compile(rf"\.(?P<name>.+){re.escape(locks.SUFFIX)}")
_seen: set[Path] = set()  # folders that this process has tidied


def tidy(folder: Path, again: bool = False) -> None:
    """Remove what dead processes left in a folder, once a process; what cannot be removed stays without a word."""
    folder = Path(os.path.abspath(folder))
    if folder in _seen and not again:
        return
    _seen.add(folder)
    with suppress(OSError):
        entries = [entry.name for entry in os.scandir(folder) if entry.name.startswith((".", SCRATCH))]
        parts = [_PART.fullmatch(entry) or _LOCK.fullmatch(entry) for entry in entries]
        names = {found["name"] for found in parts if found}
        for name in names:
            with suppress(OSError):
                _tidy_name(folder / name)
        for entry in entries:
            if entry.startswith((SCRATCH, f".{SCRATCH}")):
                with suppress(OSError):
                    _tidy_scratch(folder / entry)


def exists(path: Path) -> bool:
    """Say whether an artifact is there; one that a killed process moved aside comes back."""
    if not path.exists() and any(path.parent.glob(f".{_escaped(path.name)}.old-*")):
        with suppress(OSError):
            _tidy_name(path)
    return path.exists()


def _tidy_name(target: Path) -> None:
    """Remove or put back what is left of one artifact, unless a living process writes it."""

    def remove() -> None:
        parts = [entry for entry in target.parent.iterdir() if _is_of(target.name, entry.name)]
        for part in sorted(parts, key=lambda entry: ".old-" not in entry.name):
            if not _is_alive(int(_PART.fullmatch(part.name)["pid"])):
                if _PART.fullmatch(part.name)["kind"] == "old" and not target.exists():
                    os.replace(part, target)
                _remove(part)

    _where_free(locks.lock_file(target), remove)


def _tidy_scratch(folder: Path) -> None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
        return
    lock = folder / SCRATCH_LOCK
    if lock.is_file():
        _where_free(lock, lambda: _remove(folder))
    elif time.time() - facts.st_mtime > EMPTY_SECONDS:
        folder.rmdir()  # fails where anything is in it: then it is not ours


def _where_free(lock: Path, action: Callable[[], None]) -> None:
    """Do something where nobody holds a lock, holding it meanwhile; not where the system knows no locks."""
    free, descriptor = locks.take(lock)
    if free and descriptor is not None:
        try:
            action()
        finally:
            locks.let_go(lock, descriptor)


def _is_of(name: str, entry: str) -> bool:
    found = _PART.fullmatch(entry)
    return found is not None and found["name"] == name


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():  # in a container each process may have the same number: this one writes nothing here yet
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)
