"""A low-end laptop as far as it can be had here: the small install, on a processor without AVX.

    python tests/laptop/laptop.py [--cpu Nehalem] [--short] [--python PYTHON]

prints each command of the chain with its exit code and seconds, and ends with 1 where one failed. Without --python a
virtual environment is built by `pip install .`, which brings no TensorFlow. qemu-user (Debian) emulates the processor;
Python's own children run in it too.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CPUS = (
    "Nehalem",
    "Denverton",
)  # SSE4.2 and no AVX: a Core of 2008; an Atom of 2017, which has no 3DNow prefetch either
QEMU = "qemu-x86_64"
SHORT = (
    ("preprocess",),
    ("train", "--arch", "lstm", "--epochs", "1"),
    ("quantize", "{work}/lstm", "--mode", "int8", "--tolerance", "1"),
    ("predict", "{work}/lstm-int8.tflite", "{work}/dataset.npz", "-o", "{work}/risks.csv"),
)
WHOLE = (
    ("run", "--epochs", "2"),
    ("train", "--arch", "gru", "--epochs", "1"),
    ("prune", "{work}/hlstm", "--schedule", "final", "--epochs", "3"),
    ("predict", "{work}/lstm.tflite", "{work}/dataset.npz", "-o", "{work}/risks.csv"),
    ("inspect", "{work}/lstm"),
    ("bench", "--rounds", "1", "--resamples", "100"),
    ("condense", "{work}/lstm", "--epochs", "2", "--budget-minutes", "5", "--max-auroc-drop", "0.4"),
)


def environment(folder: Path) -> Path:
    """Build the small install, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder / "small"], check=True)
    python = folder / "small" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT], check=True)
    return python


def emulated(python: Path, cpu: str) -> Path:
    """Return a Python beside `python` that runs on a processor of that kind, and so do those that it starts."""
    wrapper = python.with_name(f"python-{cpu}")
    wrapper.write_text(f'#!/bin/sh\nexec {QEMU} -cpu {cpu} -0 "$0" "{python}" "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return wrapper


def chain(python: Path, work: Path, short: bool) -> Iterator[tuple[str, int, float, str]]:
    """Run the chain; yield each command, its exit code, its seconds and the last line of its stderr."""
    for command in SHORT if short else WHOLE:
        arguments = [part.format(work=work) for part in command]
        started = time.monotonic()
        done = subprocess.run(
            [python, "-m", "mortcond.cli", *arguments, "-w", work, "-q"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=work,
        )
        last = (done.stderr.strip().splitlines() or [""])[-1]
        yield " ".join(command), done.returncode, time.monotonic() - started, last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", choices=CPUS, default=CPUS[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--python", type=Path)
    options = parser.parse_args()
    if shutil.which(QEMU) is None:
        print(f"skipped: {QEMU} is not installed (Debian: apt-get install qemu-user)")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        python = emulated(options.python or environment(Path(folder)), options.cpu)
        work = Path(folder) / "artifacts"
        work.mkdir()
        for command, code, seconds, last in chain(python, work, options.short):
            failed |= code != 0
            print(
                f"{options.cpu}: exit {code}, {seconds:5.1f} s: mortcond {command}{f' ({last})' if code else ''}",
                flush=True,
            )
    return failed


if __name__ == "__main__":
    sys.exit(main())
