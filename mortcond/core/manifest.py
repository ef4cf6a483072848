"""Manifests: what an artifact is, how it was made, from what, and on which machine, back to the raw tables.

Comes in: what a command knows when it ends. Goes out: a JSON object that is stored with the artifact, in
`manifest.json` of a model directory, in the metadata of a `.tflite` file, in `meta` of a data set.
"""

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from mortcond import __version__
from mortcond.core import forms
from mortcond.core.artifacts import MANIFEST, directory_hashes, sha256
from mortcond.core.errors import ChangedError, InputError
from mortcond.core.format_version import known, stamped

LIBRARIES = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "duckdb", "ai-edge-litert")
CONDENSING = {"prune", "hlstm-convert", "quantize", "condense"}
FILES = "files"  # in manifest.json, beside the fields of Manifest: the SHA-256 of each file of the directory
TRUSTED = "trusted_change"  # in `extra`: the artifact was changed after it was written, and used all the same
_STEP = {"kind": str, "name": str, "command": str}  # what each step of a lineage says
OF_THE_CALL = ("config", "json", "overwrite", "quiet", "verbose", "trust_changed")  # they change no artifact


@dataclass(frozen=True)
class Manifest:
    """The record of one artifact (DESIGN section 2)."""

    kind: str  # dataset, model or tflite
    name: str  # the artifact's name, such as lstm-pruned50
    command: str  # the command that made it, such as prune
    options: dict[str, dict[str, Any]]  # every resolved option: {"value": ..., "source": "commandline"|...}
    seed: int
    inputs: dict[str, dict[str, Any]]  # {"dataset": {"path": ..., "sha256": ...}, "model": ...}
    arch: str | None = None  # lstm, hlstm, dnn, linear; None for a data set
    parameters: int | None = None
    caller: str | None = None  # the command that called this one (run), python, or nobody
    quantization: str | None = None  # float32, float16, dynamic, int8, integer
    parent: dict[str, Any] | None = None  # {"name", "kind", "path", "sha256"} of the model this one came from
    lineage: list[dict[str, Any]] = field(default_factory=list)  # ancestors, oldest (the raw tables' data set) first
    wall_seconds: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)  # what only this kind of step has to say (cut units, checks)
    versions: dict[str, str] = field(default_factory=dict)
    platform: dict[str, str] = field(default_factory=dict)
    sha256: str | None = None  # of the artifact without this manifest, where the two are apart

    def to_json(self) -> str:
        return _as_text(asdict(self))

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Manifest":
        """Read a manifest written by this or an older version; unknown keys are left out.

        Raises InputError where a required field is missing, or a part has not the form it should have.
        """
        try:
            forms.fit(record, dict[str, Any])
            forms.fit_fields(record, cls)
            for role, entry in record["inputs"].items():
                forms.fit_keys(entry, {"path": str, "sha256": str | None}, f"inputs.{role}")
            for name, entry in record["options"].items():
                forms.fit_keys(entry, {"value": Any}, f"options.{name}")
            for index, step in enumerate(record.get("lineage", ())):
                forms.fit_keys(step, _STEP, f"lineage[{index}]", {"parameters": int | None, "sha256": str | None})
        except forms.Misfit as fault:
            raise InputError(f"The manifest is incomplete or broken: {fault}.", "Make the artifact again.") from None
        return cls(**{name: record[name] for name in cls.__dataclass_fields__ if name in record})

    @property
    def commands(self) -> set[str]:
        """The commands that made this artifact and those it came from."""
        return {self.command, *(step.get("command") for step in self.lineage)}

    @property
    def is_condensed(self) -> bool:
        """Whether it, or what it came from, was made smaller than it was trained."""
        return bool(self.commands & CONDENSING)

    def option(self, name: str) -> Any:
        """Return the value of an option it was made with; None where it is not recorded."""
        return self.options.get(name, {}).get("value")

    def is_by(self, caller: str) -> bool:
        """Say whether the command that made it was called by another one, such as run."""
        return self.caller == caller or any(entry.get("source") == caller for entry in self.options.values())

    def as_ancestor(self, digest: str | None = None) -> dict[str, Any]:
        """Return the short record that a child's `lineage` keeps of this artifact, without what made no difference."""
        options = {name: self.option(name) for name in self.options if name not in OF_THE_CALL}
        record = {"kind": self.kind, "name": self.name, "command": self.command, "seed": self.seed}
        record |= {"changed": True} if TRUSTED in self.extra else {}
        return record | {"options": options, "sha256": digest or self.sha256, "parameters": self.parameters}


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into a (still temporary) model directory, with the hash of all its other files."""
    record = replace(manifest, sha256=sha256(directory))
    written = stamped(json.loads(record.to_json())) | {FILES: directory_hashes(directory)}
    (directory / MANIFEST).write_text(_as_text(written) + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a model directory, whatever has become of the directory's other files; see `opened`.

    Raises InputError where there is none, or where it has not the form of one.
    """
    try:
        return Manifest.from_dict(known(_read(directory), str(directory / MANIFEST)))
    except InputError as error:
        if str(directory) in error.problem:
            raise
        raise InputError(f"{directory / MANIFEST}: {error.problem}", error.remedy) from None


def opened(directory: Path, trust_changed: bool = False) -> Manifest:
    """Return the manifest of a model directory that is as it was written.

    Parameters
    ----------
    trust_changed
        Take a directory that was changed too: its manifest then has the hash that was found, and `extra` says so.

    Raises
    ------
    InputError
        There is no manifest.
    ChangedError
        A file was changed, is missing or was added; it is named.
    """
    manifest, found = read_manifest(directory), sha256(directory)
    if manifest.sha256 == found:
        return manifest
    changes = changed_files(directory)
    if not trust_changed:
        first = changes[0] if changes else directory
        more = f" (and {len(changes) - 1} more files)" if len(changes) > 1 else ""
        was = "changed" if first.exists() else "removed"
        raise ChangedError(
            f"{first} was {was} after {directory} was written{more}: its SHA-256 is not the recorded one.",
            "Make the model again; or, where you mean the change, pass --trust-changed, which the result will record.",
        )
    change = {"recorded": manifest.sha256, "found": found, "files": [path.name for path in changes]}
    return replace(manifest, sha256=found, extra=manifest.extra | {TRUSTED: change})


def changed_files(directory: Path) -> list[Path]:
    """Return the files of a model directory that are not as recorded, are missing or were added, as far as known."""
    recorded, found = _read(directory).get(FILES), directory_hashes(directory)
    if not isinstance(recorded, dict):
        return []
    names = sorted(recorded.keys() | found.keys())
    return [directory / name for name in names if recorded.get(name) != found.get(name)]


def _read(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    try:
        return forms.parsed(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{directory} is no model directory: it has no {MANIFEST}.", "Name a directory that train or prune wrote."
        ) from None
    except forms.Misfit as fault:
        raise InputError(f"{path}: {fault}.", "Make the model again.") from None


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


def _as_text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1, sort_keys=True, default=str, allow_nan=False)
