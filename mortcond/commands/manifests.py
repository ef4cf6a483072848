"""The manifest of any artifact, wherever its kind keeps it. Comes in: a path. Goes out: its manifest."""

from pathlib import Path

from mortcond.core.errors import InputError
from mortcond.core.manifest import Manifest, read_manifest


def read_any_manifest(path: Path) -> Manifest:
    """Read the manifest of a model directory, a `.tflite` file or a data set.

    Raises InputError where the artifact is unreadable or carries none.
    """
    if path.is_dir():
        return read_manifest(path)
    record = _tflite_record(path) if path.suffix == ".tflite" else _dataset_record(path)
    if not record:
        raise InputError(f"{path} carries no manifest.", "Make it again with mortcond to know where it comes from.")
    return Manifest.from_dict(record)


def _tflite_record(path: Path) -> dict | None:
    from mortcond.deploy import metadata

    return (metadata.read(path) or {}).get("manifest")


def _dataset_record(path: Path) -> dict | None:
    from mortcond import dataset

    return dataset.load(path, splits=()).meta.get("manifest")
