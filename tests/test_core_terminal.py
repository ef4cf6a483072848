"""What is said reaches any code page; a full or closed stdout is a message, never a bug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mortcond.core.console import Console
from mortcond.core.errors import InputError, Interrupted, as_mortcond_error, of_the_disk

SAY = """
import sys
from mortcond.core.terminal import speak_plainly
from mortcond.core.console import Console
speak_plainly()
Console().result({}, lambda result: ["12 \\u00b5s \\u2013 \\u0394 0.01 \\u00d7 2 \\u2265 1 \\u60a3"])
Console().warn("1 \\u2013 2")
"""


def run(code: list[str], encoding: str = "utf-8", **how) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run([sys.executable, *code], env=environment, capture_output="stdout" not in how, **how)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("ascii", "12 us - d 0.01 x 2 >= 1 \\u60a3"),
        ("latin-1", "12 µs - d 0.01 × 2 >= 1 \\u60a3"),
        ("cp437", "12 µs - d 0.01 x 2 ≥ 1 \\u60a3"),
        ("cp850", "12 µs - d 0.01 × 2 >= 1 \\u60a3"),
        ("cp932", "12 us - Δ 0.01 × 2 >= 1 患"),
        ("utf-8", "12 µs – Δ 0.01 × 2 ≥ 1 患"),
    ],
)
def test_signs_that_a_code_page_lacks_are_said_in_plain_letters(encoding, said):
    done = run(["-c", SAY], encoding)
    assert done.returncode == 0
    assert done.stdout.decode(encoding).strip() == said
    assert done.stderr.decode(encoding).strip() == f"Warning: 1 {'–' if '–' in said else '-'} 2"


MORTCOND = ["-m", "mortcond.cli"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    from deploy_workspace import workspace

    return workspace(tmp_path_factory.mktemp("workspace"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_stdout_that_is_full_is_exit_3(artifact, how):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run([*MORTCOND, "inspect", str(artifact / "dataset.npz"), *how], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3, done.stderr
    assert done.stderr.decode().splitlines()[0] == "Error: The output: No space left on device."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_stderr_that_is_full_ends_no_work(artifact):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run([*MORTCOND, "inspect", str(artifact / "dataset.npz")], stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert b"a data set" in done.stdout


@pytest.mark.parametrize("command", [["inspect", "lstm"], ["predict", "lstm/model.tflite", "dataset.npz"]])
def test_a_closed_pipe_ends_the_command_in_one_sentence(artifact, command):
    read, write = os.pipe()
    os.close(read)
    words = [str(artifact / word) if "lstm" in word or "npz" in word else word for word in command]
    done = run([*MORTCOND, *words], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 130
    assert done.stderr.decode().strip().endswith("The program that read the output has ended, so this one ends too.")
    assert "Traceback" not in done.stderr.decode()
    assert "disk" not in done.stderr.decode()


def test_what_libraries_say_of_a_full_disk_is_understood():
    told = RuntimeError("Unable to synchronously create (errno = 28, error message = 'No space left on device')")
    full = as_mortcond_error(of_the_disk(told, "artifacts/lstm"))
    assert isinstance(full, InputError)
    assert full.problem == "artifacts/lstm: No space left on device."
    wrapped = ValueError("I/O operation on closed file")
    wrapped.__context__ = OSError(28, "No space left on device")
    assert of_the_disk(wrapped, "x").filename == "x"
    assert of_the_disk(ValueError("no shape"), "x") is None


def test_a_broken_pipe_is_an_interruption_and_a_bug_is_a_bug():
    assert isinstance(as_mortcond_error(BrokenPipeError(32, "Broken pipe")), Interrupted)
    with pytest.raises(ZeroDivisionError):
        as_mortcond_error(ZeroDivisionError())


def test_a_closed_stderr_does_not_end_the_work(monkeypatch):
    class Gone:
        encoding = "utf-8"

        def write(self, text):
            raise OSError(5, "Input/output error")

        def flush(self):
            raise OSError(5, "Input/output error")

        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stderr", Gone())
    Console().warn("nobody hears this")
