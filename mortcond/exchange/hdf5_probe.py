"""An HDF5 file read for the first time: `python -m mortcond.exchange.hdf5_probe FILE`, in a process that may be lost.

Comes in: a path. Goes out: exit code 0 where the library can walk the whole file. A few changed bytes let it go round
for ever, and then no exception comes.
"""

import sys
from contextlib import suppress

import h5py

from mortcond.core.limits import limit
from mortcond.core.signals import end_with_parent

MOST_BYTES = 1 << 30


def walk(path: str) -> None:
    """Read every attribute and every array of numbers."""
    with h5py.File(path, "r") as file:
        _attributes(file)
        file.visititems(lambda name, item: _read(item))


def _read(item: h5py.Group | h5py.Dataset) -> None:
    _attributes(item)
    outside = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
    if isinstance(item, h5py.Dataset) and not outside and item.dtype.kind in "fiu" and item.size * 8 <= MOST_BYTES:
        item[()]


def _attributes(item: h5py.Group | h5py.Dataset) -> None:
    for name in item.attrs:
        item.attrs[name]


if __name__ == "__main__":
    end_with_parent()
    limit()
    with suppress(Exception):  # a fault that is an exception is told where the file is read in earnest
        walk(sys.argv[1])
