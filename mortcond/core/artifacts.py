"""Files on disk: written beside their final name and renamed when complete, and known by their SHA-256.

Comes in: a target path. Goes out: the complete artifact, or the old one untouched.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mortcond.core.errors import InputError, UsageError

MANIFEST = "manifest.json"


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise UsageError where `target` exists and may not be replaced; call it before the work, not after."""
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already.", "Pass --overwrite to replace it, or -o/--out for another name.")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; on success fsync it and rename it to `target`, else delete it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        yield partial
        _fsync(partial)
        os.replace(partial, target)
        _fsync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Give an empty temporary directory beside `target`; on success fsync its files and put it in `target`'s place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for path in sorted(partial.rglob("*")):
            _fsync(path)
        if target.exists():  # a directory cannot be renamed over a full one: move the old one aside first
            os.replace(target, old)
        os.replace(partial, target)
        _fsync(target.parent)
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of a directory's sorted (name, SHA-256) pairs without its manifest.

    The manifest holds this very hash of its directory, so it cannot be part of it; checkpoints and everything else are.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist.", "Check the path, or make the file with the command before this one."
        )
    if path.is_dir():
        digest = hashlib.sha256()
        for name, value in directory_hashes(path).items():
            digest.update(f"{name}\0{value}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def directory_hashes(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `directory` but its manifest, by relative POSIX name, sorted."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(directory).as_posix(): sha256(path) for path in files}


def size_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files below a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if path.is_file():  # some file systems cannot fsync a directory; the rename is still atomic there
            raise
    finally:
        os.close(descriptor)
