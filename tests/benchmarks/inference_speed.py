"""Time per stay of the `.tflite` files and the C library against other runtimes, same weights, one thread, interleaved.

    python tests/benchmarks/inference_speed.py [--rounds 15] [--dataset dataset.npz] [--network NAME]

ONNX Runtime and PyTorch are measured where they are installed (the extra `peers`), Keras' predict where TensorFlow is.
Every round goes through all runtimes, so that a busy machine is unfair to none; the table gives the median and the
95th percentile of all calls, and each runtime's largest difference of probability.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from condense_networks import dnn, hlstm, lstm, stays
from export_workspace import ABOUT, specification

from mortcond.deploy import c, compiled, eight_bits, preparation
from mortcond.deploy.onnx_graph import to_onnx
from mortcond.deploy.tflite import build
from mortcond.network import Network

BATCHES = (1, 64)
CALL_SECONDS = 0.03  # of calls of one runtime in one round
PAPER = {"features": 76, "hours": 48}
Run = Callable[[np.ndarray], np.ndarray]


def networks() -> dict[str, Network]:
    made = {"lstm": lstm((16, 16), **PAPER), "lstm pruned 50 %": lstm((8, 8), **PAPER)}
    made |= {"hlstm": hlstm(16, (16,), **PAPER), "dnn": dnn((256, 128, 64), **PAPER)}
    return {name: _float32(network) for name, network in made.items()}


def _float32(network: Network) -> Network:
    return network.with_arrays({name: 0.3 * array.astype(np.float32) for name, array in network.arrays().items()})


def litert(network: Network, mode: str, batch: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=build(network, mode).bytes, num_threads=1)
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, [batch, network.hours, network.features])
    interpreter.allocate_tensors()
    target = interpreter.get_output_details()[0]["index"]

    def run(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return interpreter.get_tensor(target)[:, 0]

    return run


def onnx_runtime(network: Network) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(to_onnx(network), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0][:, 0]


def pytorch(network: Network) -> Run:
    import torch

    torch.set_num_threads(1)
    layers, head = [node.layer for node in network.recurrent], network.output.layer
    model = torch.nn.LSTM(network.features, layers[0].units, len(layers), batch_first=True)
    linear = torch.nn.Linear(layers[-1].units, 1)
    with torch.no_grad():
        for index, layer in enumerate(layers):
            arrays = {"weight_ih": layer.kernel.T, "weight_hh": layer.recurrent_kernel.T, "bias_ih": layer.bias}
            for name, array in (arrays | {"bias_hh": np.zeros_like(layer.bias)}).items():
                getattr(model, f"{name}_l{index}").copy_(torch.tensor(np.ascontiguousarray(array)))
        linear.weight.copy_(torch.tensor(head.kernel.T.copy()))
        linear.bias.copy_(torch.tensor(head.bias))

    def run(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(linear(model(torch.from_numpy(x))[0][:, -1])).numpy()[:, 0]

    return run


def keras_predict(network: Network) -> Run:
    from mortcond.exchange.keras_model import to_keras

    model = to_keras(network)
    return lambda x: model.predict(x, batch_size=len(x), verbose=0)[:, 0]


def c_library(network: Network, mode: str) -> Run:
    """Return the exported C, compiled as its check compiles it, called by ctypes."""
    spec, folder = specification("paper76"), Path(tempfile.mkdtemp())
    rounded = eight_bits.EightBits() if mode == "int8" else None
    written = c.write(network, preparation.of(spec), ABOUT, "net", rounded)
    return compiled.load(compiled.build(folder, *written, "net"))


def runtimes(network: Network, batch: int) -> Iterator[tuple[str, Run]]:
    """Yield the runtimes that can run a network here."""
    for mode in ("float32", "int8", "dynamic"):
        yield f"mortcond {mode}", litert(network, mode, batch)
    if compiled.compiler() is not None:
        for mode in ("float32", "int8"):
            yield f"C, {mode}", c_library(network, mode)
    stacked = network.recurrent and all(node.layer.kind == "lstm" for node in network.recurrent)
    if stacked and find_spec("onnxruntime") and find_spec("onnx"):
        yield "ONNX Runtime", onnx_runtime(network)
    same_units = len({node.layer.units for node in network.recurrent}) == 1
    if stacked and same_units and find_spec("torch"):
        yield "PyTorch", pytorch(network)
    if find_spec("tensorflow"):
        yield "Keras predict", keras_predict(network)


def measure(network: Network, x: np.ndarray, rounds: int) -> Iterator[tuple[str, int, float, float, float]]:
    """Yield runtime, batch, median and 95th percentile of µs a stay, and the largest difference of probability."""
    for batch in BATCHES:
        measured = dict(runtimes(network, batch))
        part = np.ascontiguousarray(x[:batch])
        expected = network.predict(part)
        errors = {name: np.abs(run(part) - expected).max() for name, run in measured.items()}
        seconds: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(rounds):
            for name, run in measured.items():
                seconds[name] += _seconds(run, x, batch)
        for name, values in seconds.items():
            times = 1e6 * np.array(values) / batch
            yield name, batch, float(np.median(times)), float(np.percentile(times, 95)), float(errors[name])


def _seconds(run: Run, x: np.ndarray, batch: int) -> list[float]:
    """Call again and again with other stays; return the time of each call."""
    starts = list(range(0, len(x) - batch + 1, batch))[:64] or [0]
    parts = [np.ascontiguousarray(x[start : start + batch]) for start in starts]
    run(parts[0])
    seconds: list[float] = []
    end = time.perf_counter() + CALL_SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        run(parts[len(seconds) % len(parts)])
        seconds.append(time.perf_counter() - started)
    return seconds


def real_stays(path: Path | None) -> np.ndarray:
    """Return the test split of a data set, or random stays (never zeros: they make every runtime look fast)."""
    if path is None:
        return stays(256, **PAPER)[0]
    with np.load(path, allow_pickle=False) as file:
        return file["X_test"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--network", choices=networks(), help="this one alone")
    arguments = parser.parse_args()
    for library in ("onnxruntime", "onnx", "torch", "tensorflow"):
        if find_spec(library) is None:
            print(f"{library} is not installed here: not measured")
    x = real_stays(arguments.dataset)
    print(f"{'network':18}{'runtime':18}{'batch':>6}{'median':>10}{'p95':>10}  µs a stay{'':6}largest difference")
    chosen = {name: network for name, network in networks().items() if arguments.network in (None, name)}
    for name, network in chosen.items():
        for runtime, batch, median, p95, error in measure(network, x, arguments.rounds):
            print(f"{name:18}{runtime:18}{batch:6}{median:10.1f}{p95:10.1f}{'':17}{error:.0e}", flush=True)


if __name__ == "__main__":
    main()
