"""HDF5 files of Keras 1, 2 and 3 (.h5, .hdf5, .state, .weights.h5), read with h5py alone.

Comes in: a file. Goes out: its configuration, its weights by layer, and the version that wrote it. Nothing is run: no
Lambda layer, no pickle, no link to another file.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.scratch import scratch_folder
from mortcond.core.signals import environment_of_worker
from mortcond.exchange import keras1
from mortcond.exchange.keras_graph import Place, Stored

MOST_BYTES = 1 << 30  # of one array in memory
MOST_GROUPS = 100_000
CHILDREN = ("forward_layer", "backward_layer", "layer", "cell")  # of a wrapper or recurrent layer, in Keras' order
COUNTERS = ("seed_generator",)  # what a layer counts in training
BROKEN = (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError, RecursionError)
REMEDY = "Check that it is a whole network, written by Keras (model.save)."


@contextmanager
def opened(path: Path | Any, name: str) -> Iterator[h5py.File]:
    """Open an HDF5 file, or the bytes of one; whatever is wrong with it becomes an InputError."""
    if isinstance(path, Path):
        _probe(path)
    else:
        with scratch_folder() as folder:
            (folder / "weights.h5").write_bytes(path.getvalue())
            _probe(folder / "weights.h5", name)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except BROKEN as error:
        raise InputError(f"{name} cannot be read as an HDF5 file of Keras ({error}).", REMEDY) from None


def _probe(path: Path, name: str = "") -> None:
    """Raise InputError where a file ends the process that reads it, or lets it go round for ever."""
    command = [sys.executable, "-m", "mortcond.exchange.hdf5_probe", os.path.abspath(path)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment_of_worker())
    if done.returncode:
        raise InputError(f"{name or path} is no HDF5 file that can be read.", REMEDY)


@contextmanager
def stored(path: Path, config: dict[str, Any] | None = None) -> Iterator[Stored]:
    """Give what a file holds, while it is open.

    Parameters
    ----------
    config
        Class name and configuration, for a file that holds weights alone.
    """
    with opened(path, str(path)) as file:
        held = config or _config(file, path)
        version, training = _version(file, held), _text(file, "training_config")
        root = file.get("model_weights", file)
        if "layer_names" in root.attrs:
            weights: Any = NamedWeights(root, version)
            version = version or version_of(_text(root, "keras_version")) or (1, 0)
        else:
            weights = CountedWeights(file)
        if not version:
            raise InputError(f"Nothing says which Keras wrote {path}.", "Add keras_version to the configuration.")
        yield Stored(held, weights, version, json.loads(training) if training else None)


def _config(file: h5py.File, path: Path) -> dict[str, Any]:
    text = _text(file, "model_config")
    if text is None:
        raise InputError(
            f"{path} holds weights alone, and not the network's shape.",
            "Give its configuration with --model-config FILE.json (model.to_json()), or --arch.",
        )
    return json.loads(text)


def _version(file: h5py.File, config: dict[str, Any]) -> tuple[int, ...]:
    """Return the version that wrote a file, or the configuration beside it: only Keras 3's say a layer's module."""
    said = _text(file, "keras_version") or str(config.get("keras_version", ""))
    return version_of(said) or ((3, 0) if config.get("module") else ())


def version_of(text: str | None) -> tuple[int, ...]:
    """Return a version such as 2.2.4-tf as numbers; empty: it is not known."""
    digits = [part for part in (text or "").split("-")[0].split(".") if part.isdigit()]
    return tuple(int(part) for part in digits)


def _text(group: h5py.Group, name: str) -> str | None:
    value = group.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def texts(group: h5py.Group, name: str) -> list[str]:
    """Return the names that an attribute lists; Keras cuts a long list in parts: name0, name1 ..."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [value.decode() if isinstance(value, bytes) else str(value) for part in parts for value in part]


def array_of(group: h5py.Group, name: str) -> np.ndarray:
    """Return a stored array of real numbers; nothing is read from another file."""
    item = group[name]
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or item.file.id != group.file.id:
        raise ValueError(f"{name} is no array of this file")
    if item.dtype.kind not in "fiu" or item.size * 8 > MOST_BYTES:
        raise ValueError(f"{name} holds {item.dtype} of shape {item.shape}, not the weights of a small network")
    if item.id.get_storage_size() == 0 and item.size:
        raise ValueError(f"{name} was never written")
    return item[()]


@dataclass
class NamedWeights:
    """The layout with a group a layer and the names of its weights in their order."""

    root: h5py.Group
    version: tuple[int, ...]
    read: set[str] = field(default_factory=set)

    def of(self, place: Place) -> list[np.ndarray]:
        top = place.names[0]
        if top not in self.root:
            return []
        names = texts(self.root[top], "weight_names")
        if len(place.names) > 1:
            names = [name for name in names if place.names[-1] in name.split("/")[:-1]]
        self.read.update(f"{top}: {name}" for name in names)
        arrays = [array_of(self.root[top], name) for name in names if _is_weight(name)]
        return keras1.modern_weights(arrays) if self.version < (2, 0) else arrays

    def unread(self) -> list[str]:
        groups = ((top, self.root[top]) for top in texts(self.root, "layer_names"))
        held = [f"{top}: {name}" for top, group in groups for name in texts(group, "weight_names")]
        return [name for name in held if name not in self.read and _is_weight(name)]


def _is_weight(name: str) -> bool:
    return not any(counter in name for counter in COUNTERS)


@dataclass
class CountedWeights:
    """The layout of Keras 3: a group a layer, named by its class and how many came before, weights by number."""

    root: h5py.Group
    read: set[str] = field(default_factory=set)

    def of(self, place: Place) -> list[np.ndarray]:
        group = self._group(place.store)
        return [] if group is None else [array_of(self.root, name) for name in self._taken(group)]

    def _group(self, store: str) -> h5py.Group | None:
        """Return a layer's group; Keras 2.13 wrote its top level under another name, on Windows with backslashes."""
        inner = store.removeprefix("/layers/")
        for name in (store.strip("/"), f"_layer_checkpoint_dependencies/{inner}", f"layers\\{inner}"):
            if name in self.root:
                return self.root[name]
        return None

    def _taken(self, group: h5py.Group) -> list[str]:
        names = list(arrays_below(group))
        self.read.update(names)
        return names

    def unread(self) -> list[str]:
        found: list[str] = []
        self.root.visititems(lambda name, item: found.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
        other = ("optimizer", "metrics", "loss")  # of the training
        return [
            name for name in found if name not in self.read and _is_weight(name) and name.split("/")[1] not in other
        ]


def arrays_below(group: h5py.Group) -> Iterator[str]:
    """Yield the names of the arrays of a layer: its own, then those of the layers in it."""
    own = group.get("vars")
    if own is not None:
        yield from (f"{own.name}/{name}" for name in sorted(own, key=int))
    for child in CHILDREN:
        if child in group:
            yield from arrays_below(group[child])
