"""The .keras file of Keras 3: a zip of config.json, metadata.json and model.weights.h5, read with h5py alone.

Comes in: a file. Goes out: its configuration, its weights by layer, and the version that wrote it.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mortcond.core.errors import InputError
from mortcond.core.scratch import scratch_folder
from mortcond.exchange.keras_graph import Stored
from mortcond.exchange.keras_hdf5 import REMEDY, CountedWeights, opened, version_of

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_BYTES = 1 << 30  # of one entry, unpacked
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    OSError,
    KeyError,
    ValueError,
    TypeError,
)


@contextmanager
def stored(path: Path) -> Iterator[Stored]:
    """Give what a .keras file holds, while it is open."""
    config, metadata, weights = _parts(path)
    with opened(io.BytesIO(weights), f"{WEIGHTS} in {path}") as file:
        version = version_of(str(metadata.get("keras_version", ""))) or (3, 0)
        yield Stored(config, CountedWeights(file), version, config.get("compile_config"))


def _parts(path: Path) -> tuple[dict, dict, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            config, metadata = (json.loads(entry(archive, name)) for name in (CONFIG, METADATA))
            weights = entry(archive, WEIGHTS)
        if not isinstance(config, dict) or not isinstance(metadata, dict):
            raise ValueError(f"{CONFIG} is no JSON object")
        return config, metadata, weights
    except BROKEN as error:
        raise InputError(f"{path} cannot be read as a .keras file ({error}).", REMEDY) from None


@contextmanager
def weights_file(path: Path) -> Iterator[Path]:
    """Give the weights of a .keras file as a file of their own, while it is needed."""
    with scratch_folder() as folder:
        target = folder / WEIGHTS
        target.write_bytes(_parts(path)[2])
        yield target


def entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the bytes of one entry, of no more than MOST_BYTES."""
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise ValueError(f"{name} is larger than any small network")
    with archive.open(name) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name} is larger than it says")
    return data
