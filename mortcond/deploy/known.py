"""The `.tflite` files that this machine wrote, or has run once in a process of its own without harm.

Comes in: the bytes of a file. Goes out: whether they are known; a hash and the runtime's version a file are kept in the
user's folder for caches (or in that of the variable MORTCOND_CACHE).
"""

import hashlib
import os
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

FILE = "known-tflite-files.txt"
MOST = 20_000  # files; then the older half is forgotten


def cache_folder() -> Path:
    """Return the folder for what can be found out again."""
    told = os.environ.get("MORTCOND_CACHE")
    if told:
        return Path(told)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mortcond"
    of_system = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(of_system or Path.home() / ".cache") / "mortcond"


def is_known(content: bytes) -> bool:
    """Say whether this machine wrote or ran these very bytes, with the runtime of today."""
    try:
        return _line(content) in (cache_folder() / FILE).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home
        return False


def remember(content: bytes) -> None:
    """Keep that a file is known; where nothing can be kept, it will be looked at again the next time."""
    with suppress(OSError, ValueError, RuntimeError):
        if is_known(content):
            return
        path = cache_folder() / FILE
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="ascii") as file:
            file.write(_line(content) + "\n")
        lines = path.read_text(encoding="ascii").splitlines()
        if len(lines) > MOST:
            path.write_text("".join(f"{line}\n" for line in lines[-MOST // 2 :]), encoding="ascii")


def _line(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()} {_runtime()}"


def _runtime() -> str:
    try:
        return metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:
        return "unknown"
