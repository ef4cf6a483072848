"""Windows, as far as it can be had here (see `windows.py`), on the paths that every command takes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mortcond.core.artifacts import atomic_directory, atomic_file

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "NO_COLOR": "1"}


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-X", "warn_default_encoding", str(ROOT / "tests" / "windows.py"), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MORTCOND_")}
    done = subprocess.run(command, capture_output=True, cwd=folder, env=environment | ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr.decode("cp1252")
    return done.stdout.decode("cp1252")


@pytest.mark.parametrize("write", [atomic_file, atomic_directory])
def test_an_artifact_is_written_where_folders_cannot_be_opened(write, tmp_path, monkeypatch):
    """As on Windows: no descriptor of a folder, and none that is only read is synced."""
    plain, synced, writable = os.open, [], set()

    def opened(path, flags, *more, **named):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        descriptor = plain(path, flags, *more, **named)
        if flags & os.O_RDWR:
            writable.add(descriptor)
        return descriptor

    def sync(descriptor):
        if descriptor not in writable:
            raise OSError(9, "Bad file descriptor")
        synced.append(descriptor)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", sync)
    with write(tmp_path / "name") as partial:
        (partial if write is atomic_file else partial / "part").write_bytes(b"whole")
    found = tmp_path / "name" if write is atomic_file else tmp_path / "name" / "part"
    assert found.read_bytes() == b"whole"
    assert synced


def test_records_become_a_data_set(tmp_path):
    run(tmp_path, "preprocess", "-q")
    assert "stays" in run(tmp_path, "inspect", "artifacts/dataset.npz")
    with np.load(tmp_path / "artifacts" / "dataset.npz") as data:
        assert data["X_train"].shape[1] == 48
