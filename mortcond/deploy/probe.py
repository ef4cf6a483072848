"""A `.tflite` file run for the first time: `python -m mortcond.deploy.probe FILE`, in a process that may be lost.

Comes in: a path. Goes out: exit code 0 where the interpreter survives zeros, usual stays and extreme ones.
"""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from mortcond.core.signals import end_with_parent

CPU_SECONDS = 6  # of a processor: a loop without an end takes them all, a large network a fraction
MEMORY_BYTES = 1_500_000_000  # beside what Python and the interpreter take themselves


def limit() -> None:
    """Let this process have no more than CPU_SECONDS and MEMORY_BYTES, where the system can say so."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        own = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY_BYTES, own + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(content: bytes) -> None:
    """Run a file on stays of several kinds, one and several at a time."""
    from ai_edge_litert.interpreter import Interpreter

    limit()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    for entry in inputs:
        interpreter.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
    interpreter.invoke()
    if len(inputs) != 1 or len(inputs[0]["shape"]) != 3 or inputs[0]["dtype"] != np.float32:
        return
    index, shape = inputs[0]["index"], inputs[0]["shape"][1:]
    generator = np.random.default_rng(0)
    for stays in (1, 3):
        usual = generator.normal(0, 1, (stays, *shape)).astype(np.float32)
        interpreter.resize_tensor_input(index, usual.shape)
        interpreter.allocate_tensors()
        for x in (usual, usual * 1e30, np.full_like(usual, np.nan)):
            interpreter.set_tensor(index, x)
            interpreter.invoke()
            interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


if __name__ == "__main__":
    end_with_parent()
    run(Path(sys.argv[1]).read_bytes())
