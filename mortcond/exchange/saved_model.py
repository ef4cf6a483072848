"""A SavedModel that Keras 2 wrote (model.save with save_format="tf"): its configuration and its variables, never run.

Comes in: the folder. Goes out: the same as of any file of Keras. TensorFlow reads the variables, in a child process
that loads no graph and no function: only numbers come back.
"""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.exchange.keras_graph import MODELS, Place, Stored
from mortcond.exchange.keras_hdf5 import version_of

METADATA = "keras_metadata.pb"  # of Keras before 2.13 or with the TensorFlow format: a line of JSON for each object
MOST_BYTES = 1 << 28
SECONDS = 120
CHILD = """
import sys, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy, tensorflow
checkpoint = tensorflow.train.load_checkpoint(sys.argv[1])
shapes, kinds = checkpoint.get_variable_to_shape_map(), checkpoint.get_variable_to_dtype_map()
wanted = [name for name in shapes if name.endswith(sys.argv[2]) and kinds[name].is_floating]
arrays = {name: checkpoint.get_tensor(name) for name in wanted if numpy.prod(shapes[name]) < 1 << 27}
numpy.savez(sys.stdout.buffer, **{str(i): array for i, array in enumerate(arrays.values())}, names=list(arrays))
"""
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
EXPORT = "Save the network itself as .keras or .h5 (model.save), and import that."


@contextmanager
def stored(path: Path) -> Iterator[Stored]:
    """Give what a SavedModel of Keras 2 holds.

    Raises InputError where Keras' own description is not in it: the graph alone is code.
    """
    objects = _objects(path)
    root = objects.get("root")
    if root is None or not isinstance(root.get("config"), dict) or "layers" not in root["config"]:
        raise InputError(f"{path} does not say of which layers it is made ({METADATA}).", EXPORT)
    config = root.get("model_config") or {"class_name": root["class_name"], "config": root["config"]}
    weights = _Variables(_places(config), path)
    yield Stored(config, weights, _version(root), root.get("training_config"))


def _version(root: dict[str, Any]) -> tuple[int, ...]:
    return version_of(str(root.get("keras_version", ""))) or (2, 4)


def _objects(path: Path) -> dict[str, dict[str, Any]]:
    """Return the JSON of each Keras object in a SavedModel, by its path in the tree of objects."""
    file = path / METADATA
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} holds a graph without Keras' own description ({METADATA}).", EXPORT)
    found = {}
    for message in _messages(file.read_bytes(), 1):
        parts = dict(_fields(message))
        try:
            found[parts[3].decode()] = json.loads(parts[5], object_hook=_plain)
        except (KeyError, ValueError, AttributeError):
            continue  # a metric, a loss: nothing of the network
    return found


def _plain(record: dict[str, Any]) -> Any:
    """Return a tuple or shape, as TensorFlow writes them in JSON, as a list."""
    return record["items"] if record.get("class_name") in ("__tuple__", "TensorShape") else record


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, value in _fields(data) if number == wanted and isinstance(value, bytes))


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the fields of a protobuf message: number, and bytes or a whole number."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"a field of kind {kind} in {METADATA}")
        length, place = _varint(data, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        if place + length > len(data):
            raise ValueError(f"{METADATA} ends too early")
        yield tag >> 3, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value, place = value | (byte & 0x7F) << shift, place + 1
        if byte < 0x80:
            return value, place
        shift += 7


def _variables(path: Path) -> dict[str, np.ndarray]:
    """Return every variable of a SavedModel by its key in the checkpoint, read by TensorFlow in a child process."""
    command = [sys.executable, "-I", "-c", CHILD, str(path / "variables" / "variables"), VALUE]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    except subprocess.TimeoutExpired:
        raise InputError(f"Reading {path} took more than {SECONDS} s.", "Is the folder at hand?") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode(errors="replace").strip().splitlines() or ["it died"])[-1]
        raise InputError(f"TensorFlow cannot read the variables of {path} ({last}).", EXPORT) from None
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as file:
        return {str(name): file[str(index)] for index, name in enumerate(file["names"])}


@dataclass
class _Variables:
    """The variables of a SavedModel by layer.

    A checkpoint holds each under the shortest way to it: a layer's own attribute, or its number among all variables of
    the model, which are those of its layers in their order.
    """

    places: dict[tuple[str, ...], list[tuple[int, str]]]  # of each layer: number and own name of its variables
    path: Path
    read: set[str] = field(default_factory=set)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return _variables(self.path)  # only where the layers were accepted

    def of(self, place: Place) -> list[np.ndarray]:
        found = []
        for number, own in self.places.get(place.names, []):
            names = (f"variables/{number}{VALUE}", f"{own}{VALUE}")
            name = next((name for name in names if name in self.arrays), names[0])
            self.read.add(name)
            found.append(self.arrays[name])
        return found

    def unread(self) -> list[str]:
        own = (name for name in self.arrays if name.startswith(("variables/", "layer")))
        return [name for name in own if name not in self.read]


def _places(model: dict[str, Any]) -> dict[tuple[str, ...], list[tuple[int, str]]]:
    """Return where the variables of each layer are, from the order of the layers."""
    found: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    number = 0
    for names, path, entry in _layers(model, (), ""):
        own = _weight_names(entry)
        found[names] = [(number + index, f"{path}/{name}") for index, name in enumerate(own)]
        number += len(own)
    return found


def _layers(model: dict[str, Any], around: tuple[str, ...], path: str) -> Iterator[tuple[tuple[str, ...], str, dict]]:
    """Yield the names, way in the checkpoint and entry of every layer that has weights, nested ones in their place."""
    weighted = 0
    for entry in model["config"]["layers"]:
        nested = entry["class_name"] in MODELS
        if not nested and not _weight_names(entry):
            continue
        here = f"{path}layer_with_weights-{weighted}"
        weighted += 1
        names = (*around, str(entry["config"]["name"]))
        if nested:
            yield from _layers(entry, names, f"{here}/")
        else:
            yield names, here, entry


def _weight_names(entry: dict[str, Any]) -> list[str]:
    """Return the weights that a layer has, in Keras' order."""
    kind, config = entry["class_name"], entry["config"]
    if kind == "TimeDistributed":
        return _weight_names(config["layer"])
    if kind == "Bidirectional":
        return _weight_names(config["layer"]) + _weight_names(config.get("backward_layer") or config["layer"])
    if kind == "BatchNormalization":
        learnt = [name for name, flag in (("gamma", "scale"), ("beta", "center")) if config.get(flag, True)]
        return [*learnt, "moving_mean", "moving_variance"]
    bias = ["bias"] if config.get("use_bias", True) else []
    kernels = {"Dense": ["kernel"], "LSTM": ["kernel", "recurrent_kernel"], "GRU": ["kernel", "recurrent_kernel"]}
    return kernels[kind] + bias if kind in kernels else []
