"""A network as an ONNX graph, to measure LiteRT against ONNX Runtime on the same weights. Imported on demand only.

Comes in: a Network, or a model directory (`python -m mortcond.measure.onnx_graph DIRECTORY OUT`). Goes out: the bytes
of a model from `x` (stays, hours, features) to the risks (stays, 1).
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.signals import end_with_parent
from mortcond.models.network import LSTMLayer, Network

OPSET, IR_VERSION = 17, 9
GATE_ORDER = (0, 3, 1, 2)  # of ONNX (input, output, forget, cell) among Keras' (input, forget, cell, output)


@dataclass
class Graph:
    """Nodes and constants, added one by one; a tensor is known by its name."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, array: Any, kind: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def add(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        from onnx import helper

        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operation, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names


def to_onnx(network: Network) -> bytes:
    """Return the network as ONNX.

    Its LSTM operator steps through every hour: unlike Keras and LiteRT it does not skip an hour whose features are all
    zero, which scaled stays hardly ever have; `max_abs_dp` shows whether it matters.

    Raises InputError for a hidden-layer LSTM, for which ONNX has no operator.
    """
    from onnx import TensorProto, helper

    graph = Graph()
    state = _last_state(graph, network) if network.recurrent else _summary(graph, network)
    for layer in network.dense:
        state = graph.add("Gemm", state, graph.constant(layer.kernel), graph.constant(layer.bias))
        state = graph.add("Relu" if layer.activation == "relu" else "Sigmoid", state)
    shape = ["stays", network.hours, network.features]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    target = helper.make_tensor_value_info(state, TensorProto.FLOAT, ["stays", 1])
    made = helper.make_graph(graph.nodes, "mortcond", [source], [target], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return model.SerializeToString()


def _last_state(graph: Graph, network: Network) -> str:
    sequence = graph.add("Transpose", "x", perm=[1, 0, 2])  # (hours, stays, features)
    for layer in network.recurrent:
        if not isinstance(layer, LSTMLayer):
            raise InputError("ONNX has no operator for a hidden-layer LSTM.", "Measure it with --runtime litert.")
        kernel, recurrent = _gates(layer.kernel), _gates(layer.recurrent_kernel)
        bias = np.concatenate([_gates(layer.bias[None])[:, 0], np.zeros(4 * layer.units)])
        weights = (graph.constant(array[None]) for array in (kernel, recurrent, bias))
        steps, last = graph.add("LSTM", sequence, *weights, outputs=2, hidden_size=layer.units)
        sequence = graph.add("Squeeze", steps, graph.constant([1], np.int64))  # (hours, stays, units)
    return graph.add("Squeeze", last, graph.constant([0], np.int64))  # (stays, units)


def _gates(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel (inputs, 4 * units) as ONNX wants it: (4 * units, inputs), gates in its own order."""
    parts = np.split(kernel, 4, axis=1)
    return np.concatenate([parts[gate].T for gate in GATE_ORDER])


def _summary(graph: Graph, network: Network) -> str:
    hours = graph.constant([1], np.int64)  # the axis to sum over
    mean = graph.add("ReduceMean", "x", axes=[1], keepdims=0)
    if network.summary == "full":
        return _full(graph, network, mean)
    mask = _mask(graph, np.array(network.mask_columns))
    measured = graph.add("ReduceSum", mask, hours, keepdims=0)
    total = graph.add("ReduceSum", graph.add("Mul", "x", mask), hours, keepdims=0)
    of_measured = graph.add("Div", total, graph.add("Max", measured, graph.constant(1.0)))
    return graph.add("Where", graph.add("Greater", measured, graph.constant(0.0)), of_measured, mean)


def _mask(graph: Graph, columns: np.ndarray) -> str:
    """Return 1 where a feature was measured or has no mask, else 0: (stays, hours, features).

    A product with a matrix of ones and zeros: gathering single columns is several times slower in ONNX Runtime.
    """
    known = columns >= 0
    first, last = (int(columns[known].min()), int(columns[known].max())) if known.any() else (0, 0)
    chosen = (np.arange(first, last + 1)[:, None] == columns) & known  # (mask columns, features)
    ends = (graph.constant([value], np.int64) for value in (first, last + 1, 2))
    masks = graph.add("Slice", "x", *ends)
    return graph.add("Add", graph.add("MatMul", masks, graph.constant(chosen)), graph.constant(~known))


def _full(graph: Graph, network: Network, mean: str) -> str:
    first, last = (graph.add("Gather", "x", graph.constant(h, np.int64), axis=1) for h in (0, network.hours - 1))
    low, high = (graph.add(name, "x", axes=[1], keepdims=0) for name in ("ReduceMin", "ReduceMax"))
    centred = graph.add("Sub", "x", graph.add("ReduceMean", "x", axes=[1], keepdims=1))
    spread = graph.add("Sqrt", graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1], keepdims=0))
    return graph.add("Concat", mean, last, low, high, spread, graph.add("Sub", last, first), axis=1)


def main() -> None:
    """Write the model of a directory as ONNX."""
    from mortcond.models.keras_network import load

    end_with_parent()
    directory, target = (Path(argument) for argument in sys.argv[1:3])
    try:
        target.write_bytes(to_onnx(load(directory)))
    except (InputError, ModuleNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
