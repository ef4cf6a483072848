"""The runtime: a `.tflite` file that predicts, with ai-edge-litert and numpy alone. No TensorFlow.

Comes in: the path of a `.tflite` file or a model directory, then scaled stays. Goes out: the risk of each.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from mortcond.core.artifacts import MANIFEST
from mortcond.core.errors import InputError
from mortcond.core.manifest import opened
from mortcond.core.signals import environment_of_worker
from mortcond.deploy import known, metadata
from mortcond.deploy.flatbuffer import Malformed
from mortcond.deploy.verify import verify

BATCH = 64  # stays in one call: larger ones leave the processor's caches, smaller ones pay for more calls
PROBE_SECONDS = 120  # on the clock; the probe itself limits what it computes
_stderr = threading.Lock()  # of the whole process: only one thread at a time may put something else in its place


class Predictor:
    """A `.tflite` file, checked and loaded.

    Parameters
    ----------
    path
        A `.tflite` file, or a model directory (its model.tflite).
    threads
        How many calls run side by side, each on one thread: the operations are too small to be shared out themselves.

    trust_changed
        Take a file, or a model directory, that was changed after it was written.

    Raises
    ------
    InputError
        The file is missing, no `.tflite`, changed since it was written, or no model of stays.
    """

    metadata: dict[str, Any] | None  # what the file says of itself; None where it carries none of ours

    def __init__(self, path: Path, threads: int = 1, trust_changed: bool = False):
        self.path = tflite_path(path)
        self.threads = threads
        self.content, self.metadata = read(path, trust_changed)
        self.hours, self.features = self._shape()

    def predict(self, x: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Return the risk of each stay, (stays,) float32.

        Parameters
        ----------
        x
            (stays, hours, features), scaled as the model was trained.
        batch_size
            Stays in one call of the interpreter; None: what is fastest.

        Raises
        ------
        InputError
            x has other hours or features than the model.
        """
        if x.ndim != 3 or x.shape[1:] != (self.hours, self.features):
            raise InputError(
                f"{self.path} predicts from {self.hours} hours of {self.features} features; "
                f"these data have the shape {tuple(x.shape)}.",
                "Use the data set that the model was trained on, or one that preprocess --apply made for it.",
            )
        size = batch_size or BATCH
        starts = range(0, len(x), size)
        workers = self._workers[: len(starts)] if len(starts) > 1 else [self._first]
        if len(workers) == 1:
            parts = [self._first.run(x[start : start + size]) for start in starts]
        else:
            with ThreadPoolExecutor(len(workers)) as pool:  # the interpreter works outside Python's lock
                tasks = [
                    pool.submit(_every, worker, x, starts[i :: len(workers)], size) for i, worker in enumerate(workers)
                ]
                parts = [tasks[i % len(workers)].result()[i // len(workers)] for i in range(len(starts))]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    @cached_property
    def _workers(self) -> list["Worker"]:
        return [self._first, *(Worker(self.content, self.path) for _ in range(self.threads - 1))]

    @cached_property
    def _first(self) -> "Worker":
        return Worker(self.content, self.path)

    def _shape(self) -> tuple[int, int]:
        inputs, outputs = self._first.inputs, self._first.outputs
        one_each = len(inputs) == 1 and len(outputs) == 1
        if not one_each or len(inputs[0]["shape"]) != 3 or inputs[0]["dtype"] != np.float32:
            raise InputError(
                f"{self.path} is no model of stays: it should have one float32 input (stays, hours, features) "
                "and one output.",
                "Name a .tflite file that mortcond quantize or train wrote.",
            )
        return int(inputs[0]["shape"][1]), int(inputs[0]["shape"][2])


class Worker:
    """One interpreter, on one thread.

    Raises InputError where the file cannot be loaded.
    """

    def __init__(self, content: bytes, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        self.busy = threading.Lock()  # whoever calls from several threads shares the first worker
        try:
            with _without_notes():
                self.interpreter = Interpreter(model_content=content, num_threads=1)
                self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path} cannot be loaded ({str(error)[:200]}).", metadata.REMEDY) from None
        self.inputs, self.outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.shape: tuple[int, ...] | None = None

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the risks of one batch, (stays,)."""
        source = self.inputs[0]["index"]
        with self.busy:
            if self.shape != x.shape:
                self.interpreter.resize_tensor_input(source, x.shape)
                with _without_notes():
                    self.interpreter.allocate_tensors()
                self.shape = x.shape
            self.interpreter.set_tensor(source, np.ascontiguousarray(x, np.float32))
            self.interpreter.invoke()
            return self.interpreter.get_tensor(self.outputs[0]["index"]).reshape(-1).copy()


def _every(worker: Worker, x: np.ndarray, starts: range, size: int) -> list[np.ndarray]:
    return [worker.run(x[start : start + size]) for start in starts]


@contextmanager
def _without_notes() -> Iterator[None]:
    """Keep the interpreter's own notes ("INFO: Created TensorFlow Lite XNNPACK delegate") off stderr, nothing else.

    The descriptor belongs to the whole process: two threads that exchange it at once would lose it for good.
    """
    with _stderr, tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            os.dup2(caught.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            _say_again(caught)


def _say_again(caught: IO[bytes]) -> None:
    caught.seek(0)
    words = b"".join(line for line in caught if not line.startswith(b"INFO: "))
    if words:
        with suppress(OSError):
            os.write(2, words)


def read(path: Path, trust_changed: bool = False) -> tuple[bytes, dict[str, Any] | None]:
    """Return the bytes of a `.tflite` file, or of a model directory's, that can be run without harm, and its metadata.

    A file that this machine did not write is verified and, once, run in a process of its own.

    Raises
    ------
    InputError
        It is missing, no `.tflite`, cannot be run, or was changed (with `trust_changed`: that alone is no error).
    """
    if (path / MANIFEST).is_file():
        opened(path, trust_changed)
    file = tflite_path(path)
    content = metadata.read_bytes(file)
    record = metadata.checked(content, file, trust_changed)
    vet(content, file)
    return content, record


def vet(content: bytes, path: Path) -> None:
    """Raise InputError where the bytes of a file are no model, or end the process that runs them; not if known."""
    if known.is_known(content):
        return
    try:
        verify(content)
    except Malformed as error:
        raise InputError(f"{path} is no .tflite file that can be run: {error}.", metadata.REMEDY) from None
    _probe(path)
    known.remember(content)


def tflite_path(path: Path) -> Path:
    """Return the `.tflite` file that is meant: the file itself, or the one of a model directory."""
    return path / "model.tflite" if path.is_dir() else path


def _probe(path: Path) -> None:
    command = [sys.executable, "-m", "mortcond.deploy.probe", os.path.abspath(path)]
    how = {"capture_output": True, "timeout": PROBE_SECONDS, "check": False, "env": environment_of_worker()}
    try:
        failed = subprocess.run(command, **how).returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        raise InputError(f"{path} is no .tflite file that can be run.", metadata.REMEDY)
