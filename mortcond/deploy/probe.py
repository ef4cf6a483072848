"""A `.tflite` file run for the first time: `python -m mortcond.deploy.probe FILE`, in a process that may be lost.

Comes in: a path. Goes out: exit code 0 where the interpreter survives zeros, usual stays and extreme ones.
"""

import sys
from pathlib import Path

import numpy as np

from mortcond.core.limits import limit
from mortcond.core.signals import end_with_parent


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
