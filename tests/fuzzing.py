"""Mutated files for every reader, read in processes that may be lost, with a count of how each reading ended.

Comes in: sound files of every form. Goes out: for each reader how often a mutant was read, refused (exit 2 or 3), "a
bug" (exit 1), ended its process, took longer than SECONDS or more than MEMORY_BYTES; and the mutants that failed.

A process is forked for many mutants and a new one where it is lost: a process each would be a hundred times dearer.
"""

import copy
import io
import json
import os
import pickle
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mortcond.core.errors import MortcondError, as_mortcond_error

SECONDS = 10
MEMORY_BYTES = 2_000_000_000
AT_A_TIME = 50  # mutants that one forked process reads
VALUES = [None, True, -1, 0, 0.5, 1e308, 10**30, "", "x" * 2000, "NaN", [], {}, [[]], [None], {"a": 1}, "\ud800", "<b>"]
CELLS = ["", "nan", "NaN", "NA", "inf", "1e400", "1e20", "-1", "1.5", "9" * 400, "\x00", '"', "'", "é", "<script>", "x"]
CELLS += ["00:00", "2101-13-45", "9999-12-31 23:59:59", ",", "\r", "\n", "\ufeff", "-0", "1_000", "٣", "True", "0x10"]


@dataclass(frozen=True)
class Reader:
    """One way to read one file: `read` gets the path of the mutant, which has the name of the sound file."""

    name: str
    sound: Path
    read: Callable[[Path], object]
    mutate: Callable[[bytes, np.random.Generator], bytes]
    beside: tuple[Path, ...] = ()  # files that have to lie beside it


@dataclass
class Tally:
    """How the readings of one reader ended."""

    outcomes: Counter = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=dict)  # what went wrong: the numbers of the mutants
    slowest: float = 0.0
    largest: int = 0  # bytes of memory of a process


# Mutations


def of_bytes(content: bytes, dice: np.random.Generator) -> bytes:
    """Change, cut, double, remove or add bytes."""
    changed = bytearray(content)
    for _ in range(dice.integers(1, 5)):
        if not changed:
            return bytes(changed)
        place = int(dice.integers(0, len(changed)))
        match dice.integers(0, 7):
            case 0:
                changed[place] ^= 1 << int(dice.integers(0, 8))
            case 1:
                changed[place] = int(dice.integers(0, 256))
            case 2:
                number = int(dice.choice(np.array([0, -1, 1, 2**31 - 1, -(2**31), 65536, 255], np.int64)))
                changed[place : place + 4] = struct.pack("<i", number)
            case 3:
                del changed[place:]
            case 4:
                del changed[place : place + int(dice.integers(1, 200))]
            case 5:
                changed[place:place] = changed[place : place + int(dice.integers(1, 200))]
            case 6:
                changed[place:place] = bytes(dice.integers(0, 256, int(dice.integers(1, 30)), np.uint8))
    return bytes(changed)


def of_json(content: bytes, dice: np.random.Generator) -> bytes:
    """Put other values, or none, in the place of parts of a JSON document; now and then change its bytes."""
    if dice.random() < 0.2:
        return of_bytes(content, dice)
    document = [json.loads(content)]
    for _ in range(dice.integers(1, 4)):
        _change_part(document, dice)
    return json.dumps(document[0]).encode()


def _change_part(document: list, dice: np.random.Generator) -> None:
    places = list(_places(document))
    holder, key = places[dice.integers(0, len(places))]
    value = copy.deepcopy(VALUES[dice.integers(0, len(VALUES))])
    match dice.integers(0, 4):
        case 0 if holder is not document:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        case 2 if isinstance(holder, list) and holder is not document:
            holder.insert(key, value)
        case _:
            holder[key] = value


def _places(part) -> Iterator[tuple[object, object]]:
    for key in list(part) if isinstance(part, dict) else range(len(part)):
        yield part, key
        if isinstance(part[key], dict | list):
            yield from _places(part[key])


def of_table(content: bytes, dice: np.random.Generator) -> bytes:
    """Put other cells into a CSV, remove or double rows and columns; now and then change its bytes."""
    if dice.random() < 0.25:
        return of_bytes(content, dice)
    rows = [line.split(",") for line in content.decode("utf-8", "surrogateescape").splitlines()]
    for _ in range(dice.integers(1, 4)):
        row = int(dice.integers(0, len(rows))) if dice.random() < 0.7 else 0
        column = int(dice.integers(0, len(rows[row])))
        match dice.integers(0, 6):
            case 0:
                rows[row].append("")
            case 1 if len(rows[row]) > 1:
                del rows[row][column]
            case 2 if len(rows) > 1:
                del rows[row]
            case 3:
                rows.insert(row, list(rows[row]))
            case _:
                rows[row][column] = CELLS[dice.integers(0, len(CELLS))]
    encoding = "latin-1" if dice.random() < 0.05 else "utf-8"
    return "\n".join(map(",".join, rows)).encode(encoding, "replace") + b"\n"


def of_npz(content: bytes, dice: np.random.Generator) -> bytes:
    """Put other headers and arrays into an npz file, leave members out, compress; now and then change its bytes."""
    if dice.random() < 0.35:
        return of_bytes(content, dice)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for _ in range(dice.integers(1, 3)):
        name = list(members)[dice.integers(0, len(members))]
        match dice.integers(0, 5):
            case 0 if len(members) > 1:
                del members[name]
            case 1:
                members[name] = of_bytes(members[name][:128], dice) + members[name][128:]
            case 2:
                members[name] = _other_header(members[name], dice)
            case 3:
                members[name] = _other_array(members[name], dice)
            case 4:
                members[name] = members[name][: int(dice.integers(0, len(members[name])))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if dice.random() < 0.3 else zipfile.ZIP_STORED) as file:
        for name, member in members.items():
            file.writestr(name, member)
    return buffer.getvalue()


def _other_header(member: bytes, dice: np.random.Generator) -> bytes:
    shapes = [(), (0,), (10**9, 48, 76), (2**62, 2**62), (-1,), (1, 48, 3), (5,), (True,), (10**5, 10**5)]
    types = ["<f4", "<f8", ">f4", "<i8", "|u1", "|b1", "<U1", "<U9999999", "|O", "<M8[s]", "<c8", "|V8", "|S5"]
    header = {"descr": types[dice.integers(0, len(types))], "fortran_order": bool(dice.integers(0, 2))}
    header["shape"] = shapes[dice.integers(0, len(shapes))]
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + member[128:]


def _other_array(member: bytes, dice: np.random.Generator) -> bytes:
    arrays = [
        np.zeros(0),
        np.array(1.5),
        np.array("text"),
        np.array([np.nan, np.inf]),
        np.arange(40),
        np.ones((40, 48, 2)),
    ]
    arrays += [
        np.full(40, -1),
        np.array(["é", "\ud800"]),
        np.zeros((3, 3), np.float32),
        np.array("[1, 2]"),
        np.array("{}"),
    ]
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, arrays[dice.integers(0, len(arrays))], allow_pickle=False)
    return buffer.getvalue()


# Reading


def run(readers: list[Reader], each: int, seed: int = 0, processes: int = 2) -> dict[str, Tally]:
    """Read `each` mutants of every reader's file; the same seed gives the same mutants."""
    tallies = {reader.name: Tally() for reader in readers}
    jobs = [(reader, start, min(start + AT_A_TIME, each)) for reader in readers for start in range(0, each, AT_A_TIME)]
    waiting, alive = list(reversed(jobs)), {}
    while waiting or alive:
        while waiting and len(alive) < processes:
            reader, start, stop = waiting.pop()
            pid, pipe = _fork(reader, start, stop, seed)
            alive[pid] = (reader, start, stop, pipe)
        pid, status, usage = os.wait4(-1, 0)
        if pid in alive:
            reader, start, stop, pipe = alive.pop(pid)
            done = _collect(tallies[reader.name], pipe)
            tallies[reader.name].largest = max(tallies[reader.name].largest, usage.ru_maxrss * 1024)
            if done < stop - start:
                _count_loss(tallies[reader.name], reader, start + done, status)
                if start + done + 1 < stop:
                    waiting.append((reader, start + done + 1, stop))
    return tallies


def _fork(reader: Reader, start: int, stop: int, seed: int) -> tuple[int, Path]:
    handle, name = tempfile.mkstemp(prefix="fuzz-")
    pid = os.fork()
    if pid:
        os.close(handle)
        return pid, Path(name)
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # its default is the end of the process: nothing can catch it
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            for number in range(start, stop):
                os.write(handle, pickle.dumps((number, *_read(reader, number, seed, Path(folder)))))
        code = 0
    finally:
        os._exit(code)


def _read(reader: Reader, number: int, seed: int, folder: Path) -> tuple[str, float, str]:
    mutant = reader.sound.read_bytes()
    if number:  # the first is the sound file itself
        mutant = reader.mutate(mutant, mutation_dice(reader, number, seed))
    place = folder / str(number)
    place.mkdir()
    for path in reader.beside:
        (place / path.name).write_bytes(path.read_bytes())
    path = place / reader.sound.name
    path.write_bytes(mutant)
    started = time.monotonic()
    signal.alarm(SECONDS + 5)
    try:
        reader.read(path)
        outcome, what = "read", ""
    except BaseException as error:
        outcome, what = _outcome(error)
    signal.alarm(0)
    return outcome, time.monotonic() - started, what


def mutation_dice(reader: Reader, number: int, seed: int) -> np.random.Generator:
    """Return the dice that make mutant `number` of a reader, to make it again."""
    return np.random.default_rng([seed, number, *reader.name.encode()])


def _outcome(error: BaseException) -> tuple[str, str]:
    try:
        code = as_mortcond_error(error).exit_code
        if code in (2, 3):
            return f"exit {code}", ""
    except MortcondError:
        pass
    except BaseException:
        code = 1
    return f"exit {code}", "".join(traceback.format_exception(error)[-3:])


def _collect(tally: Tally, pipe: Path) -> int:
    done = 0
    with pipe.open("rb") as file:
        while True:
            try:
                number, outcome, seconds, what = pickle.load(file)
            except EOFError:
                break
            done += 1
            tally.outcomes["hang" if seconds > SECONDS else outcome] += 1
            tally.slowest = max(tally.slowest, seconds)
            if what:
                tally.failures.setdefault(what, []).append(number)
    pipe.unlink()
    return done


def _count_loss(tally: Tally, reader: Reader, number: int, status: int) -> None:
    hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
    tally.outcomes["hang" if hung else "crash"] += 1
    tally.failures.setdefault(f"{reader.name}: the process ended with status {status}", []).append(number)


def table(tallies: dict[str, Tally]) -> str:
    """Return a row a reader: mutants, read, refused, exit 1, crashes, hangs, slowest, largest process."""
    rows = [
        f"{'reader':34} {'mutants':>8} {'read':>7} {'exit 3':>7} {'exit 2':>7} {'exit 1':>7} {'crash':>6} {'hang':>5}"
    ]
    rows[0] += f" {'slowest s':>10} {'largest MB':>11}"
    for name, tally in tallies.items():
        counts = [tally.outcomes[key] for key in ("read", "exit 3", "exit 2", "exit 1", "crash", "hang")]
        numbers = " ".join(f"{count:>{width}}" for count, width in zip(counts, (7, 7, 7, 7, 6, 5), strict=True))
        cost = f"{tally.slowest:>10.1f} {tally.largest / 1e6:>11,.0f}"
        rows.append(f"{name:34} {sum(tally.outcomes.values()):>8} {numbers} {cost}")
    return "\n".join(rows)


if __name__ == "__main__":
    from fuzz_readers import readers

    with tempfile.TemporaryDirectory() as scratch:
        found = run(readers(Path(scratch)), int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
        print(table(found))
        for name, tally in found.items():
            for text, numbers in sorted(tally.failures.items(), key=lambda item: -len(item[1]))[:8]:
                print(f"--- {name} ({len(numbers)}: {numbers[:5]})\n{text}")
