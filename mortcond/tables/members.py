"""Files in a folder or an archive, one after the other. Comes in: a folder, .tar.gz, .tgz or .zip. Goes out: names and
contents. Nothing is unpacked to disk; names that would leave the folder they are unpacked in are refused all the same.
"""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mortcond.core.errors import InputError

ARCHIVES = (".tar.gz", ".tgz", ".zip")
LARGEST_BYTES = 64 * 2**20  # no record of one stay comes near; what is larger would only fill the memory
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError)

Member = tuple[str, bytes, int]  # name within the source, content, bytes of the source read up to here


def is_archive(path: Path) -> bool:
    """Say whether a path is a file with the ending of an archive."""
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def members(source: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Yield the files of a folder (by name, at any depth) or archive (in its order) whose base name is wanted.

    Raises
    ------
    InputError
        The archive is broken, cut off or encrypted, or a member is no plain file, too large or named unsafely.
    """
    if not is_archive(source):
        yield from _in_folder(source, wanted)
        return
    reader = _in_zip if source.name.lower().endswith(".zip") else _in_tar
    try:
        yield from reader(source, wanted)
    except _BROKEN as error:
        problem = f"{source} is broken or cut off ({type(error).__name__}: {error})."
        raise InputError(problem, "Fetch or copy the archive again.") from None
    except RuntimeError:  # zipfile says so of an encrypted member
        raise InputError(f"{source} is encrypted.", "Unpack it and name the folder.") from None


def posix(name: str) -> str:
    """Return a member's name with slashes: some programs on Windows write backslashes into a zip."""
    return name.replace("\\", "/")


def base_name(name: str) -> str:
    """Return the last part of a name, also of a file that was unpacked with backslashes in its name."""
    return posix(name).rsplit("/", 1)[-1]


def _in_folder(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    position = 0
    for path in sorted(path for path in folder.rglob("*.*") if wanted(base_name(path.name)) and path.is_file()):
        content = path.read_bytes()
        position += len(content)
        yield str(path.relative_to(folder)), content, position


def _in_tar(source: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    with source.open("rb") as file, gzip.open(file) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                if wanted(_safe(source, member.name)) and not member.isdir():
                    if not member.isfile():
                        raise InputError(f"{source}: {member.name} is a link, no file.", "Unpack and check it.")
                    _refuse_large(source, member.name, member.size)
                    yield posix(member.name), archive.extractfile(member).read(), file.tell()
        while plain.read(2**20):  # to the end, where gzip tells whether something is missing
            pass


def _in_zip(source: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    position = 0
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if wanted(_safe(source, member.filename)) and not member.filename.endswith(("/", "\\")):
                _refuse_large(source, member.filename, member.file_size)
                position += member.compress_size
                yield posix(member.filename), archive.read(member), position


def _safe(source: Path, name: str) -> str:
    """Return the base name of a member.

    Raises InputError where its path leads out of the folder that the archive is unpacked in.
    """
    path = PurePosixPath(posix(name))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
        raise InputError(f"{source} holds a member with an unsafe path: {name!r}.", "Do not trust this archive.")
    return path.name


def _refuse_large(source: Path, name: str, size: int) -> None:
    if size > LARGEST_BYTES:
        raise InputError(f"{source}: {name} has {size:,} bytes, too many for one record.", "Unpack and check it.")
