"""ONNX files, of PyTorch, scikit-learn and others: the file with its weights, read by the onnx package.

Comes in: a path. Goes out: a `Network`. Only the protobuf is read; weights in a second file are read where that lies
beside the first. No operator is run and no code of the file exists.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.libraries import how_to_install
from mortcond.exchange.builder import Builder, Output, Value
from mortcond.exchange.onnx_graph import FUNCTIONS, Call, label
from mortcond.exchange.onnx_tensors import COLUMNS, HOURS, STAYS, Axis, Seen, Unfit, joined
from mortcond.layers import Normalisation
from mortcond.network import INPUT, Network

WINDOW_HOURS = 48
MOST_BYTES = 1 << 30
SOME_STAYS = 7919  # a prime: a size in which it is a factor counts stays
REMEDY = "Check that it is a whole .onnx file."
NO_FEATURES = "Export it with an input of fixed features: (stays, hours, features)."


@dataclass(frozen=True)
class Form:
    """How a graph takes stays."""

    name: str  # of its input
    axes: tuple[Axis, ...]
    stays: int  # that it takes at a time; SOME_STAYS: any number
    hours: int
    features: int

    @property
    def hours_first(self) -> bool:
        return self.axes[0] == (HOURS,)


def read(path: Path, window: int | None, output: Output) -> tuple[Network, str, Form]:
    """Return the network of an ONNX file, what wrote it, and how it takes stays."""
    model = _model(path)
    problem: InputError | None = None
    for form in _forms(model.graph, window):
        try:
            network = _Graph(model.graph, form, _initial(model.graph, path)).network(output)
            origin = " ".join(part for part in ("ONNX of", model.producer_name, model.producer_version) if part)
            return network, origin, form
        except InputError as error:
            problem = problem or error
    raise problem


def _model(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise InputError(
            f"{path} looks like ONNX, and the onnx package is not installed.", how_to_install("onnx")
        ) from None
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is larger than any small network.", REMEDY)
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise InputError(f"{path} is no file that is known: nor ONNX ({error}).", REMEDY) from None
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path} is no file that is known: nor ONNX.", REMEDY)
    return model


# Weights.


def _initial(graph: Any, path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: _array(tensor, path) for tensor in graph.initializer}


def _array(tensor: Any, path: Path) -> np.ndarray:
    from onnx import numpy_helper

    if tensor.data_location:  # 1: in a second file
        return _array_beside(tensor, path)
    return numpy_helper.to_array(tensor)


def _array_beside(tensor: Any, path: Path) -> np.ndarray:
    """Return weights of a second file, which must lie beside the first: a file may not make us read another."""
    from onnx import helper

    told = {entry.key: entry.value for entry in tensor.external_data}
    name = told.get("location", "")
    beside = path.parent / name
    if not name or Path(name).name != name or beside.is_symlink() or not beside.is_file():
        raise InputError(f"{path} wants its weights from {name!r}, which is no file beside it.", "Copy both files.")
    kind, count = helper.tensor_dtype_to_np_dtype(tensor.data_type), int(np.prod(tensor.dims))
    with beside.open("rb") as file:
        file.seek(int(told.get("offset", 0)))
        data = file.read(min(count * kind.itemsize, MOST_BYTES))
    return np.frombuffer(data, kind, count).reshape(tuple(tensor.dims))


# The input.


def _forms(graph: Any, window: int | None) -> list[Form]:
    """Return the ways in which the graph may take stays, the likelier first."""
    held = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in held]
    if len(inputs) != 1:
        raise InputError(f"The network has {len(inputs)} inputs.", "Join them to one (stays, hours, features).")
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in inputs[0].type.tensor_type.shape.dim]
    name = inputs[0].name
    if len(sizes) not in (2, 3) or not sizes[-1]:
        raise InputError(f"The network's input has the shape {sizes}.", NO_FEATURES)
    if len(sizes) == 2:
        hours = window or 1
        if sizes[1] % hours:
            raise InputError(f"The network's {sizes[1]} inputs are no {hours} hours.", "Give another --window.")
        return [Form(name, ((STAYS,), (HOURS, COLUMNS)), sizes[0] or SOME_STAYS, hours, sizes[1] // hours)]
    return [
        Form(name, axes, sizes[place] or SOME_STAYS, _hours(sizes[1 - place], window), sizes[2])
        for place, axes in enumerate((((STAYS,), (HOURS,), (COLUMNS,)), ((HOURS,), (STAYS,), (COLUMNS,))))
    ]


def _hours(declared: int | None, window: int | None) -> int:
    return declared or window or WINDOW_HOURS


# The graph.


class _Graph:
    """One walk through a graph's nodes."""

    def __init__(self, graph: Any, form: Form, initial: dict[str, np.ndarray]):
        self.graph, self.form = graph, form
        self.builder = Builder(form.hours, form.features)
        start = Value(INPUT, True, form.features)
        self.tensors: dict[str, Any] = {**initial, form.name: Seen((start,), form.axes), "": None}

    def network(self, output: Output) -> Network:
        for node in self.graph.node:
            self._call(node)
        return self.builder.finish("onnx", self._end(), output)

    def _call(self, node: Any) -> None:
        inputs = [self.tensors.get(name) for name in node.input]
        call = Call(self.builder, node, inputs, self.form.stays)
        if any(name and name not in self.tensors for name in node.input):
            return  # of what could not be carried; refused where the risk comes from it
        if node.op_type not in FUNCTIONS or node.domain not in ("", "ai.onnx.ml"):
            return
        try:
            made = FUNCTIONS[node.op_type](call)
        except Unfit as error:
            self._skip(node, str(error))
            return
        made = made if isinstance(made, tuple) else (made,)
        self.tensors |= {name: value for name, value in zip(node.output, made, strict=False) if value is not None}

    def _skip(self, node: Any, why: str) -> None:
        self.refused = getattr(self, "refused", {}) | dict.fromkeys(node.output, (node, why))

    def _end(self) -> Value:
        """Return the value that the graph puts out: the only one, or of a classifier the probabilities."""
        names = [entry.name for entry in self.graph.output]
        real = [name for name in names if isinstance(self.tensors.get(name), Seen)]
        if len(names) > 1 and "label" not in " ".join(names).lower():
            raise InputError(f"The network has the outputs {', '.join(names)}.", "Export the risk alone.")
        if not real:
            raise self._refusal(names[-1])
        return self._risk(joined(self.tensors[real[-1]], self.builder, "output"))

    def _risk(self, seen: Seen) -> Value:
        """Return a value of one column a stay, whatever axes of size 1 lie around it."""
        left = [axis for axis in seen.axes if axis]
        if left not in ([(STAYS,), (COLUMNS,)], [(STAYS,)], [(STAYS, COLUMNS)]) or len(seen.values) != 1:
            raise InputError("The network puts out something for every hour.", "Cut it after the last hour.")
        value = seen.value
        node = self.builder.nodes.get(value.node)
        first = self.builder.nodes.get(node.inputs[0]) if node and node.layer.kind == "concatenate" else None
        if first and len(node.inputs) == 2 and first.inputs == node.inputs[1:] and _is_rest(first.layer):
            return replace(value, node=node.inputs[1], width=1)  # 1 - p and p: scikit-learn's two classes
        return value

    def _refusal(self, name: str) -> InputError:
        """Return the error for the first operator from which a tensor should have come."""
        makers = {out: node for node in self.graph.node for out in node.output}
        while name in makers:
            node = makers[name]
            missing = [given for given in node.input if given and given not in self.tensors]
            if not missing:
                why = getattr(self, "refused", {}).get(name, (node, "is not supported"))[1]
                return InputError(f"The operator {label(node)} ({node.op_type}): {why}.", KNOWN)
            name = missing[0]
        return InputError(f"The network's output {name} comes from nothing.", REMEDY)


def _is_rest(layer: Any) -> bool:
    return isinstance(layer, Normalisation) and np.all(layer.factor == -1) and np.all(layer.shift == 1)


KNOWN = "Known are LSTM, GRU, Gemm, MatMul, Add, activations, BatchNormalization, and what moves axes around them."
