"""Model directories: everything about one trained network, written as a whole or not at all (DESIGN section 2).

Comes in: a Network with its manifest and history. Goes out: SavedModel, model.keras, model.tflite, history.csv,
checkpoints/ and manifest.json under one name.
"""

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from mortcond.core.artifacts import atomic_directory, copy_contents
from mortcond.core.errors import InputError
from mortcond.core.libraries import usable
from mortcond.core.manifest import Manifest, read_manifest, write_manifest
from mortcond.deploy import metadata as tflite_metadata
from mortcond.deploy.tflite import build
from mortcond.network import INPUT, Network, chain

NETWORK = "network.npz"
TFLITE = "model.tflite"
KERAS = "model.keras"
HISTORY = "history.csv"
CHECKPOINTS = "checkpoints"


def load_network(directory: Path) -> Network:
    """Read the network of a model directory; TensorFlow is not needed.

    Raises InputError where it is none.
    """
    if (directory / NETWORK).is_file():
        return Network.load(directory / NETWORK)
    if (directory / KERAS).is_file():
        return _of_version_1(directory)
    raise InputError(f"{directory} has no {NETWORK}.", "Name a model directory that mortcond wrote.")


def _of_version_1(directory: Path) -> Network:
    """Read the network of a directory of mortcond 0.1, which kept the weights in `model.keras` alone."""
    from mortcond.exchange.load import Given, load

    read = load(directory / KERAS, Given(compare=False)).network
    names = {node.name: re.sub(r"_(?=\d+$)", ".", node.name) for node in read.nodes} | {INPUT: INPUT}
    nodes = [replace(node, name=names[node.name], inputs=tuple(map(names.get, node.inputs))) for node in read.nodes]
    return chain(read_manifest(directory).arch or read.arch, read.features, read.hours, nodes)


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
    facts["network"] = converted.outline
    return tflite_metadata.attach(converted.bytes, tflite_metadata.described(metadata) | facts)


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row)) or ["epoch"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
