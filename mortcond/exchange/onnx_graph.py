"""ONNX operators as our layers: one function each. Comes in: a call with its tensors. Goes out: what it puts out.

Sources: the operators' definitions (onnx.ai, opsets 7 to 24). What an operator would do otherwise than a layer here
raises `Unfit`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mortcond.exchange.builder import Builder
from mortcond.exchange.onnx_recurrent import gru, lstm
from mortcond.exchange.onnx_tensors import (
    COLUMNS,
    HOURS,
    PARTS,
    Seen,
    Unfit,
    ends_in_columns,
    joined,
    picked,
    reshaped,
    with_axis,
)
from mortcond.layers import Activation, Concatenate, Dense, Merge, Normalisation, Pooling

Tensor = Any  # a Seen, an array, or None for an input that is left out


def label(node: Any) -> str:
    """Return a name for an operator."""
    return node.name or (node.output[0] if node.output else node.op_type)


@dataclass(frozen=True)
class Call:
    """One operator and its tensors."""

    builder: Builder
    node: Any
    inputs: list[Tensor]
    stays: int

    @cached_property
    def attributes(self) -> dict[str, Any]:
        from onnx import helper

        return {entry.name: helper.get_attribute_value(entry) for entry in self.node.attribute}

    @property
    def name(self) -> str:
        return label(self.node)

    @property
    def seen(self) -> Seen:
        """Return the first input, a tensor of values."""
        if not isinstance(self.inputs[0], Seen):
            raise Unfit("no value of the network comes in")
        return self.inputs[0]

    @property
    def constant(self) -> bool:
        """Say whether all that comes in is constant."""
        return all(not isinstance(value, Seen) for value in self.inputs)

    def array(self, index: int, attribute: str = "", usual: Any = None) -> Any:
        """Return an input that must be constant, or what an older form has as an attribute."""
        if index < len(self.inputs) and self.inputs[index] is not None:
            if isinstance(self.inputs[index], Seen):
                raise Unfit("a value stands where a constant must")
            return self.inputs[index]
        return self.attributes.get(attribute, usual)


# Axes.


def _shape(call: Call) -> np.ndarray:
    if call.constant:
        return np.array(np.shape(call.inputs[0]), np.int64)
    return np.array(call.seen.shape(call.builder, call.stays), np.int64)


def _reshape(call: Call) -> Tensor:
    target = np.asarray(call.array(1, "shape")).tolist()
    if call.constant:
        return _reshaped_constant(call.inputs[0], target)
    return reshaped(call.seen, target, call.builder, call.stays)


def _reshaped_constant(array: np.ndarray, target: list[int]) -> np.ndarray:
    return array.reshape([array.shape[index] if size == 0 else size for index, size in enumerate(target)])


def _flatten(call: Call) -> Tensor:
    axis, shape = call.attributes.get("axis", 1), call.seen.shape(call.builder, call.stays)
    target = [math.prod(shape[:axis]), math.prod(shape[axis:])]
    return reshaped(call.seen, target, call.builder, call.stays)


def _transpose(call: Call) -> Tensor:
    if call.constant:
        return np.transpose(call.inputs[0], call.attributes.get("perm"))
    order = call.attributes.get("perm") or list(range(len(call.seen.axes)))[::-1]
    return replace(call.seen, axes=tuple(call.seen.axes[place] for place in order))


def _squeeze(call: Call) -> Tensor:
    axes = call.array(1, "axes")
    if call.constant:
        return np.squeeze(call.inputs[0], None if axes is None else tuple(int(axis) for axis in axes))
    places = {call.seen.place(int(axis)) for axis in axes} if axes is not None else None
    sizes = call.seen.shape(call.builder, call.stays)
    kept = [
        axis
        for place, axis in enumerate(call.seen.axes)
        if not (place in places if places is not None else sizes[place] == 1)
    ]
    gone = [call.seen.axes[place] for place in (places or ())]
    if any(axis not in ((), (COLUMNS,)) for axis in gone):
        raise Unfit("it takes away an axis that counts something")
    return replace(call.seen, axes=tuple(kept))


def _unsqueeze(call: Call) -> Tensor:
    axes = [int(axis) for axis in np.atleast_1d(call.array(1, "axes"))]
    if call.constant:
        return np.expand_dims(call.inputs[0], tuple(axes))
    found, rank = list(call.seen.axes), len(call.seen.axes) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        found.insert(axis, ())
    return replace(call.seen, axes=tuple(found))


def _gather(call: Call) -> Tensor:
    axis, indices = call.attributes.get("axis", 0), np.asarray(call.array(1))
    if call.constant:
        return np.take(call.inputs[0], indices, axis)
    chosen = int(indices) if indices.ndim == 0 else indices.astype(int).tolist()
    if indices.ndim > 1:
        raise Unfit("it gathers along several axes")
    return picked(call.seen, call.seen.place(axis), chosen, call.builder, call.stays, call.name)


def _slice(call: Call) -> Tensor:
    starts, ends = (np.atleast_1d(call.array(index, name)) for index, name in ((1, "starts"), (2, "ends")))
    axes = np.atleast_1d(call.array(3, "axes", np.arange(len(starts))))
    steps = np.atleast_1d(call.array(4, "steps", np.ones(len(starts), int)))
    found = call.inputs[0]
    for start, end, axis, step in zip(*(part.tolist() for part in (starts, ends, axes, steps)), strict=True):
        part = slice(start, None if step < 0 and end < -(1 << 30) else end, step)
        if isinstance(found, Seen):
            place = found.place(axis)
            size = found.shape(call.builder, call.stays)[place]
            found = picked(found, place, list(range(size)[part]), call.builder, call.stays, call.name)
        else:
            found = found[(slice(None),) * (axis % found.ndim) + (part,)]
    return found


def _concat(call: Call) -> Tensor:
    axis = call.attributes["axis"]
    if call.constant:
        return np.concatenate([np.atleast_1d(value) for value in call.inputs], axis)
    if not all(isinstance(value, Seen) for value in call.inputs):
        raise Unfit("it joins values with constants")
    place = call.seen.place(axis)
    if all(value.axes[place] in ((), (PARTS,)) for value in call.inputs):
        values = tuple(part for value in call.inputs for part in value.values)
        return with_axis(replace(call.seen, values=values), place, (PARTS,))
    tensors = [joined(value, call.builder, call.name) for value in call.inputs]
    if any(value.axes != tensors[0].axes or value.axes[place] != (COLUMNS,) for value in tensors):
        raise Unfit("it joins along the hours or stays")
    value = call.builder.join(call.name, Concatenate(), [tensor.value for tensor in tensors], None)
    return replace(tensors[0], values=(value,))


def _split(call: Call) -> Any:
    axis, seen = call.attributes.get("axis", 0), call.seen
    place, parts = seen.place(axis), call.array(1, "split")
    size = seen.shape(call.builder, call.stays)[place]
    if parts is None:
        count = len(call.node.output)
        parts = [len(part) for part in np.array_split(np.arange(size), count)]
    ends = np.cumsum(np.asarray(parts, int))
    return tuple(
        picked(seen, place, list(range(end - length, end)), call.builder, call.stays, call.name)
        for end, length in zip(ends.tolist(), np.asarray(parts, int).tolist(), strict=True)
    )


# Constants.


def _constant(call: Call) -> np.ndarray:
    from onnx import numpy_helper

    for name, value in call.attributes.items():
        if name == "value":
            return numpy_helper.to_array(value)
        if name.startswith("value_"):
            return np.array(value)
    raise Unfit("it holds nothing")


def _constant_of_shape(call: Call) -> np.ndarray:
    from onnx import numpy_helper

    value = call.attributes.get("value")
    filled = numpy_helper.to_array(value).reshape(()) if value is not None else np.float32(0)
    shape = tuple(np.asarray(call.array(0)).tolist())
    if math.prod(shape) > 1 << 26:
        raise Unfit("it makes something too large")
    return np.full(shape, filled)


def _expand(call: Call) -> Tensor:
    target = tuple(np.asarray(call.array(1)).tolist())
    if not call.constant:
        shape = call.seen.shape(call.builder, call.stays)
        if len(target) <= len(shape) and all(
            size in (1, own) for size, own in zip(target[::-1], shape[::-1], strict=False)
        ):
            return call.seen
        raise Unfit("it repeats a value")
    if math.prod(target) > 1 << 26:
        raise Unfit("it makes something too large")
    return call.inputs[0] * np.ones(target, np.asarray(call.inputs[0]).dtype)


def _cast(call: Call) -> Tensor:
    from onnx import helper

    kind = helper.tensor_dtype_to_np_dtype(call.attributes["to"])
    if call.constant:
        return np.asarray(call.inputs[0]).astype(kind)
    if kind not in (np.float32, np.float64):
        raise Unfit(f"it rounds to {kind}")
    return call.seen


def _same(call: Call) -> Tensor:
    return call.inputs[0]


def _dropout(call: Call) -> Tensor:
    if len(call.inputs) > 2 and call.inputs[2] is not None and bool(np.any(call.array(2))):
        raise Unfit("it drops at random in use too: training_mode is true")
    return call.inputs[0]


# Arithmetic.


def _matmul(call: Call) -> Tensor:
    if call.constant:
        return np.matmul(*call.inputs)
    kernel = np.asarray(call.array(1))
    if kernel.ndim != 2:
        raise Unfit("it multiplies by something other than a matrix")
    return _dense(call, kernel, np.zeros(kernel.shape[1]))


def _gemm(call: Call) -> Tensor:
    if call.attributes.get("transA", 0):
        raise Unfit("it turns its input (transA)")
    kernel = np.asarray(call.array(1), float)
    kernel = (kernel.T if call.attributes.get("transB", 0) else kernel) * call.attributes.get("alpha", 1.0)
    bias = np.asarray(call.array(2, usual=0.0), float) * call.attributes.get("beta", 1.0)
    return _dense(call, kernel, np.broadcast_to(bias.reshape(-1), (kernel.shape[1],)))


def _dense(call: Call, kernel: np.ndarray, bias: np.ndarray) -> Seen:
    seen = ends_in_columns(call.seen, call.builder, call.name)
    if seen.value.width != len(kernel) or seen.value.softmax:
        raise Unfit(f"a matrix of {len(kernel)} rows reads {seen.value.width} features")
    layer = Dense(np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32), "linear")
    return replace(seen, values=(call.builder.apply(call.name, layer, seen.value),))


def _scaled(call: Call, factor: Any, shift: Any, seen: Seen) -> Seen:
    """Return factor * value + shift, each one number or one a feature."""
    seen = ends_in_columns(seen, call.builder, call.name)
    width = (seen.value.width,)
    parts = []
    for part in (factor, shift):
        array = np.asarray(part, np.float32)
        if array.size > 1 and array.shape[-1] != array.size:
            raise Unfit("its constant is not the same for every hour and stay")
        parts.append(np.broadcast_to(array.reshape(-1), width).copy())
    return replace(seen, values=(call.builder.apply(call.name, Normalisation(*parts), seen.value),))


def _with_constant(how: Callable[[np.ndarray, bool], tuple[Any, Any]], both: str | None, numpy: Callable) -> Callable:
    """Return an operator on two tensors; how: (the constant, whether it stands first) -> factor and shift."""

    def operator(call: Call) -> Tensor:
        if call.constant:
            return numpy(*call.inputs)
        first, second = call.inputs
        if isinstance(first, Seen) and isinstance(second, Seen):
            return _of_two(call, first, second, both)
        seen, constant = (second, first) if isinstance(second, Seen) else (first, second)
        return _scaled(call, *how(np.asarray(constant, float), isinstance(second, Seen)), seen)

    return operator


def _of_two(call: Call, first: Seen, second: Seen, how: str | None) -> Seen:
    first, second = (ends_in_columns(seen, call.builder, call.name) for seen in (first, second))
    if how is None or first.axes != second.axes or first.value.width != second.value.width:
        raise Unfit("it joins two values in a way that no layer here does")
    value = call.builder.join(call.name, Merge(how), [first.value, second.value], None)
    return replace(first, values=(value,))


def _subtracted(constant: np.ndarray, first: bool) -> tuple[Any, Any]:
    return (-1.0, constant) if first else (1.0, -constant)


def _divided(constant: np.ndarray, first: bool) -> tuple[Any, Any]:
    if first:
        raise Unfit("it divides by a value")
    return 1.0 / constant, 0.0


def _batch_normalisation(call: Call) -> Seen:
    if call.attributes.get("training_mode", 0):
        raise Unfit("it normalises by each batch: training_mode is 1")
    scale, bias, mean, variance = (np.asarray(call.array(index), float) for index in range(1, 5))
    factor = scale / np.sqrt(variance + call.attributes.get("epsilon", 1e-5))
    seen = joined(call.seen, call.builder, call.name)
    if len(seen.axes) < 2 or seen.axes[1] != (COLUMNS,) or len(scale) != seen.value.width:
        raise Unfit("it normalises something other than the features")
    layer = Normalisation(factor.astype(np.float32), (bias - mean * factor).astype(np.float32))
    return replace(seen, values=(call.builder.apply(call.name, layer, seen.value),))


def _activation(name: str) -> Callable[[Call], Seen]:
    def operator(call: Call) -> Seen:
        known = activation_of(call.node.op_type, call.attributes, name)
        values = tuple(call.builder.apply(call.name, Activation(known), value) for value in call.seen.values)
        return replace(call.seen, values=values)

    return operator


def activation_of(operator: str, attributes: dict[str, Any], name: str) -> str:
    """Return our name of an activation with its constants.

    Raises Unfit where no activation here has them.
    """
    alpha, beta = attributes.get("alpha"), attributes.get("beta")
    if operator == "HardSigmoid":
        slope, middle = 0.2 if alpha is None else alpha, 0.5 if beta is None else beta
        for known, own in (("hard_sigmoid_keras2", 0.2), ("hard_sigmoid", 1 / 6)):
            if np.isclose(slope, own) and np.isclose(middle, 0.5):
                return known
        raise Unfit(f"a hard sigmoid of {slope} x + {middle}")
    usual = {"LeakyRelu": 0.01, "Elu": 1.0, "Selu": 1.67326319217681884765625}
    ours = {"LeakyRelu": 0.2, "Elu": 1.0, "Selu": 1.67326319217681884765625}
    if operator in usual and not np.isclose(usual[operator] if alpha is None else alpha, ours[operator]):
        raise Unfit(f"{operator} with alpha {usual[operator] if alpha is None else alpha}; known is {ours[operator]}")
    return name


def _clip(call: Call) -> Seen:
    low, high = (call.array(index, name) for index, name in ((1, "min"), (2, "max")))
    if low is None or float(low) != 0.0 or high is None or float(high) != 6.0:
        raise Unfit(f"it cuts off at {low} and {high}; known are 0 and 6")
    return _activation("relu6")(call)


def _softmax(call: Call) -> Seen:
    seen = ends_in_columns(call.seen, call.builder, call.name)
    if seen.place(call.attributes.get("axis", -1)) != len(seen.axes) - 1:
        raise Unfit("a softmax over something other than the features")
    return replace(seen, values=(replace(seen.value, softmax=True),))


def _reduced(how: str) -> Callable[[Call], Tensor]:
    def operator(call: Call) -> Tensor:
        axes = call.array(1, "axes")
        if call.constant or axes is None or len(axes) != 1:
            raise Unfit("it reduces several axes")
        place = call.seen.place(int(axes[0]))
        return _pooled(call, how, place, bool(call.attributes.get("keepdims", 1)))

    return operator


def _pooled(call: Call, how: str, place: int, kept: bool) -> Seen:
    seen = joined(call.seen, call.builder, call.name)
    if seen.axes[place] != (HOURS,):
        raise Unfit("it reduces something other than the hours")
    value = call.builder.flat(call.name, Pooling(how), seen.value)
    return with_axis(replace(seen, values=(value,)), place, () if kept else None)


def _pooled_last(how: str) -> Callable[[Call], Seen]:
    return lambda call: _pooled(call, how, len(call.seen.axes) - 1, True)


# scikit-learn's own.


def _linear_classifier(call: Call) -> tuple[None, Seen]:
    """Return the probability of the second of two classes, of a logistic regression."""
    kind = call.attributes.get("post_transform", b"NONE").decode()
    rows = np.asarray(call.attributes["coefficients"], float)
    shift = np.asarray(call.attributes.get("intercepts", [0.0, 0.0]), float)
    if kind not in ("LOGISTIC", "SOFTMAX") or len(shift) != 2 or len(rows) != 2 * call.seen.shape(call.builder, 1)[-1]:
        raise Unfit(f"a linear classifier with {kind} and {len(shift)} classes")
    first, second = rows.reshape(2, -1)
    if kind == "LOGISTIC" and not (np.allclose(first, -second) and np.isclose(shift[0], -shift[1])):
        raise Unfit("a linear classifier whose two classes do not complement each other")
    kernel, bias = (second, shift[1]) if kind == "LOGISTIC" else (second - first, shift[1] - shift[0])
    seen = _dense(call, kernel[:, None], np.array([bias]))
    return None, replace(seen, values=(call.builder.apply(f"{call.name}_risk", Activation("sigmoid"), seen.value),))


def _scaler(call: Call) -> Seen:
    scale, offset = (np.asarray(call.attributes[name], float) for name in ("scale", "offset"))
    return _scaled(call, scale, -offset * scale, call.seen)


def _normalizer(call: Call) -> Seen:
    """Return probabilities that add up to 1 already as they are."""
    if call.attributes.get("norm", b"MAX") != b"L1" or call.seen.value.width != 1:
        raise Unfit("it scales each stay by its own sum")
    return call.seen


FUNCTIONS: dict[str, Callable[[Call], Any]] = {
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Split": _split,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Cast": _cast,
    "Identity": _same,
    "ZipMap": _same,
    "Dropout": _dropout,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _with_constant(lambda constant, first: (1.0, constant), "sum", np.add),
    "Sub": _with_constant(_subtracted, None, np.subtract),
    "Mul": _with_constant(lambda constant, first: (constant, 0.0), "product", np.multiply),
    "Div": _with_constant(_divided, None, np.divide),
    "BatchNormalization": _batch_normalisation,
    "Clip": _clip,
    "Softmax": _softmax,
    "ReduceMean": _reduced("mean"),
    "ReduceMax": _reduced("max"),
    "GlobalAveragePool": _pooled_last("mean"),
    "GlobalMaxPool": _pooled_last("max"),
    "LSTM": lstm,
    "GRU": gru,
    "LinearClassifier": _linear_classifier,
    "Scaler": _scaler,
    "Normalizer": _normalizer,
}
ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "HardSigmoid": "hard_sigmoid", "Elu": "elu"}
ACTIVATIONS |= {"Selu": "selu", "LeakyRelu": "leaky_relu", "Softplus": "softplus", "Softsign": "softsign"}
ACTIVATIONS |= {"Exp": "exponential"}
FUNCTIONS |= {operator: _activation(name) for operator, name in ACTIVATIONS.items()}
