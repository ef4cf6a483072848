"""Runtimes: one function for each that loads a model and gives a function from a batch of stays to their risks.

Comes in: a file, a number of threads, a batch size. Goes out: `run(x) -> risks`, with as little of our own around the
runtime as can be, so that its time is what is measured. Imported by the worker process only.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]  # x (batch, hours, features) float32 -> (batch,)


def count_macs(file: Path) -> int:
    """Return the multiply-accumulates of one stay of a `.tflite` file, from its graph."""
    from ai_edge_litert.interpreter import Interpreter

    from mortcond.measure.macs import count

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    stays = interpreter.get_input_details()[0]
    interpreter.set_tensor(stays["index"], np.zeros(stays["shape"], np.float32))  # its memory could hold anything
    interpreter.invoke()  # shapes behind a loop are known only after it
    return count(file, interpreter, hours=int(stays["shape"][1]))


def load(runtime: str, file: Path, threads: int) -> Callable[[int], Run]:
    """Load a model; return a function from a batch size to the function that runs such batches."""
    return _RUNTIMES[runtime](file, threads)


def _litert(file: Path, threads: int) -> Callable[[int], Run]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    source, target, shape = inputs["index"], outputs["index"], list(inputs["shape"][1:])
    interpreter.allocate_tensors()

    def for_batch(batch: int) -> Run:
        interpreter.resize_tensor_input(source, [batch, *shape])
        interpreter.allocate_tensors()

        def run(x: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(source, x)
            interpreter.invoke()
            return interpreter.get_tensor(target).reshape(-1)

        return run

    return for_batch


def _savedmodel(file: Path, threads: int) -> Callable[[int], Run]:
    tf = _tensorflow(threads)
    loaded = tf.saved_model.load(str(file))
    signature = loaded.signatures["serving_default"]
    argument = next(iter(signature.structured_input_signature[1]))
    return lambda batch: lambda x: next(iter(signature(**{argument: tf.constant(x)}).values())).numpy().reshape(-1)


def _keras(file: Path, threads: int) -> Callable[[int], Run]:
    _tensorflow(threads)
    from mortcond.deploy.directory import load_network
    from mortcond.exchange.keras_model import to_keras

    model = to_keras(load_network(file.parent))
    return lambda batch: lambda x: model.predict_on_batch(x).reshape(-1)


def _onnx(file: Path, threads: int) -> Callable[[int], Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda batch: lambda x: session.run(None, {"x": x})[0].reshape(-1)


def _c(file: Path, threads: int) -> Callable[[int], Run]:
    from mortcond.deploy.compiled import load as load_library

    run = load_library(file)
    return lambda batch: run


_RUNTIMES = {"litert": _litert, "savedmodel": _savedmodel, "keras": _keras, "onnx": _onnx, "c": _c}


def _tensorflow(threads: int):
    from mortcond.core.tensorflow import set_threads, tf

    set_threads(threads)
    return tf
