"""The whole chain of the README on the sample, small install, processors without AVX; see `laptop.py`."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from laptop import CPUS, QEMU, chain, emulated, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which(QEMU) is None, reason=f"{QEMU} is not installed (Debian: apt-get install qemu-user)"
    ),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return environment(tmp_path_factory.mktemp("laptop"))


@pytest.mark.parametrize("cpu", CPUS)
def test_the_whole_chain_runs_without_avx(python, cpu, tmp_path):
    for command, code, _, last in chain(emulated(python, cpu), tmp_path, short=False):
        assert code == 0, f"{command}: {last}"
