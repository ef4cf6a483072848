"""A workspace with a data set of paper76 and a model directory, without any training and without TensorFlow."""

from pathlib import Path

import numpy as np
from condense_networks import lstm

from mortcond import dataset as datasets
from mortcond.core.artifacts import sha256
from mortcond.core.console import Console
from mortcond.core.manifest import Manifest, write_manifest
from mortcond.core.session import Session
from mortcond.dataset import InputSpec
from mortcond.deploy.directory import tflite_bytes
from mortcond.network import Network
from mortcond.variables import load

VARIABLES = load("paper76")
COLUMNS = VARIABLES.columns(())
NAMES = tuple(column.name for column in COLUMNS)


def session(command: str, workspace: Path, **facts) -> Session:
    return Session(workspace, command=command, console=Console(quiet=True, **facts))


def spec() -> InputSpec:
    generator = np.random.default_rng(0)
    scaled = np.array([column.scaled for column in COLUMNS])
    mean, std = generator.uniform(1, 90, len(COLUMNS)), generator.uniform(1, 20, len(COLUMNS))
    normals = tuple(float(variable.normal_value or 0) for variable in VARIABLES)
    return InputSpec(VARIABLES, 48, (), normals, np.where(scaled, mean, 0), np.where(scaled, std, 1), 0.13)


def split(count: int, seed: int) -> datasets.Split:
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (count, 48, len(NAMES))).astype(np.float32)
    masks = [index for index, name in enumerate(NAMES) if name.startswith("mask->")]
    x[:, :, masks] = generator.random((count, 48, len(masks))) < 0.3
    x[0, :, masks] = 0  # nothing was ever measured
    x[1, 10:, masks] = 0  # the first ten hours only
    ids = np.arange(count) + 1000 * seed
    died = (generator.random(count) < 0.3).astype(np.uint8)
    died[:2] = 0, 1
    texts = np.full(count, "")
    return datasets.Split(x, died, ids, ids, np.full(count, 60, np.float32), texts, texts)


def write_dataset(path: Path) -> datasets.Dataset:
    inputs = spec()
    manifest = Manifest("dataset", "dataset", "preprocess", {}, 0, {"source": {"path": "records", "sha256": "1" * 64}})
    meta = {"manifest": manifest.__dict__, "inputs": inputs.to_dict(), "source": "mimic3", "prevalence": 0.13}
    splits = {name: split(40, seed) for seed, name in enumerate(("train", "val", "test"), 1)}
    data = datasets.Dataset(**splits, feature_names=NAMES, mean=inputs.mean, std=inputs.std, meta=meta, path=path)
    datasets.save(path, data)
    return data


def network() -> Network:
    return lstm((5, 5), len(NAMES), 48)


def write_directory(folder: Path, model: Network, dataset: Path) -> Manifest:
    """Write what quantize and inspect read of a model directory."""
    folder.mkdir(parents=True)
    digest = sha256(dataset)
    parents = [{"kind": "dataset", "name": "dataset", "command": "preprocess", "sha256": digest, "parameters": None}]
    inputs = {"dataset": {"path": str(dataset), "sha256": digest}}
    facts = {"arch": "lstm", "parameters": model.parameters, "quantization": "float32", "lineage": parents}
    manifest = Manifest("model", folder.name, "train", {}, 0, inputs, **facts)
    meta = {"inputs": spec().to_dict(), "prevalence": 0.13, "threshold": 0.21}
    (folder / "model.tflite").write_bytes(tflite_bytes(model, manifest, meta))
    model.save(folder / "network.npz")
    write_manifest(folder, manifest)
    return manifest


def workspace(folder: Path) -> Path:
    """Return a workspace with dataset.npz and the model directory `lstm`."""
    write_dataset(folder / "dataset.npz")
    write_directory(folder / "lstm", network(), folder / "dataset.npz")
    return folder
