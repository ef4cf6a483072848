"""Commands killed at random moments, and what is found afterwards.

Comes in: a command line, what it writes, a number of kills. Goes out: how often its output was torn, what was left
after the next command, and how many of its processes were still there.

    python tests/killing.py 20          # from the root, every command below, 20 kills each
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mortcond import dataset
from mortcond.core.errors import MortcondError
from mortcond.core.manifest import opened
from mortcond.deploy import metadata

MORTCOND = [sys.executable, "-m", "mortcond.cli"]
SECONDS_TO_END = 20  # for the workers of a process that was killed


@dataclass(frozen=True)
class Command:
    """A command to kill: its words, what it writes in the workspace, and how to see that this is whole."""

    words: tuple[str, ...]
    output: str
    check: Callable[[Path], object]
    kept: tuple[str, ...] = ()  # hidden names that are meant to stay: a training goes on from there


@dataclass
class Found:
    """What was found after all kills of one command."""

    kills: int = 0
    too_late: int = 0  # the command had ended before
    torn: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    seconds: float = 0.0  # that the command takes in all


def whole_table(path: Path) -> None:
    """Raise MortcondError where a CSV of risks has no end."""
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n") or len({line.count(",") for line in text.splitlines()}) != 1:
        raise MortcondError(f"{path} is torn.")


def report(path: Path) -> None:
    """Raise MortcondError where a folder of bench lacks a part."""
    missing = [name for name in ("results.json", "results.csv", "report.html") if not (path / name).is_file()]
    if missing:
        raise MortcondError(f"{path} lacks {', '.join(missing)}.")


COMMANDS = (
    Command(("preprocess", "--overwrite", "-o", "{workspace}/again.npz"), "again.npz", dataset.load),
    Command(("train", "--arch", "dnn", "--epochs", "3", "--overwrite"), "dnn", opened, (".dnn.training",)),
    Command(("prune", "dnn", "--overwrite"), "dnn-pruned50", opened),
    Command(("quantize", "dnn", "--tolerance", "1", "--overwrite"), "dnn-int8.tflite", metadata.read),
    Command(
        ("predict", "{workspace}/dnn", "{workspace}/dataset.npz", "--overwrite", "-o", "{workspace}/risks.csv"),
        "risks.csv",
        whole_table,
    ),
    Command(("bench", "--rounds", "1", "--resamples", "100"), "bench", report),
)
NEXT = ("predict", "{workspace}/dnn", "{workspace}/dataset.npz", "--overwrite", "-o", "{workspace}/next.csv")


def prepare(folder: Path) -> Path:
    """Return a workspace that has everything the commands need, and what they write."""
    workspace = folder / "workspace"
    for words in (("preprocess",), *(command.words for command in COMMANDS)):
        _run(words, workspace, folder, check=True)
    return workspace


def kill(command: Command, workspace: Path, folder: Path, kills: int, seed: int, number: int = signal.SIGKILL) -> Found:
    """Run a command again and again, and end it by a signal at a random moment each time."""
    found, dice = Found(), np.random.default_rng(seed)
    started = time.monotonic()
    _run(command.words, workspace, folder, check=True)
    found.seconds = time.monotonic() - started
    before = visible(workspace)
    for _ in range(kills):
        mark = uuid.uuid4().hex
        process = _start(command.words, workspace, folder, mark)
        try:
            process.wait(timeout=float(dice.uniform(0.02, found.seconds)))
            found.too_late += 1
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.wait()
        found.kills += 1
        found.processes += _still_there(mark)
        _look(command, workspace, folder, found, before)
    return found


def _look(command: Command, workspace: Path, folder: Path, found: Found, before: set[str]) -> None:
    """See that the output is whole, then that nothing is left after a command that writes there."""
    try:
        command.check(workspace / command.output)
    except MortcondError as error:
        found.torn.append(str(error))
    _run(NEXT, workspace, folder, check=True)
    hidden = {path.name for path in workspace.iterdir()} - before - set(command.kept) - {"next.csv"}
    found.left += [*sorted(hidden), *(path.name for path in (folder / "tmp").iterdir())]


def visible(workspace: Path) -> set[str]:
    """Return the names in a workspace."""
    return {path.name for path in workspace.iterdir()}


def _run(words: tuple[str, ...], workspace: Path, folder: Path, check: bool) -> None:
    process = _start(words, workspace, folder, "")
    if process.wait() and check:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {(folder / 'log').read_text()[-2000:]}")


def _start(words: tuple[str, ...], workspace: Path, folder: Path, mark: str) -> subprocess.Popen:
    (folder / "tmp").mkdir(exist_ok=True)
    told = os.environ | {"TMPDIR": str(folder / "tmp"), "MORTCOND_CACHE": str(folder / "cache"), "KILLING": mark}
    command = [*MORTCOND, *(word.format(workspace=workspace) for word in words), "-w", str(workspace), "-q"]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=told)


def _still_there(mark: str) -> list[str]:
    """Return the processes that carry a mark, once they have had SECONDS_TO_END to end."""
    deadline = time.monotonic() + SECONDS_TO_END
    while (alive := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return alive


def _marked(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"KILLING={mark}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


if __name__ == "__main__":
    count = int(sys.argv[1])
    signals = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "HUP": signal.SIGHUP, "INT": signal.SIGINT}
    chosen = signals[sys.argv[2]] if len(sys.argv) > 2 else signal.SIGKILL
    with tempfile.TemporaryDirectory() as scratch:
        place = prepare(Path(scratch))
        for each in COMMANDS:
            if len(sys.argv) > 3 and each.words[0] not in sys.argv[3:]:
                continue
            result = kill(each, place, Path(scratch), count, seed=0, number=chosen)
            told = (
                f"{each.words[0]:12} {result.seconds:6.1f} s: {result.kills} kills ({result.too_late} after its end), "
            )
            told += f"{len(result.torn)} torn, {len(result.left)} left after the next command, "
            print(f"{told}{len(result.processes)} processes still there", *result.torn, *result.left, flush=True)
