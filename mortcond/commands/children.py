"""What prune, hlstm-convert and condense share: a trained parent with its data, and the child made of it.

Comes in: a model directory and the data set it was trained on. Goes out: a child's model directory, with the lineage.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond.archs import ENSEMBLE
from mortcond.core import forms
from mortcond.core.artifacts import sha256
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.libraries import usable
from mortcond.core.manifest import Manifest
from mortcond.core.session import Session
from mortcond.core.workspace import dataset_path
from mortcond.dataset import Dataset
from mortcond.deploy import metadata as tflite_metadata
from mortcond.deploy.directory import CHECKPOINTS, HISTORY, TFLITE, load_network, write_model
from mortcond.deploy.runtime import tflite_path
from mortcond.measure.candidates import read_history
from mortcond.network import Network
from mortcond.scores import auroc
from mortcond.training.backends import chosen, ready
from mortcond.training.settings import TEACHER_WEIGHT, TrainSettings

# What metadata say of each file alone; the rest is the same for parent and child.
OWN_METADATA = ("manifest", "tensors", "parameters", "network")


@dataclass(frozen=True)
class Parent:
    """A trained model, its data, and how it was trained."""

    path: Path
    manifest: Manifest
    network: Network
    history: list[dict[str, Any]]
    settings: TrainSettings
    data: Dataset
    dataset: Path
    metadata: dict[str, Any] = field(default_factory=dict)  # what its model.tflite says of itself

    def checkpoint(self, epoch: int) -> Network:
        """Return the weights after an epoch.

        Raises InputError where they were not kept, or where the layers had other sizes then (pruned gradually).
        """
        path = self.path / CHECKPOINTS / f"epoch-{epoch:03d}.npz"
        if not path.is_file():
            kept = sorted(int(file.stem[6:9]) for file in path.parent.glob("epoch-[0-9][0-9][0-9].npz"))
            raise InputError(
                f"{self.path} keeps no weights of epoch {epoch} (but of {', '.join(map(str, kept)) or 'none'}).",
                "Name a kept epoch with --after-epoch, or prune the trained model with --schedule final.",
            )
        network = Network.load(path, like=self.network)
        if _shapes(network) != _shapes(self.network):
            raise InputError(
                f"{self.path} had layers of other sizes after epoch {epoch}: it was pruned later than that.",
                "Name a later epoch with --after-epoch, or prune the trained model with --schedule final.",
            )
        return network


def read_parent(
    session: Session,
    path: Path,
    manifest: Manifest,
    dataset: Path | None,
    splits: Sequence[str] = datasets.SPLITS,
    unlabelled: bool = False,
) -> Parent:
    """Read a trained model, its training settings and its data.

    Raises InputError where the data are not those that it was trained on, or, unless `unlabelled`, have no outcomes.
    """
    source = parents_dataset(session, path, manifest, dataset)
    data = datasets.load(source, splits, unlabelled)
    network = load_network(path)
    if network.features != len(data.feature_names):
        raise InputError(
            f"{path} reads {network.features} features, {source} has {len(data.feature_names)}.", "Name its own data."
        )
    history = [row | {"epoch": int(row["epoch"])} for row in read_history(path / HISTORY)]
    embedded = tflite_metadata.read(path / TFLITE, session.trust_changed) or {}
    shared = {name: value for name, value in embedded.items() if name not in OWN_METADATA}
    return Parent(path, manifest, network, history, settings_of(manifest), data, source, shared)


def settings_of(manifest: Manifest) -> TrainSettings:
    """Return the training settings that a model's manifest records.

    A model it learnt from is not at hand, and left out; the ensemble can be made again of the same training split.
    """
    recorded = manifest.extra.get("settings") or {}
    try:
        forms.fit(recorded, dict)
        forms.fit_fields(recorded, TrainSettings, "settings")
    except forms.Misfit as fault:
        raise InputError(f"The manifest of {manifest.name} is broken: {fault}.", "Train the model again.") from None
    known = {entry.name: recorded[entry.name] for entry in fields(TrainSettings) if entry.name in recorded}
    settings = TrainSettings(**known)
    return settings if settings.teacher == ENSEMBLE else replace(settings, teacher_weight=0.0)


def write_child(
    session: Session,
    target: Path,
    parent: Parent,
    network: Network,
    history: list[dict[str, Any]],
    checkpoints: Path,
    *,
    metrics: dict[str, Any],
    extra: dict[str, Any],
) -> Manifest:
    """Write the model directory of a child, and return its manifest."""
    inputs = {
        "dataset": {"path": str(parent.dataset), "sha256": dataset_sha256(parent.manifest, parent.dataset)},
        "model": {"path": str(parent.path), "sha256": parent.manifest.sha256},
    }
    manifest = session.manifest(
        "model",
        target.name,
        inputs,
        arch=network.arch,
        parameters=network.parameters,
        quantization="float32",
        parent={"name": parent.manifest.name, "kind": parent.manifest.kind, **inputs["model"]},
        lineage=[*parent.manifest.lineage, parent.manifest.as_ancestor()],
        metrics=metrics | {"training_seconds": sum(row["seconds"] for row in history)},
        extra=extra | session_facts(session),
    )
    write_model(target, network, manifest, history, checkpoints, parent.metadata | {"parameters": network.parameters})
    return manifest


def train(session: Session, parent: Parent, network: Network, settings: TrainSettings, checkpoints: Path, **how: Any):
    """Train a child on the parent's data; see `training.training.fit`."""
    from mortcond.training.training import fit

    how |= {"seed": session.seed, "console": session.console, "checkpoints": checkpoints}
    how["backend"] = ready(session.backend)
    return fit(network, parent.data, settings, **how)


def session_facts(session: Session) -> dict[str, Any]:
    """Return what a manifest says of this installation: what trained, and which forms are left out, told as well."""
    facts: dict[str, Any] = {"backend": chosen(session.backend)}
    if not usable("tensorflow"):
        facts["left_out"] = ["SavedModel", "model.keras"]
        session.console.warn("No SavedModel and no model.keras: they need TensorFlow; `export` makes them where it is.")
    return facts


def calibrated_as_parent(
    parent: Parent, network: Network, metrics: dict[str, Any]
) -> tuple[Network, dict[str, Any], dict[str, Any]]:
    """Calibrate a child where its parent was calibrated; return it with its metrics and what the manifest adds."""
    if "calibration" not in parent.manifest.extra:
        return network, metrics, {}
    from mortcond.training.calibration import calibrate

    network, calibration = calibrate(network, parent.data.val.X, parent.data.val.y)
    return network, metrics | aurocs(network, parent.data), {"calibration": asdict(calibration)}


def taught(settings: TrainSettings, parent: Parent, console: Console) -> tuple[TrainSettings, np.ndarray]:
    """Return the settings with a teacher in them, and the parent's risks of the training stays, to learn from."""
    from mortcond.condense.distil import soft_targets

    return replace(settings, teacher_weight=TEACHER_WEIGHT), soft_targets(parent.network, parent.data.train.X, console)


def aurocs(network: Network, data: Dataset) -> dict[str, float]:
    """Return the AUROC of a network on the splits that nothing is learnt from, as `fit` would measure it."""
    splits = {name: getattr(data, name) for name in ("val", "test")}
    return {
        f"auroc_{name}": auroc(split.y, network.predict(split.X, np.float32))
        for name, split in splits.items()
        if split is not None and 0 < split.y.sum() < len(split)
    }


def auroc_line(metrics: dict[str, Any]) -> str:
    """Return the AUROC on validation and test split in words."""
    found = [(name, metrics.get(f"auroc_{name}")) for name in ("val", "test")]
    return "AUROC " + ", ".join(
        f"{value:.3f} ({name})" if value is not None else f"unknown ({name})" for name, value in found
    )


def parents_dataset(session: Session, path: Path, manifest: Manifest, dataset: Path | None) -> Path:
    """Return the data set a model was trained on: the one named, else where its manifest says, else the workspace's.

    Raises InputError where that is another one.
    """
    recorded = manifest.inputs.get("dataset", {})
    own = Path(recorded.get("path", ""))
    source = own if dataset is None and own.is_file() else dataset_path(session, dataset)
    if not recorded:
        _refuse_otherwise_prepared(path, source)
    elif recorded.get("sha256") != sha256(source):
        raise InputError(
            f"{path} was trained on other data than {source}.",
            "Name the data set it was trained on with --dataset, or train the model again.",
        )
    return source


def _refuse_otherwise_prepared(path: Path, source: Path) -> None:
    """Refuse stays for a network from elsewhere that are not prepared as it wants them, where it says how."""
    inputs = (tflite_metadata.read(tflite_path(path)) or {}).get("inputs")
    data = datasets.load(source, splits=())
    if inputs is None:
        return
    same = tuple(inputs["feature_names"]) == data.feature_names
    if not same or not all(np.allclose(inputs[part], getattr(data, part), rtol=1e-5) for part in ("mean", "std")):
        raise InputError(
            f"{source} is not prepared as {path} wants its stays.", f"Run mortcond preprocess --for {path} RECORDS."
        )


def dataset_sha256(manifest: Manifest, source: Path) -> str:
    """Return the hash of a model's data set; one from elsewhere records none."""
    return manifest.inputs.get("dataset", {}).get("sha256") or sha256(source)


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in network.arrays().items()}
