"""The one reader of npz files: data sets, weights, checkpoints, the state of an optimiser.

Comes in: a path. Goes out: arrays, after shape and kind of each were checked against the file, against what the caller
expects and against the memory that is left; or an InputError. Nothing is believed that a file says of itself: a few
bytes can claim gigabytes, and 20 MB can unpack to them.
"""

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.memory import refuse_beyond_memory

KINDS = "biufU"  # of numpy's types: no objects (they are pickles), no records
DEFLATE_LIMIT = 1032  # bytes that one byte of deflate can become, at most
LARGE = 1 << 26  # bytes; a larger array that is packed beyond MOST_PACKED is refused
MOST_PACKED = 200  # real records pack about tenfold
MOST_BYTES = 1 << 30  # of an array that is neither stays nor named with a limit of its own
BLOCK = 1 << 24  # bytes read at a time
BROKEN = (  # what zipfile, numpy and json raise for bytes that are not what they say
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError),
    *(KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError),
)


@dataclass(frozen=True)
class Header:
    """What an array's own header says, found to be true of the bytes that are there."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool  # the first index runs fastest

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """An open npz file."""

    def __init__(self, path: Path, file: zipfile.ZipFile):
        self.path, self.file = path, file
        entries = file.infolist()
        if sum(entry.compress_size for entry in entries) > os.path.getsize(path):
            raise ValueError("its parts are larger than the whole")
        self._headers: dict[str, Header] = {}

    @property
    def names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self.file.namelist()]

    def header(self, name: str) -> Header:
        """Return shape and type of an array, without reading it."""
        if name not in self._headers:
            with self._member(name) as member:
                self._headers[name] = self._checked_header(name, member)
        return self._headers[name]

    def array(
        self, name: str, shape: tuple[int | None, ...] | None = None, kinds: str = KINDS, most_bytes: int = MOST_BYTES
    ) -> np.ndarray:
        """Return an array.

        Parameters
        ----------
        shape
            What it must have; None in the place of a number: any.
        kinds
            Letters of numpy's kinds that it may be of.
        most_bytes
            A larger one is refused before it is read.
        """
        header = self.expect(name, shape, kinds, most_bytes)
        refuse_beyond_memory(header.nbytes, f"{name} of {self.path}")
        array = np.empty(header.shape[::-1] if header.fortran else header.shape, header.dtype)
        with self._member(name) as member:
            self._checked_header(name, member)
            _fill(name, array, member)
        return array.T if header.fortran else array

    def expect(
        self, name: str, shape: tuple[int | None, ...] | None, kinds: str, most_bytes: int = MOST_BYTES
    ) -> Header:
        """Return an array's header after a comparison with what is expected of it, see `array`."""
        header = self.header(name)
        if header.dtype.kind not in kinds:
            raise ValueError(f"{name} holds {header.dtype}")
        same = shape is None or (
            len(shape) == len(header.shape)
            and all(wanted in (None, found) for wanted, found in zip(shape, header.shape, strict=True))
        )
        if not same:
            raise ValueError(f"{name} has the shape {header.shape}, not {_shown(shape)}")
        if header.nbytes > most_bytes:
            raise ValueError(f"{name} would take {header.nbytes:,} bytes; at most {most_bytes:,} are read")
        return header

    def text(self, name: str, most_bytes: int) -> str:
        """Return a text that stands alone, of at most `most_bytes` in memory (4 a letter)."""
        return str(self.array(name, (), "U", most_bytes))

    def texts(self, name: str, most: int, most_letters: int) -> tuple[str, ...]:
        """Return a row of texts: at most `most` of `most_letters` each."""
        header = self.expect(name, (None,), "U")
        if header.shape[0] > most or header.dtype.itemsize > 4 * most_letters:
            raise ValueError(f"{name} are {header.shape[0]:,} texts of up to {header.dtype.itemsize // 4:,} letters")
        found = tuple(str(text) for text in self.array(name))
        for text in found:
            text.encode("utf-8")  # half a letter cannot be written anywhere
        return found

    def rows(self, name: str, size: int) -> Iterator[np.ndarray]:
        """Yield an array `size` rows at a time, so that it may be larger than the memory."""
        header = self.header(name)
        if header.fortran and len(header.shape) > 1:  # a row is all over the file
            whole = self.array(name, most_bytes=header.nbytes)
            yield from (whole[start : start + size] for start in range(0, len(whole), size))
            return
        with self._member(name) as member:
            self._checked_header(name, member)
            for start in range(0, header.shape[0], size):
                block = np.empty((min(size, header.shape[0] - start), *header.shape[1:]), header.dtype)
                _fill(name, block, member, last=start + size >= header.shape[0])
                yield block

    def _member(self, name: str) -> zipfile.ZipExtFile:
        entry = self.file.getinfo(f"{name}.npy")
        if entry.flag_bits & 1:
            raise ValueError(f"{name} is encrypted")
        if entry.compress_type == zipfile.ZIP_STORED:
            true = entry.file_size == entry.compress_size
        else:
            true = entry.compress_type == zipfile.ZIP_DEFLATED and entry.file_size <= DEFLATE_LIMIT * (
                entry.compress_size + 64
            )
        if not true:
            raise ValueError(f"{name} cannot unpack to the {entry.file_size:,} bytes that it claims")
        if entry.file_size > LARGE and entry.file_size > MOST_PACKED * entry.compress_size:
            raise ValueError(f"{name} would unpack to {entry.file_size:,} bytes, of {entry.compress_size:,}")
        return self.file.open(entry)

    def _checked_header(self, name: str, member: zipfile.ZipExtFile) -> Header:
        shape, fortran, dtype = _npy_header(member)
        if dtype.kind not in KINDS or dtype.names or any(count < 0 for count in shape):
            raise ValueError(f"{name} holds {dtype} of shape {shape}")
        header = Header(tuple(map(int, shape)), dtype, fortran)
        held = self.file.getinfo(f"{name}.npy").file_size - member.tell()
        if held != header.nbytes:
            raise ValueError(f"{name} should take {header.nbytes:,} bytes by its shape, and has {held:,}")
        return header


@contextmanager
def opened(path: Path, problem: str, remedy: str) -> Iterator[Archive]:
    """Open an npz file; whatever is wrong with it, found here or in the block, becomes an InputError.

    Parameters
    ----------
    problem
        What to say after the path, such as "is no data set".
    remedy
        What to do.
    """
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(path, file)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path} {problem}: there is no such file.", remedy) from None
    except BROKEN as error:
        raise InputError(f"{path} {problem} ({type(error).__name__}: {str(error)[:300]}).", remedy) from None


def read_all(path: Path, problem: str, remedy: str, most_bytes: int = MOST_BYTES) -> dict[str, np.ndarray]:
    """Return every array of a file that takes at most `most_bytes` altogether; raises as `opened`."""
    with opened(path, problem, remedy) as archive:
        total = sum(archive.header(name).nbytes for name in archive.names)
        if total > most_bytes:
            raise ValueError(f"it would take {total:,} bytes; at most {most_bytes:,} are read")
        return {name: archive.array(name) for name in archive.names}


def _fill(name: str, array: np.ndarray, member: zipfile.ZipExtFile, last: bool = True) -> None:
    """Read the bytes of a contiguous array; `last`: they are the member's last, so that its checksum is compared."""
    size, view = array.nbytes, memoryview(array.reshape(-1).view(np.uint8)) if array.nbytes else b""
    done = 0
    while done < size:
        block = member.read(min(BLOCK, size - done))
        if not block:
            raise EOFError(f"{name} ends early")
        view[done : done + len(block)] = block
        done += len(block)
    if last and member.read(1):
        raise ValueError(f"{name} has bytes left over")


def _npy_header(member: zipfile.ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(member)
    except (RecursionError, MemoryError):  # what Python's parser raises for many brackets
        raise ValueError("a header that cannot be read") from None


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if count is None else str(count) for count in shape)})"
