"""What importing the networks of others gives: sizes and times of two real ones, and a table of small ones.

    python tests/benchmarks/imported_networks.py sizes [--data ../shared/data] [--rounds 40]
    python tests/benchmarks/imported_networks.py table

`sizes` takes the two networks of MORTCOND_TEST_DATA/pretrained and the 57 stays of the MIMIC-III demo, prepared as they
want them: the original file, TensorFlow's converter (float32, and 8 bits by its dynamic range), ONNX Runtime, and the
files of mortcond, in 8 bits rounded by stays of PhysioNet 2012 prepared in the same way, so by none of the 57. Rounds
go through all runtimes; a time is the median over rounds of 20 calls with one stay, one thread.

`table` makes each network of `networks_of_others` and says how far import is from its framework, or why it was
refused.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from networks_of_others import KERAS, TORCH, Case

from mortcond.core.errors import InputError
from mortcond.exchange.compare import probing_stays
from mortcond.exchange.load import Given, load
from mortcond.network import Network

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORKS = {"bidirectional LSTM": "k_lstm", "channel by channel": "r2k"}
CALLS = 20  # a round
STAYS_TO_ROUND_BY = 512


def sizes(data: Path, rounds: int) -> None:
    """Print sizes, times and differences of risk of the two real networks."""
    folder = data / "pretrained"
    with tempfile.TemporaryDirectory() as scratch:
        x = prepared_stays(data, folder, Path(scratch))
        learnt = prepared_stays(data, folder, Path(scratch), "physionet2012")[:STAYS_TO_ROUND_BY]
    for label, start in NETWORKS.items():
        path = next(folder.glob(f"{start}*.state"))
        network = load(path, Given(compare=False)).network
        print(f"\n{label}, {network.parameters:,} parameters; the original file: {path.stat().st_size:,} bytes")
        print("| form | bytes | us a stay | largest difference of a risk |\n| --- | ---: | ---: | ---: |")
        runs = forms(network, learnt)
        times = {name: [] for name in runs}
        for _ in range(rounds):
            for name, (_, call) in runs.items():
                start_time = time.perf_counter()
                for _ in range(CALLS):
                    call(x[:1])
                times[name].append((time.perf_counter() - start_time) / CALLS * 1e6)
        known = network.predict(x)
        for name, (size, call) in runs.items():
            off = max(abs(float(call(x[i : i + 1])[0]) - known[i]) for i in range(len(x)))
            print(f"| {name} | {size:,} | {np.median(times[name]):,.0f} | {off:.1e} |")


def prepared_stays(data: Path, folder: Path, scratch: Path, source: str = "mimic3-demo") -> np.ndarray:
    """Return a source's stays, (stays, 48, 76), of the demo 57, scaled as the networks want them."""
    from mortcond import dataset as datasets
    from mortcond.commands.preprocess import preprocess
    from mortcond.core.console import Console
    from mortcond.core.session import Session
    from mortcond.exchange.preparation import scaling_of

    preprocess(Session(console=Console(quiet=True)), data / source, scale=False, out=scratch / f"{source}.npz")
    raw, scaling = datasets.load(scratch / f"{source}.npz"), scaling_of(folder / "ihm_normalizer.csv")
    x = np.concatenate([raw.split(name).X for name in datasets.SPLITS])
    return ((x - scaling.mean) / scaling.std).astype(np.float32)


def forms(network: Network, learnt: np.ndarray) -> dict[str, tuple[int, Callable]]:
    """Return bytes and a call for each form of a network; learnt: stays to round 8-bit weights by."""
    from mortcond.deploy.onnx_graph import to_onnx
    from mortcond.deploy.tflite import build

    found = {f"TensorFlow's converter, {name}": _tflite(data) for name, data in converted(network).items()}
    found["ONNX Runtime"] = _onnxruntime(to_onnx(network))
    for mode in ("float32", "float16", "int8"):
        found[f"mortcond, {mode}"] = _tflite(build(network, mode, learnt).bytes)
    return found


def converted(network: Network) -> dict[str, bytes]:
    """Return what TensorFlow's converter makes of the same network as a Keras model."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from mortcond.core.tensorflow import tf
    from mortcond.exchange.keras_model import to_keras

    model, found = to_keras(network), {}
    shape = (1, network.hours, network.features)
    call = tf.function(lambda stays: model(stays), input_signature=[tf.TensorSpec(shape)])
    frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    for name in ("float32", "8 bits"):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if name == "8 bits" else []
        found[name] = converter.convert()
    return found


def _tflite(data: bytes) -> tuple[int, Callable]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return interpreter.get_tensor(result).reshape(-1)

    return len(data), call


def _onnxruntime(data: bytes) -> tuple[int, Callable]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return len(data), lambda x: session.run(None, {name: x})[0].reshape(-1)


# The table of small networks.


def table() -> None:
    """Print for each small network how far import is from its framework, or why it was refused."""
    print("| framework | network | result |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for framework, cases, make in (("Keras 3", KERAS, _of_keras), ("PyTorch", TORCH, _of_torch)):
            for case in cases:
                path, call = make(case, Path(folder))
                print(f"| {framework} | {case.name} | {_outcome(case, path, call)} |")


def _outcome(case: Case, path: Path, call: Callable) -> str:
    try:
        network = load(path, Given(output=case.output, compare=False)).network
    except InputError as error:
        return f"refused: {error.problem}"
    stays = probing_stays(network)
    return f"equal to {np.abs(network.predict(stays) - call(stays)).max():.0e}"


def _of_keras(case: Case, folder: Path) -> tuple[Path, Callable]:
    from mortcond.exchange.keras_live import risks

    model, path = case.make(), folder / "network.keras"
    model.save(path)
    return path, lambda stays: risks(model, stays)


def _of_torch(case: Case, folder: Path) -> tuple[Path, Callable]:
    import test_exchange_onnx as tested

    path = folder / "network.onnx"
    module = tested.exported(case, path)
    return path, lambda stays: tested.risks(module, stays, case)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sizes", "table"])
    usual = os.environ.get("MORTCOND_TEST_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(usual))
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.what == "sizes":
        sizes(options.data, options.rounds)
    else:
        table()


if __name__ == "__main__":
    main()
