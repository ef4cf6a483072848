"""What is measured: the artifacts, the file that stands for each, and what is known of them before they run.

Comes in: paths, or a workspace. Goes out: a Candidate for each artifact and runtime. No TensorFlow.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mortcond.core.artifacts import MANIFEST
from mortcond.core.errors import InputError
from mortcond.core.leftovers import exists
from mortcond.core.manifest import TRUSTED, Manifest, opened
from mortcond.core.workspace import model_directories, tflite_files
from mortcond.deploy import metadata as tflite_metadata
from mortcond.deploy.check import TOLERANCE
from mortcond.deploy.runtime import read as read_runnable
from mortcond.deploy.runtime import vet

MOST_EPOCHS = 1_000_000
_REMEDY = "Make the model again."


@dataclass(frozen=True)
class Candidate:
    """One artifact, run by one runtime."""

    name: str
    path: Path  # the artifact: a model directory or a .tflite file
    file: Path  # what the runtime loads
    runtime: str
    manifest: Manifest | None
    metadata: dict[str, Any]  # of the .tflite file; empty where it carries none
    history: list[dict[str, float]] = field(default_factory=list)

    shown: str | None = None  # its name in tables and plots, where another one of its name is measured too

    @property
    def label(self) -> str:
        """The name in tables and plots; with the runtime where that is not the usual one."""
        name = self.shown or self.name
        return name if self.runtime == "litert" else f"{name} ({self.runtime})"

    @property
    def arch(self) -> str | None:
        return self.manifest.arch if self.manifest else None

    @property
    def quantization(self) -> str:
        return (self.manifest and self.manifest.quantization) or "float32"

    @property
    def tflite(self) -> Path | None:
        """The `.tflite` file of the artifact, whichever runtime runs it: from its graph the operations are counted."""
        file = self.path / "model.tflite" if self.path.is_dir() else self.path
        return file if file.is_file() else None

    @property
    def parent(self) -> str | None:
        return (self.manifest.parent or {}).get("name") if self.manifest else None

    @property
    def own_sha256(self) -> str | None:
        """The SHA-256 by which a child names this model; None for a single file, of which no child is made."""
        return self.manifest.sha256 if self.manifest and self.path.is_dir() else None

    @property
    def parent_sha256(self) -> str | None:
        return (self.manifest.parent or {}).get("sha256") if self.manifest else None

    @property
    def ancestors_sha256(self) -> list[str]:
        """SHA-256 of the models that this one came from, nearest first."""
        if not self.manifest:
            return []
        lineage = [step.get("sha256") for step in self.manifest.lineage if step.get("kind") in ("model", "tflite")]
        return [digest for digest in dict.fromkeys([self.parent_sha256, *reversed(lineage)]) if digest]

    @property
    def dataset_sha256(self) -> str | None:
        return self.manifest.inputs.get("dataset", {}).get("sha256") if self.manifest else None

    @property
    def recalibrated_on(self) -> list[str]:
        """SHA-256 of the data set that its level was fitted to; empty where it keeps that of training."""
        fitted = self.manifest.inputs.get("recalibration") if self.manifest else None
        return [fitted["sha256"]] if fitted else []

    @property
    def ancestral_datasets(self) -> set[str]:
        """SHA-256 of the data sets in its lineage: its own, and what that was made of."""
        steps = self.manifest.lineage if self.manifest else []
        return {step["sha256"] for step in steps if step.get("kind") == "dataset" and step.get("sha256")}

    @property
    def is_rounded(self) -> bool:
        """Whether it is its parent in fewer bits and nothing else."""
        return self.manifest is not None and self.manifest.command == "quantize" and self.quantization in TOLERANCE

    @property
    def training_seconds(self) -> float | None:
        """The time that training took, as the manifest tells; None for what was not trained (the paper's "NA")."""
        if self.manifest is None or self.manifest.kind != "model":
            return None
        told = (self.manifest.metrics | self.manifest.extra).get("training_seconds")
        return told if told is not None else (sum(row.get("seconds", 0.0) for row in self.history) or None)

    @property
    def features(self) -> list[str] | None:
        """The feature columns that the model was trained on, where its metadata names them."""
        return (self.metadata.get("inputs") or {}).get("feature_names")


def find(workspace: Path) -> list[Path]:
    """Return every artifact of a workspace that can be measured, in the order in which they were made."""
    directories = [path for path in model_directories(workspace) if (path / "model.tflite").is_file()]
    found = directories + tflite_files(workspace)
    return sorted(found, key=lambda path: (_written(path), path.name))


def _written(path: Path) -> int:
    return (path / MANIFEST if path.is_dir() else path).stat().st_mtime_ns


def resolve(artifact: Path, workspace: Path) -> Path:
    """Return the path of an artifact given by path, or by its name in the workspace.

    Raises InputError where there is none.
    """
    for path in (artifact, workspace / artifact, workspace / f"{artifact}.tflite"):
        if exists(path):
            return path
    raise InputError(f"There is no artifact {artifact}, and none of that name in {workspace}.", "Check the name.")


def read(path: Path, runtime: str, trust_changed: bool = False) -> Candidate:
    """Return the candidate that `path` is for `runtime`.

    Raises InputError where it is neither a model directory nor a `.tflite` file, not one for this runtime, or was
    changed after it was written (with `trust_changed`: only a SavedModel, which could hold any program).
    """
    if path.is_dir():
        return _of_directory(path, runtime, trust_changed)
    if path.suffix != ".tflite":
        raise InputError(
            f"{path} is neither a model directory nor a .tflite file.", "Name what train or quantize wrote."
        )
    if runtime != "litert":
        raise InputError(f"{path} cannot be run by {runtime}.", "Name a model directory, or use --runtime litert.")
    _, metadata = read_runnable(path, trust_changed)
    record = (metadata or {}).get("manifest")
    manifest = Manifest.from_dict(record) if record else None
    return Candidate(path.stem, path, path, runtime, manifest, metadata or {})


def told_apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates, each once, those of one name shown with as much of their path as tells them apart."""
    once = list({(c.path.resolve(), c.runtime): c for c in candidates}.values())
    paths: dict[str, set[Path]] = {}
    for candidate in once:
        paths.setdefault(candidate.name, set()).add(candidate.path.resolve())
    return [c if len(paths[c.name]) == 1 else replace(c, shown=_apart(c.path, paths[c.name])) for c in once]


def _apart(path: Path, namesakes: set[Path]) -> str:
    """Return the shortest end of a path that no namesake has."""
    own = path.resolve()
    ends = (own.parts[-count:] for count in range(1, len(own.parts) + 1))
    return "/".join(next(end for end in ends if sum(other.parts[-len(end) :] == end for other in namesakes) == 1))


def _of_directory(path: Path, runtime: str, trust_changed: bool) -> Candidate:
    manifest = opened(path, trust_changed)
    tflite = path / "model.tflite"
    of_version_1 = path / "model.keras"  # in which mortcond 0.1 kept the network
    made = path / "network.npz" if (path / "network.npz").exists() else of_version_1  # what the others are made of
    file = {"litert": tflite, "savedmodel": path, "keras": of_version_1}.get(runtime, made)
    if manifest.kind != "model" or not file.exists():
        raise InputError(f"{path} holds no {file.name} to measure.", "Name a directory that train or prune wrote.")
    if runtime == "savedmodel" and TRUSTED in manifest.extra:
        changed = ", ".join(manifest.extra[TRUSTED]["files"]) or "it"
        raise InputError(
            f"{path}: {changed} was changed; a SavedModel whose hash is not the recorded one is never loaded.",
            "Use another --runtime, or make the model again: a SavedModel can hold any program.",
        )
    metadata = (tflite_metadata.read(tflite, trust_changed) or {}) if tflite.is_file() else {}
    if runtime == "litert":
        vet(tflite.read_bytes(), tflite)
    return Candidate(path.name, path, file, runtime, manifest, metadata, read_history(path / "history.csv"))


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of `history.csv`, a row an epoch, empty cells left out; no rows where there is no such file.

    Raises InputError where it is no such table.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, restkey="", strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no history of a training ({error}).", _REMEDY) from None
    kept = [{name: float(cell) for name, cell in row.items() if name and _is_number(cell)} for row in rows]
    for number, row in enumerate(kept, 2):
        if not (row.get("epoch", 0) >= 1 and row["epoch"].is_integer() and row["epoch"] < MOST_EPOCHS):
            raise InputError(f"{path}, row {number}: no number of an epoch.", _REMEDY)
    return kept


def _is_number(cell: str | None) -> bool:
    try:
        return cell is not None and math.isfinite(float(cell))
    except ValueError:
        return False
