"""A workspace with a trained parent, made without TensorFlow, and a `fit` that only pretends to train."""

import csv
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from condense_networks import FEATURES, HOURS, dnn, hlstm, lstm, stays

from mortcond.commands import children
from mortcond.core.artifacts import sha256
from mortcond.core.console import Console
from mortcond.core.manifest import write_manifest
from mortcond.core.session import Session
from mortcond.dataset import Dataset, Split, save
from mortcond.deploy.directory import tflite_bytes
from mortcond.network import Network
from mortcond.training.settings import TrainSettings

EPOCHS = 4
MAKE = {
    "lstm": lambda seed: lstm((6, 4), seed=seed),
    "hlstm": lambda seed: hlstm(4, (4,), seed=seed),
    "dnn": lambda seed: dnn((8, 6, 4), seed=seed),
}


def session(workspace: Path, command: str = "prune", **facts) -> Session:
    return Session(workspace, command=command, console=Console(quiet=True), **facts)


def write_dataset(path: Path, train=60, val=80, test=90) -> None:
    splits = [split(count, first) for first, count in ((0, train), (1000, val), (2000, test))]
    names = tuple(f"feature {index}" for index in range(FEATURES))
    save(path, Dataset(*splits, names, np.zeros(FEATURES), np.ones(FEATURES), {"prevalence": 0.5}))


def split(count: int, first: int, features: int = FEATURES) -> Split:
    """Return stays of which those with high values die more often."""
    x, _ = stays(count, features, seed=first)
    risk = 1 / (1 + np.exp(-6 * x.mean((1, 2))))
    y = (np.random.default_rng(first).random(count) < risk).astype(np.uint8)
    ids = np.arange(first, first + count)
    nobody = np.full(count, "")
    return Split(x, y, ids, ids, np.full(count, 60, np.float32), nobody, nobody)


def write_parent(workspace: Path, arch: str, settings: TrainSettings | None = None, extra: dict | None = None) -> Path:
    """Write a model directory as `train` would have: each epoch's weights are other ones."""
    dataset = workspace / "dataset.npz"
    if not dataset.exists():
        write_dataset(dataset)
    directory = workspace / arch
    networks = {epoch: MAKE[arch](epoch) for epoch in range(1, EPOCHS + 1)}
    history = [row_of(epoch) for epoch in networks]
    inputs = {"dataset": {"path": str(dataset), "sha256": sha256(dataset)}}
    facts = {"arch": arch, "parameters": networks[EPOCHS].parameters, "quantization": "float32"}
    facts |= {"metrics": {"auroc_val": 0.7, "auroc_test": 0.7}}
    settings = settings or TrainSettings(epochs=EPOCHS)
    manifest = session(workspace, "train").manifest(
        "model", directory.name, inputs, extra={"settings": asdict(settings)} | (extra or {}), **facts
    )
    write_directory(directory, networks[EPOCHS], manifest, history)
    for epoch, network in networks.items():
        network.save(directory / "checkpoints" / f"epoch-{epoch:03d}.npz")
    write_manifest(directory, manifest)
    return directory


def row_of(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 1 / epoch, "auroc_val": 0.6 + epoch / 100, "auroc_test": 0.61, "seconds": 0.5}


def write_directory(target, network, manifest, history, checkpoints=None, metadata=None) -> None:
    """Write what of a model directory the commands here read."""
    (target / "checkpoints").mkdir(parents=True, exist_ok=True)
    network.save(target / "network.npz")
    (target / "model.tflite").write_bytes(tflite_bytes(network, manifest, metadata or {}))
    with (target / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    for path in checkpoints.iterdir() if checkpoints else ():
        (target / "checkpoints" / path.name).write_bytes(path.read_bytes())
    write_manifest(target, manifest)


class PretendedTraining:
    """Stands in for `children.train`: nudges the weights, and remembers how it was called."""

    def __init__(self):
        self.calls: list[SimpleNamespace] = []

    def __call__(
        self, session, parent, network, settings, checkpoints, *, first_epoch=1, last_epoch=None, soft_targets=None
    ):
        last_epoch = last_epoch or settings.epochs
        how = {"first_epoch": first_epoch, "last_epoch": last_epoch, "soft_targets": soft_targets}
        self.calls.append(SimpleNamespace(network=network, settings=settings, **how))
        arrays = {name: (array + 0.01).astype(np.float32) for name, array in network.arrays().items()}
        trained = network.with_arrays(arrays)
        history = [row_of(epoch) for epoch in range(first_epoch, last_epoch + 1)]
        for row in history:
            trained.save(checkpoints / f"epoch-{row['epoch']:03d}.npz")
        metrics = {"auroc_val": 0.71, "auroc_test": 0.72}
        return SimpleNamespace(network=trained, history=history, metrics=metrics, compile_seconds=1.5)


def without_tensorflow(monkeypatch) -> PretendedTraining:
    """Let the commands read, train and write without TensorFlow."""
    training = PretendedTraining()
    monkeypatch.setattr(children, "write_model", write_directory)
    for room in ("prune", "hlstm_convert", "candidate_maker"):
        monkeypatch.setattr(f"mortcond.commands.{room}.train", training)
    return training


def without_keras(monkeypatch) -> None:
    """Let networks begin with random weights in the place of Keras' initial ones."""
    monkeypatch.setattr("mortcond.training.initial.initial", _initial)


def _initial(network: Network, seed: int, backend: str = "auto") -> Network:
    generator = np.random.default_rng(seed)
    arrays = {name: generator.normal(0, 0.5, array.shape) for name, array in network.arrays().items()}
    return network.with_arrays({name: array.astype(np.float32) for name, array in arrays.items()})


__all__ = [
    "EPOCHS",
    "HOURS",
    "session",
    "without_keras",
    "without_tensorflow",
    "write_dataset",
    "write_directory",
    "write_parent",
]
