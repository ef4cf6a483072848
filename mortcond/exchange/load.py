"""A file with a network that somebody else trained -> a Network, whatever framework wrote it.

Comes in: a path. Goes out: the network, where it came from, and how well it agrees with its own framework where that
can be had. Nothing that a file holds is ever executed: what would need it (pickles, Lambda layers) is refused.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mortcond.core.errors import InputError
from mortcond.exchange.builder import AUTO, Output
from mortcond.exchange.compare import Agreement
from mortcond.network import Network

BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
PICKLE_REMEDY = "Export the network: torch.onnx.export for PyTorch, skl2onnx for scikit-learn; or model.save in Keras."
HDF5_START, ZIP_START, PICKLE_START, TFLITE_MARK = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x80", b"TFL3"


@dataclass(frozen=True)
class Given:
    """What the user says of a file that it does not say itself."""

    window: int | None = None  # hours, where the network takes any number
    output: str = AUTO  # of choices.NetworkOutput
    config: Path | None = None  # the shape, for a file with weights alone
    arch: str | None = None  # or the architecture that it has
    compare: bool = True  # with its own framework


@dataclass(frozen=True)
class Imported:
    """A network from elsewhere."""

    network: Network
    origin: str  # what wrote it, such as Keras 2.0.6
    agreement: Agreement | None = None  # with its own framework; None: that cannot be had here
    not_compared: str = ""  # why not


def load(path: Path, given: Given | None = None) -> Imported:
    """Read a network of Keras 1 to 3 (.keras, HDF5, SavedModel) or ONNX.

    Raises
    ------
    InputError
        The file is broken, or holds something that cannot be carried: the message names the layer and its setting.
    """
    reader = _reader(path)
    if given is not None and given.arch is not None and reader is not _hdf5:
        raise InputError(f"{path} tells its own shape.", "Leave out --arch.")
    try:
        return reader(path, given or Given())
    except BROKEN as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} contradicts itself ({what}).", "Save the network again.") from None


def _reader(path: Path) -> Callable[[Path, Given], Imported]:
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        return _directory(path)
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(HDF5_START):
        return _hdf5
    if start.startswith(ZIP_START):
        return _zip(path)
    if start[4:8] == TFLITE_MARK:
        raise InputError(f"{path} is a .tflite file, not to be trained or cut.", "Import the network it was made of.")
    if start.startswith(PICKLE_START) or path.suffix in (".pkl", ".pickle", ".joblib"):
        raise InputError(f"{path} is a pickle: to read it would run the code in it.", PICKLE_REMEDY)
    return _onnx


def _directory(path: Path) -> Callable[[Path, Given], Imported]:
    if (path / "network.npz").is_file():
        raise InputError(f"{path} is a model directory already.", "Use it as it is.")
    if not (path / "saved_model.pb").is_file():
        raise InputError(f"{path} is a folder without saved_model.pb.", "Name a file, or a SavedModel.")
    return _saved_model


def _zip(path: Path) -> Callable[[Path, Given], Imported]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is a broken zip ({error}).", "Copy it again.") from None
    if any(name.endswith(".pkl") for name in names):
        raise InputError(f"{path} is a pickle of PyTorch: to read it would run the code in it.", PICKLE_REMEDY)
    if "config.json" not in names:
        raise InputError(f"{path} is a zip, but no .keras file.", "Name a .keras, .h5 or .onnx file.")
    return _keras_archive


def _hdf5(path: Path, given: Given) -> Imported:
    from mortcond.exchange import keras_arch, keras_graph, keras_hdf5

    config = _config(given.config)
    if given.arch is not None:
        config = keras_arch.configuration(path, given.arch)
    with keras_hdf5.stored(path, config) as stored:
        network = keras_graph.read(stored, given.window, Output(given.output))
        held, version = stored.config, stored.version
    return _beside_keras(network, version, held, path, given)


def _config(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}).", "Write it with model.to_json().") from None
    if not isinstance(record, dict) or "class_name" not in record or "config" not in record:
        raise InputError(f"{path} is no configuration of a Keras model.", "Write it with model.to_json().")
    return record


def _keras_archive(path: Path, given: Given) -> Imported:
    from mortcond.exchange import keras_archive, keras_graph

    with keras_archive.stored(path) as stored:
        network = keras_graph.read(stored, given.window, Output(given.output))
        held, version = stored.config, stored.version
    with keras_archive.weights_file(path) as weights:
        return _beside_keras(network, version, held, weights, given)


def _beside_keras(network: Network, version: tuple, config: dict[str, Any], weights: Path, given: Given) -> Imported:
    """Return the network with what Keras itself makes of the file, where the Keras that wrote it can be had."""
    origin = f"Keras {_dotted(version)}"
    if version < (3, 0):
        return Imported(network, origin, not_compared=f"{origin} cannot be had beside Keras 3")
    if not given.compare or find_spec("keras") is None or find_spec("tensorflow") is None:
        why = "Keras is not installed" if given.compare else "it was not asked for"
        return Imported(network, origin, not_compared=why)
    from mortcond.exchange import keras_live

    return Imported(network, origin, keras_live.compared(network, keras_live.rebuilt(config, weights)))


def _saved_model(path: Path, given: Given) -> Imported:
    from mortcond.exchange import keras_graph, saved_model

    with saved_model.stored(path) as stored:
        network = keras_graph.read(stored, given.window, Output(given.output))
        origin = f"Keras {_dotted(stored.version)} (SavedModel)"
    return Imported(network, origin, not_compared="to run a SavedModel would run the code in it")


def _onnx(path: Path, given: Given) -> Imported:
    from mortcond.exchange import onnx_file, onnx_runtime

    network, origin, form = onnx_file.read(path, given.window, Output(given.output))
    if not given.compare or find_spec("onnxruntime") is None:
        why = "onnxruntime is not installed" if given.compare else "it was not asked for"
        return Imported(network, origin, not_compared=why)
    return Imported(network, origin, onnx_runtime.compared(network, path, form))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
