"""Files on disk: written beside their final name and renamed when complete, and known by their SHA-256.

Comes in: a target path. Goes out: the complete artifact, or the old one untouched.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mortcond.core import locks
from mortcond.core.errors import InputError, UsageError, of_the_disk
from mortcond.core.exchange import exchange
from mortcond.core.leftovers import tidy

MANIFEST = "manifest.json"
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # what file managers leave in folders that they show


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Raise UsageError where `target` exists and may not be replaced, or another process is about to write it.

    Call it before the work, not after: until the artifact is written, or the command ends, the name is this process's.
    """
    tidy(target.parent, again=True)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already.", "Pass --overwrite to replace it, or -o/--out for another name.")
    locks.claim(target)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; on success fsync it and rename it to `target`, else delete it."""
    with _writing(target):
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
    with _writing(target):
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            for path in sorted(partial.rglob("*")):
                _fsync(path)
            _replace(partial, target)
            _fsync(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, target: Path) -> None:
    """Put one directory in the place of another, in one step where the system can; the old one is gone, or `partial`.

    Where it cannot, the old one is aside for a moment; if the process is killed then, `leftovers` puts it back.
    """
    if not target.exists():
        os.replace(partial, target)
    elif not exchange(partial, target):
        old = target.with_name(f".{target.name}.old-{os.getpid()}")
        os.replace(target, old)
        try:
            os.replace(partial, target)
        except BaseException:
            if not target.exists():
                os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Hold the name of an artifact while it is written, after what killed processes left there is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    tidy(target.parent)
    tidy(Path(tempfile.gettempdir()))
    try:
        with locks.held(target):
            yield
    except Exception as error:
        full = of_the_disk(error, target)
        if full is None or full is error:
            raise
        raise full from error
    finally:
        locks.unclaim(target)  # what `refuse_existing` claimed


def copy_contents(source: Path, target: Path) -> None:
    """Copy the files of a folder, and nothing but their bytes: some shares let nobody set modes and times."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            copy_contents(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)


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
    own = directory / MANIFEST
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name not in LITTER)
    files = [path for path in files if path != own]
    return {path.relative_to(directory).as_posix(): sha256(path) for path in files}


def names_digest(path: Path) -> str:
    """Return the SHA-256 of the sorted names of all files below `path`, which tells of files that came or went."""
    found = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("\n".join(found).encode(errors="surrogateescape")).hexdigest()


def size_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files below a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _fsync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if path.is_dir():
        with suppress(OSError):  # Windows opens no folder, some file systems sync none; the rename is atomic there too
            _fsync_by(path, os.O_RDONLY)
    else:
        _fsync_by(path, os.O_RDWR)  # Windows syncs nothing that is only read


def _fsync_by(path: Path, how: int) -> None:
    descriptor = os.open(path, how)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
