"""What each artifact costs: time per stay, load time, memory, energy; each in a fresh process of its own.

Comes in: candidates and the stays to run. Goes out: a Cost and the risks for each. The rounds go round all artifacts,
in an order drawn anew each time, so that a machine that slows down or is shared slows all alike; the first artifact is
measured a second time, in another process, and the difference of the two is the noise of the measurement.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.artifacts import size_bytes
from mortcond.core.console import Console
from mortcond.core.scratch import scratch_folder
from mortcond.core.signals import environment_of_worker
from mortcond.measure.candidates import Candidate
from mortcond.measure.machine import energy_joules

# processes alive at a time: TensorFlow's take 0.5 GB
AT_ONCE = {
    "litert": 12,
    "c": 12,
    "onnx": 4,
    "savedmodel": 2,
    "keras": 2,
}
SAMPLE = 256  # stays that the timed calls go round
SECONDS_A_ROUND = 0.08
PATIENCE_SECONDS = 600.0  # that a worker may take for one answer: TensorFlow on a slow laptop, the slowest, takes 60


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    batches: tuple[int, ...] = (1, 64)  # stays a call
    threads: int = 1
    rounds: int = 7
    seed: int = 0


@dataclass
class Cost:
    """What one candidate cost; `error` where it could not be run."""

    file: Path | None = None  # what the runtime loads
    size_bytes: int | None = None  # of that
    load_ms: float | None = None
    peak_rss_mb: float | None = None
    us: dict[int, list[list[float]]] = field(default_factory=dict)  # batch size: µs per stay of each call, by round
    joules: dict[int, float] = field(default_factory=dict)  # batch size: energy of the processor over all rounds
    macs: int | None = None  # multiply-accumulates of one stay
    risks: np.ndarray | None = None  # (stays,)
    error: str | None = None

    def latency(self, batch: int) -> dict[str, float]:
        """Return median and 95th percentile over all calls, in µs per stay."""
        calls = np.concatenate([np.asarray(calls) for calls in self.us[batch]])
        return {"p50": round(float(np.median(calls)), 3), "p95": round(float(np.quantile(calls, 0.95)), 3)}

    def energy_uj(self, batch: int) -> float | None:
        """Return the energy per stay in µJ, of the whole processor while it ran; None where it was not measured."""
        if batch not in self.joules:
            return None
        stays = sum(len(calls) for calls in self.us[batch]) * batch
        return 1e6 * self.joules[batch] / stays


class Failed(Exception):
    """The worker answered with an error, or died."""


class Process:
    """A worker process and the two pipes to it."""

    def __init__(self, threads: int):
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self.errors = tempfile.TemporaryFile(encoding="utf-8", mode="w+")  # noqa: SIM115 (closed by `close`)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mortcond.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment_of_worker() | limits | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises Failed where the worker reports an error, is gone, or does not answer within PATIENCE_SECONDS.
        """
        with self._patience() as overdue:
            try:
                print(json.dumps({"do": do} | request), file=self.process.stdin, flush=True)
                line = self.process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise Failed(f"no answer within {PATIENCE_SECONDS:g} s" if overdue.is_set() else self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    @contextmanager
    def _patience(self) -> Iterator[threading.Event]:
        """End the worker where it takes too long; the event says whether it did."""
        overdue = threading.Event()

        def end() -> None:
            overdue.set()
            self.process.kill()

        timer = threading.Timer(PATIENCE_SECONDS, end)
        timer.daemon = True
        timer.start()
        try:
            yield overdue
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        return f"the process ended with {code}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the worker."""
        with suppress(BrokenPipeError):  # it died with a request unread
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def measure(
    candidates: Sequence[Candidate], x: np.ndarray, plan: Plan, console: Console
) -> tuple[list[Cost], dict[str, Any]]:
    """Measure every candidate on the stays x (stays, hours, features).

    Returns
    -------
    A Cost for each candidate, in their order, and the noise: `of` which candidate, measured a second time as a control,
    and for each batch size by how much its two medians differ, as a share of their mean (None: it could not be run).
    """
    costs = [Cost() for _ in candidates]
    twice, control = 0, Cost()
    with _as_file(x) as stays, console.progress("Measuring", total=(len(candidates) + 1) * (plan.rounds + 2)) as bar:
        for index, group in enumerate(_groups(candidates)):
            jobs = [(candidates[position], costs[position]) for position in group]
            if index == 0:
                twice = group[0]
                jobs.append((candidates[twice], control))
            _measure_group(jobs, stays, plan, bar)
    ran = costs[twice].error is None and control.error is None
    shares = _noise(costs[twice], control) if ran else None
    return costs, {"of": candidates[twice].label, "relative_difference": shares}


def _groups(candidates: Sequence[Candidate]) -> Iterator[list[int]]:
    """Yield positions of candidates whose processes may be alive together."""
    for runtime, most in AT_ONCE.items():
        positions = [i for i, candidate in enumerate(candidates) if candidate.runtime == runtime]
        for start in range(0, len(positions), most):
            yield positions[start : start + most]


def _measure_group(jobs: list[tuple[Candidate, Cost]], stays: Path, plan: Plan, bar) -> None:
    generator = np.random.default_rng(plan.seed)
    with ExitStack() as stack:
        processes = [Process(plan.threads) for _ in jobs]
        for process in processes:
            stack.callback(process.close)
        work = [(process, candidate, cost) for process, (candidate, cost) in zip(processes, jobs, strict=True)]
        for process, candidate, cost in work:  # all of them before the first load, which they would slow down
            _attempt(cost, _start, process, candidate, cost, stays.parent)
        for process, candidate, cost in work:
            _attempt(cost, _load, process, candidate, cost, stays, plan)
            bar.advance(note=candidate.label)
        for _ in range(plan.rounds):
            for position in generator.permutation(len(work)):
                process, candidate, cost = work[position]
                _attempt(cost, _round, process, cost, plan)
                bar.advance(note=candidate.label)
        for process, candidate, cost in work:
            _attempt(cost, _finish, process, candidate, cost, stays)
            bar.advance(note=candidate.label)


def _attempt(cost: Cost, step, *arguments) -> None:
    """Do a step unless one before it failed; keep what the worker said where it fails."""
    if cost.error is None:
        try:
            step(*arguments)
        except Failed as failure:
            cost.error = str(failure)


def _start(process: Process, candidate: Candidate, cost: Cost, folder: Path) -> None:
    file = str(candidate.file.resolve())
    cost.file = Path(process.ask("start", runtime=candidate.runtime, file=file, folder=str(folder))["file"])
    cost.size_bytes = size_bytes(cost.file)


def _load(process: Process, candidate: Candidate, cost: Cost, stays: Path, plan: Plan) -> None:
    answer = process.ask(
        "load",
        runtime=candidate.runtime,
        file=str(cost.file),
        threads=plan.threads,
        stays=str(stays),
    )
    cost.load_ms = round(answer["load_ms"], 3)


def _round(process: Process, cost: Cost, plan: Plan) -> None:
    for batch in plan.batches:
        before = energy_joules()
        answer = process.ask("measure", batch=batch, seconds=SECONDS_A_ROUND, sample=SAMPLE)
        after = energy_joules()
        cost.us.setdefault(batch, []).append(answer["us"])
        if before is not None and after is not None and after >= before:
            cost.joules[batch] = cost.joules.get(batch, 0.0) + after - before


def _finish(process: Process, candidate: Candidate, cost: Cost, stays: Path) -> None:
    cost.peak_rss_mb = round(process.ask("memory")["peak_rss_mb"], 1)
    out = stays.with_name(f"risks-{process.process.pid}.npy")
    process.ask("predict", out=str(out))
    cost.risks = np.load(out, allow_pickle=False)
    if candidate.tflite is not None:
        cost.macs = process.ask("macs", file=str(candidate.tflite.resolve()))["macs"]


@contextmanager
def _as_file(x: np.ndarray) -> Iterator[Path]:
    """Put the stays in a file for the workers to map: their memory then holds only what they run."""
    with scratch_folder() as folder:
        path = folder / "stays.npy"
        np.save(path, np.ascontiguousarray(x, dtype=np.float32))
        yield path


def _noise(cost: Cost, control: Cost) -> dict[str, float]:
    result = {}
    for batch in cost.us:
        one, other = cost.latency(batch)["p50"], control.latency(batch)["p50"]
        result[str(batch)] = round(abs(one - other) / ((one + other) / 2), 4)
    return result
