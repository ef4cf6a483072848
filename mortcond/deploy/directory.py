"""Model directories: everything about one trained network, written as a whole or not at all (DESIGN section 2).

Comes in: a Network with its manifest and history. Goes out: SavedModel, model.keras, model.tflite, history.csv,
checkpoints/ and manifest.json under one name.
"""

import csv
from pathlib import Path
from typing import Any

from mortcond.core.artifacts import atomic_directory, copy_contents
from mortcond.core.errors import InputError
from mortcond.core.libraries import usable
from mortcond.core.manifest import Manifest, write_manifest
from mortcond.deploy import metadata as tflite_metadata
from mortcond.deploy.tflite import build
from mortcond.network import Network

NETWORK = "network.npz"
TFLITE = "model.tflite"
KERAS = "model.keras"
HISTORY = "history.csv"
CHECKPOINTS = "checkpoints"


def load_network(directory: Path) -> Network:
    """Read the network of a model directory; TensorFlow is not needed.

    Raises InputError where it is none.
    """
    path = directory / NETWORK
    if not path.is_file():
        raise InputError(f"{directory} has no {NETWORK}.", "Name a model directory that mortcond wrote.")
    return Network.load(path)


def write_model(
    target: Path,
    network: Network,
    manifest: Manifest,
    history: list[dict[str, Any]],
    checkpoints: Path | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a model directory; what is there already is replaced when the new one is complete.

    SavedModel and `model.keras` are in it where TensorFlow is installed.

    Parameters
    ----------
    target
        The directory, such as artifacts/lstm.
    network
        The trained network.
    manifest
        Its manifest; the hash of the directory is filled in here.
    history
        A row an epoch, all with the same keys.
    checkpoints
        A directory with the weights of each epoch, copied; None where there are none.
    metadata
        What `model.tflite` says of itself, see `deploy.metadata`; its `manifest` is filled in here.
    """
    with atomic_directory(target) as directory:
        network.save(directory / NETWORK)
        if usable("tensorflow"):
            _write_keras_forms(network, directory)
        (directory / TFLITE).write_bytes(tflite_bytes(network, manifest, metadata or {}))
        _write_history(directory / HISTORY, history)
        if checkpoints is not None:
            copy_contents(checkpoints, directory / CHECKPOINTS)
        else:
            (directory / CHECKPOINTS).mkdir()
        write_manifest(directory, manifest)


def _write_keras_forms(network: Network, directory: Path) -> None:
    from mortcond.deploy import saved_model
    from mortcond.exchange.keras_model import to_keras

    saved_model.save(network, directory)
    to_keras(network).save(directory / KERAS)


def tflite_bytes(network: Network, manifest: Manifest, metadata: dict[str, Any]) -> bytes:
    """Return the float32 `.tflite` file of a network, with its metadata."""
    converted = build(network, "float32")
    facts = {"manifest": manifest, "parameters": network.parameters, "tensors": converted.tensors}
    return tflite_metadata.attach(converted.bytes, tflite_metadata.described(metadata) | facts)


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row)) or ["epoch"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
