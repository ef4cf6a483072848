"""What is left when processes are killed, and what two of them at once may do to one name."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mortcond.core import artifacts, leftovers, locks
from mortcond.core.artifacts import atomic_directory, atomic_file, copy_contents, refuse_existing
from mortcond.core.errors import UsageError
from mortcond.core.exchange import exchange
from mortcond.core.scratch import scratch_folder

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="this system has no flock")


@pytest.fixture(autouse=True)
def _as_a_new_process():
    leftovers._seen.clear()
    yield
    locks.release_claims()


def child(code: str, *arguments: object, **how) -> subprocess.Popen:
    """Run Python in another process; it prints a line when it is where the test wants it."""
    begin = "import os, signal, sys, time\nfrom pathlib import Path\nfrom mortcond.core import artifacts\n"
    begin += "from mortcond.core.artifacts import *\nfrom mortcond.core.scratch import scratch_folder\n"
    command = [sys.executable, "-c", begin + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **how)


def killed(code: str, *arguments: object) -> None:
    """Run Python until it prints, then kill it without mercy."""
    process = child(code, *arguments)
    process.stdout.readline()
    process.kill()
    process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


WRITE_A_FILE = """
    with atomic_file(Path(sys.argv[1])) as partial:
        partial.write_text("half")
        print("here", flush=True)
        time.sleep(60)
"""
WRITE_A_DIRECTORY = """
    with atomic_directory(Path(sys.argv[1])) as partial:
        (partial / "half").write_text("half")
        print("here", flush=True)
        time.sleep(60)
"""
DIE_BETWEEN_TWO_RENAMES = """
    artifacts.exchange = lambda one, other: False
    def replace(one, other, real=os.replace):
        real(one, other)
        print("here", flush=True)
        time.sleep(60)
    artifacts.os.replace = replace
    with atomic_directory(Path(sys.argv[1])) as partial:
        (partial / "new").write_text("new")
"""


@pytest.mark.parametrize("code", [WRITE_A_FILE, WRITE_A_DIRECTORY])
def test_what_a_killed_writer_left_goes_with_the_next_command_that_writes_there(tmp_path, code):
    killed(code, tmp_path / "lstm")
    assert len(names(tmp_path)) == 2  # the part, and the lock that nobody holds any more
    with atomic_file(tmp_path / "another"):
        (tmp_path / f".another.partial-{os.getpid()}").write_text("whole")
    assert names(tmp_path) == ["another"]


@pytest.mark.parametrize("code", [WRITE_A_FILE, WRITE_A_DIRECTORY])
def test_what_a_living_process_writes_stays(tmp_path, code):
    process = child(code, tmp_path / "lstm")
    process.stdout.readline()
    before = names(tmp_path)
    try:
        leftovers.tidy(tmp_path)
        assert names(tmp_path) == before
    finally:
        process.kill()
        process.wait()


def test_a_directory_moved_aside_by_a_killed_process_comes_back(tmp_path):
    with atomic_directory(tmp_path / "lstm") as partial:
        (partial / "old").write_text("old")
    killed(DIE_BETWEEN_TWO_RENAMES, tmp_path / "lstm")
    assert not (tmp_path / "lstm").exists()
    assert leftovers.exists(tmp_path / "lstm")
    assert names(tmp_path / "lstm") == ["old"]
    assert names(tmp_path) == ["lstm"]


def test_a_directory_is_never_without_its_name_while_it_is_replaced(tmp_path):
    target = tmp_path / "lstm"
    (target).mkdir()
    (tmp_path / "probe").mkdir()
    if not exchange(target, tmp_path / "probe"):
        pytest.skip("this file system cannot exchange two names")
    missing, done = [], threading.Event()

    def look():
        while not done.is_set():
            if not target.exists():
                missing.append(time.time())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(100):
        with atomic_directory(target) as partial:
            (partial / "number").write_text(str(number))
    done.set()
    watcher.join()
    assert not missing
    assert (target / "number").read_text() == "99"


@pytest.mark.parametrize("possible", [True, False])
def test_both_ways_to_replace_leave_the_new_directory_only(tmp_path, possible, monkeypatch):
    if not possible:
        monkeypatch.setattr(artifacts, "exchange", lambda one, other: False)
    for content in ("old", "new"):
        with atomic_directory(tmp_path / "lstm") as partial:
            (partial / content).write_text(content)
    assert names(tmp_path) == ["lstm"]
    assert names(tmp_path / "lstm") == ["new"]


def test_foreign_files_of_like_names_stay(tmp_path):
    kept = [".cache.partial", ".lstm.old-model", "mortcond-results", ".mortcond-notes", ".x.lock"]
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    (tmp_path / "mortcond-link").symlink_to(tmp_path / "mortcond-results")
    leftovers.tidy(tmp_path)
    assert names(tmp_path) == sorted([*kept, "mortcond-link"])


def test_scratch_is_private_and_goes(tmp_path):
    with scratch_folder(tmp_path) as folder:
        (folder / "patients.csv").write_text("1")
        assert folder.parent.name.startswith(".mortcond-")
        assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
        assert names(folder) == ["patients.csv"]
    assert names(tmp_path) == []


SCRATCH = """
    with scratch_folder(Path(sys.argv[1])) as folder:
        (folder / "patients.csv").write_text("1")
        print("here", flush=True)
        time.sleep(60)
"""


def test_scratch_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path):
    living = child(SCRATCH, tmp_path)
    living.stdout.readline()
    kept = names(tmp_path)
    killed(SCRATCH, tmp_path)
    assert len(names(tmp_path)) == 2
    with scratch_folder(tmp_path):
        pass
    assert names(tmp_path) == kept
    living.kill()
    living.wait()
    leftovers.tidy(tmp_path, again=True)
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_that_end_a_process_let_it_clean_up(tmp_path, number):
    ready = "    from mortcond.core.signals import end_like_an_interrupt\n    end_like_an_interrupt()\n"
    process = child(ready + SCRATCH, tmp_path, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(timeout=20) != 0
    assert names(tmp_path) == []


CLAIM = """
    refuse_existing(Path(sys.argv[1]), overwrite=True)
    print("here", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_told_at_once_who_writes_the_name(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
    process = child(CLAIM, tmp_path / "lstm")
    process.stdout.readline()
    with pytest.raises(UsageError, match=rf"lstm is being written by process {process.pid} \(.*since 20") as caught:
        refuse_existing(tmp_path / "lstm", overwrite=True)
    assert "--out" in caught.value.remedy
    locks.claim(tmp_path / "dnn")
    process.kill()
    process.wait()
    locks.claim(tmp_path / "lstm")


def test_whoever_claimed_a_name_writes_it_and_gives_it_back(tmp_path):
    refuse_existing(tmp_path / "lstm", overwrite=False)
    refuse_existing(tmp_path / "lstm", overwrite=False)
    assert names(tmp_path) == [".lstm.mortcond-lock"]
    with locks.held(tmp_path / "lstm"), atomic_directory(tmp_path / "lstm"):
        pass
    assert names(tmp_path) == ["lstm"]


def test_a_command_that_fails_gives_its_names_back(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.claims():
        refuse_existing(tmp_path / "lstm", overwrite=False)
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_a_share_without_locks_still_takes_artifacts(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with atomic_file(tmp_path / "a") as partial:
        partial.write_text("a")
    (tmp_path / ".b.partial-99999999").write_text("perhaps another machine's")
    leftovers.tidy(tmp_path, again=True)
    assert names(tmp_path) == [".b.partial-99999999", "a"]


def test_copies_take_bytes_and_ask_for_no_modes_or_times(tmp_path, monkeypatch):
    (tmp_path / "from" / "deeper").mkdir(parents=True)
    (tmp_path / "from" / "deeper" / "file").write_bytes(b"bytes")

    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    for name in ("chmod", "utime", "chown"):
        monkeypatch.setattr(os, name, refuse)
    copy_contents(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to" / "deeper" / "file").read_bytes() == b"bytes"


PARENT = """
    from mortcond.measure.latency import Process
    worker = Process(1)
    print(worker.process.pid, flush=True)
    worker.ask("memory")
    os.kill(worker.process.pid, signal.SIGSTOP)  # it cannot see the end of its input: only that its parent is gone
    print("here", flush=True)
    time.sleep(60)
"""


def test_a_worker_ends_with_its_parent():
    process = child(PARENT)
    worker = int(process.stdout.readline())
    process.stdout.readline()
    process.kill()
    process.wait()
    os.kill(worker, signal.SIGCONT)
    deadline = time.monotonic() + 10
    while _runs(worker):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
