"""Mutated files for all readers, and commands killed at random moments: with counts. Slow.

MORTCOND_FUZZ says how many mutants are read in all (10,000), MORTCOND_KILLS how often each command is killed (20).
"""

import os
import signal
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="counts by /proc and fork")]
MUTANTS, KILLS = int(os.environ.get("MORTCOND_FUZZ", 10_000)), int(os.environ.get("MORTCOND_KILLS", 20))
DEAR = ("predict", "metadata", "import")  # readers that start a process for nearly every mutant, or predict


def test_no_mutated_file_is_a_bug_a_crash_a_hang_or_a_bomb(tmp_path):
    import fuzzing
    from fuzz_readers import readers

    found, all_readers = {}, readers(tmp_path)
    dear = [reader for reader in all_readers if any(word in reader.name for word in DEAR)]
    cheap = [reader for reader in all_readers if reader not in dear]
    found |= fuzzing.run(dear, max(1, MUTANTS // 50))
    found |= fuzzing.run(cheap, (MUTANTS - len(dear) * (MUTANTS // 50)) // len(cheap) + 1)
    print("\n" + fuzzing.table(found))
    failures = [
        f"{name} {numbers[:3]}: {text}" for name, tally in found.items() for text, numbers in tally.failures.items()
    ]
    assert sum(sum(tally.outcomes.values()) for tally in found.values()) >= MUTANTS
    assert all(tally.outcomes["read"] for tally in found.values())  # the first of each is the sound file itself
    assert not failures, "\n".join(failures[:10])
    assert not [name for name, tally in found.items() if tally.outcomes["hang"] or tally.outcomes["crash"]]
    assert max(tally.largest for tally in found.values()) < fuzzing.MEMORY_BYTES


@pytest.fixture(scope="module")
def killing(tmp_path_factory) -> tuple[Path, Path]:
    import killing

    folder = tmp_path_factory.mktemp("killing")
    return folder, killing.prepare(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("name", ["preprocess", "train", "prune", "quantize", "predict", "bench"])
def test_a_command_killed_at_random_moments_tears_and_leaves_nothing(killing, name, number):
    import killing as room

    folder, workspace = killing
    command = next(command for command in room.COMMANDS if command.words[0] == name)
    found = room.kill(command, workspace, folder, KILLS, seed=1, number=number)
    assert found.kills == KILLS
    assert (found.torn, found.left, found.processes) == ([], [], [])
