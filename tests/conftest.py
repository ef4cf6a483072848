"""Fixtures that every room's tests may use."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent


os.environ.setdefault("MORTCOND_CACHE", tempfile.mkdtemp(prefix="mortcond-tests-"))  # nothing in the user's own


# In CI the same examples every time: a new one that fails is found by whoever runs the tests at the desk.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with the real open data (MIMIC-III demo, PhysioNet 2012 set A, reference tensors), or skip."""
    folder = Path(os.environ.get("MORTCOND_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data here: set MORTCOND_TEST_DATA to a folder with mimic3-demo/ and physionet2012/")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The bundled synthetic hospital."""
    return ROOT / "sample_data"
