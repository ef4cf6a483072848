"""One artifact in a process of its own: `python -m mortcond.measure.worker`, spoken to by `measure.latency`.

Comes in: one JSON object a line on stdin: load, measure, memory, predict. Goes out: one JSON object a line on stdout.
"""

import json
import subprocess
import sys
import time
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.signals import end_with_parent, environment_of_worker
from mortcond.measure import backends

MODULES = {
    "litert": "ai_edge_litert.interpreter",
    "onnx": "onnxruntime",
    "c": "ctypes",
    "savedmodel": "tensorflow",
    "keras": "tensorflow",
}
MADE = {"onnx": ("mortcond.deploy.onnx_graph", ".onnx"), "c": ("mortcond.deploy.compiled", ".so")}  # by whom, ending
FEWEST_CALLS, MOST_CALLS = 10, 20_000  # in one round


class Worker:
    """The state between the lines: the loaded model, the stays, and a runner for each batch size."""

    def start(self, runtime: str, file: str, folder: str) -> dict[str, Any]:
        """Import and prepare what a runtime needs before the clock of the load starts; return the file to load."""
        import_module(MODULES[runtime])
        return {"file": _made(runtime, Path(file), Path(folder)) if runtime in MADE else file}

    def load(self, runtime: str, file: str, threads: int, stays: str) -> dict[str, Any]:
        """Load the model; `load_ms` is the time from the file's name to a runtime that is ready for a batch of one."""
        x = np.load(stays, mmap_mode="r")  # (stays, hours, features)
        started = time.perf_counter_ns()
        self.for_batch = backends.load(runtime, Path(file), threads)
        self.for_batch(1)
        load_ms = (time.perf_counter_ns() - started) / 1e6
        self.stays = x
        return {"load_ms": load_ms}

    def measure(self, batch: int, seconds: float, sample: int) -> dict[str, Any]:
        """Time one round of calls after a few unmeasured ones; the time of each call, in µs per stay.

        The stays of the first `sample` go round, so that a value of one stay cannot be kept in a cache.
        """
        run = self.for_batch(batch)
        batches = _batches(self.stays[:sample], batch)
        for x, _ in zip(cycle(batches), range(3), strict=False):
            run(x)
        times, ends = [], time.perf_counter() + seconds
        for x in cycle(batches):
            started = time.perf_counter_ns()
            run(x)
            times.append(time.perf_counter_ns() - started)
            if len(times) >= FEWEST_CALLS and (time.perf_counter() > ends or len(times) >= MOST_CALLS):
                return {"us": [round(ns / 1e3 / batch, 4) for ns in times]}

    def memory(self) -> dict[str, Any]:
        """Return the largest resident memory of this process so far in MB (10^6 bytes), Python and runtime included."""
        return {"peak_rss_mb": peak_rss_mb()}

    def macs(self, file: str) -> dict[str, Any]:
        """Return the multiply-accumulates of one stay of a `.tflite` file."""
        return {"macs": backends.count_macs(Path(file))}

    def predict(self, out: str, batch: int = 64) -> dict[str, Any]:
        """Write the risk of every stay to `out`, (stays,) float64."""
        risks = np.empty(len(self.stays))
        run = self.for_batch(batch)
        whole = len(risks) - len(risks) % batch
        for start in range(0, whole, batch):
            risks[start : start + batch] = run(np.ascontiguousarray(self.stays[start : start + batch]))
        if whole < len(risks):
            rest = np.ascontiguousarray(self.stays[whole:])
            risks[whole:] = self.for_batch(len(rest))(rest)
        np.save(out, risks)
        return {}


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MB.

    Linux's ru_maxrss keeps the parent's peak over fork and exec; VmHWM begins anew at exec.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024 / 1e6
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _made(runtime: str, file: Path, folder: Path) -> str:
    """Write a model directory as what a runtime loads, in a process of its own: that takes memory too."""
    module, ending = MADE[runtime]
    target = folder / f"{file.parent.name}{ending}"
    command = [sys.executable, "-m", module, str(file.parent), str(target)]
    ends = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environment_of_worker()}
    done = subprocess.run(command, text=True, check=False, **ends)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"it could not be written for {runtime}"])[-1])
    return str(target)


def _batches(stays: np.ndarray, batch: int) -> list[np.ndarray]:
    """Cut the stays into whole batches, each contiguous; repeat stays where there are fewer than one batch."""
    count = max(1, len(stays) // batch)
    rows = np.resize(np.arange(len(stays)), count * batch).reshape(count, batch)
    return [np.ascontiguousarray(stays[row], dtype=np.float32) for row in rows]


def main() -> None:
    """Answer each line of stdin until it ends."""
    end_with_parent()
    answers, sys.stdout = sys.stdout, sys.stderr  # a runtime's chatter must not come between the answers
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # whatever a runtime raises is a row of the result, not the end of the bench
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
