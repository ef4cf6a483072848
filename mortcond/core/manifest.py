"""Manifests: what an artifact is, how it was made, from what, and on which machine, back to the raw tables.

Comes in: what a command knows when it ends. Goes out: a JSON object that is stored with the artifact, in
`manifest.json` of a model directory, in the metadata of a `.tflite` file, in `meta` of a data set.
"""

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from mortcond import __version__
from mortcond.core.artifacts import MANIFEST, sha256
from mortcond.core.errors import InputError

LIBRARIES = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "duckdb", "ai-edge-litert")
OF_THE_CALL = ("config", "json", "overwrite", "quiet", "verbose")  # options that change nothing in an artifact


@dataclass(frozen=True)
class Manifest:
    """The record of one artifact (DESIGN section 2)."""

    kind: str  # dataset, model or tflite
    name: str  # the artifact's name, such as lstm-pruned50
    command: str  # the command that made it, such as prune
    options: dict[str, dict[str, Any]]  # every resolved option: {"value": ..., "source": "commandline"|...}
    seed: int
    inputs: dict[str, dict[str, str]]  # {"dataset": {"path": ..., "sha256": ...}, "model": ...}
    arch: str | None = None  # lstm, hlstm, dnn, linear; None for a data set
    parameters: int | None = None
    quantization: str | None = None  # float32, float16, dynamic, int8, integer
    parent: dict[str, str] | None = None  # {"name", "kind", "path", "sha256"} of the model this one came from
    lineage: list[dict[str, Any]] = field(default_factory=list)  # ancestors, oldest (the raw tables' data set) first
    wall_seconds: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)  # what only this kind of step has to say (cut units, checks)
    versions: dict[str, str] = field(default_factory=dict)
    platform: dict[str, str] = field(default_factory=dict)
    sha256: str | None = None  # of the artifact without this manifest, where the two are apart

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True, default=str, allow_nan=False)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Manifest":
        """Read a manifest written by this or an older version; unknown keys are left out.

        Raises InputError where a required field is missing.
        """
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        try:
            return cls(**known)
        except TypeError as error:
            raise InputError(f"The manifest is incomplete ({error}).", "Make the artifact again.") from None

    def as_ancestor(self, digest: str | None = None) -> dict[str, Any]:
        """Return the short record that a child's `lineage` keeps of this artifact, without what made no difference."""
        options = {name: entry["value"] for name, entry in self.options.items() if name not in OF_THE_CALL}
        record = {"kind": self.kind, "name": self.name, "command": self.command, "seed": self.seed}
        return record | {"options": options, "sha256": digest or self.sha256, "parameters": self.parameters}


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into a (still temporary) model directory, with the hash of all its other files."""
    record = Manifest(**(asdict(manifest) | {"sha256": sha256(directory)}))
    (directory / MANIFEST).write_text(record.to_json() + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a model directory.

    Raises InputError where there is none, or where it is no JSON object.
    """
    path = directory / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{directory} is no model directory: it has no {MANIFEST}.", "Name a directory that train or prune wrote."
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}).", "Make the model again.") from None
    if not isinstance(record, dict):
        raise InputError(f"{path} is no JSON object.", "Make the model again.")
    return Manifest.from_dict(record)


def rounded(value: Any) -> Any:
    """Return a number, or a dict or list of numbers, with 5 significant digits: more than any measurement is worth."""
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def library_versions() -> dict[str, str]:
    """Return the versions of mortcond, Python and of those libraries that are installed (without importing them)."""
    versions = {"mortcond": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def platform_record() -> dict[str, str]:
    """Return operating system and processor, without any name of machine or user."""
    return {"system": platform.system(), "machine": platform.machine()}
