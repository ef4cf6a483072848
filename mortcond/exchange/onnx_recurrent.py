"""ONNX's LSTM and GRU as ours: the order of their gates, their biases, directions and outputs.

Comes in: a call of the operator. Goes out: what it puts out, a value for each direction.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from mortcond.exchange.builder import Value
from mortcond.exchange.onnx_tensors import COLUMNS, HOURS, PARTS, STAYS, Seen, Unfit, joined
from mortcond.layers import GRU, LSTM, Layer

WAYS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}  # which of them run backwards
LSTM_GATES = (0, 2, 3, 1)  # ONNX has input, output, forget, cell
NAMES = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softsign": "softsign", "softplus": "softplus"}


def lstm(call: Any) -> tuple[Seen, Seen, None]:
    """Return Y and Y_h of an LSTM; Y_c has no form here."""
    if len(call.inputs) > 7 and call.inputs[7] is not None and np.any(call.array(7)):
        raise Unfit("it has peepholes")
    if call.attributes.get("input_forget", 0):
        raise Unfit("its input and forget gates are one")
    return (*_recurrent(call, 4, _lstm), None)


def gru(call: Any) -> tuple[Seen, Seen]:
    """Return Y and Y_h of a GRU."""
    return _recurrent(call, 3, _gru)


def _lstm(call: Any, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, names: list[str]) -> Layer:
    if names[1] != names[2]:
        raise Unfit(f"it has {names[1]} and {names[2]} where one activation stands here")
    kernel, recurrent, own, other = (_ordered(part, LSTM_GATES) for part in (kernel, recurrent, *bias))
    return LSTM(kernel, recurrent, own + other, names[1], names[0], sequences=True)


def _gru(call: Any, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, names: list[str]) -> Layer:
    biases = tuple(bias) if call.attributes.get("linear_before_reset", 0) else (bias[0] + bias[1],)
    return GRU(kernel, recurrent, *biases, activation=names[1], gate_activation=names[0], sequences=True)


def _ordered(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[gate] for gate in order], axis=-1)


def _recurrent(call: Any, gates: int, make: Any) -> tuple[Seen, Seen]:
    value, axes = _sequence(call)
    ways = WAYS[call.attributes.get("direction", b"forward").decode()]
    _refuse_states(call)
    units, kernels, recurrents = int(call.attributes["hidden_size"]), call.array(1), call.array(2)
    biases = np.asarray(call.array(3, usual=np.zeros((len(ways), 2 * gates * units))))
    names = _activations(call, len(ways), gates - 1)
    shapes = (len(ways), gates * units, value.width), (len(ways), gates * units, units), (len(ways), 2 * gates * units)
    if (np.shape(kernels), np.shape(recurrents), biases.shape) != shapes:
        raise Unfit(f"its weights are of shape {np.shape(kernels)}, not {shapes[0]}")
    after = []
    for way, backwards in enumerate(ways):
        parts = kernels[way].T, recurrents[way].T, biases[way].reshape(2, -1)
        layer = make(call, *(np.ascontiguousarray(part, np.float32) for part in parts), names[way])
        after.append(_node(call, replace(layer, backwards=backwards != value.reversed), value))
    return _outputs(call, after, axes)


def _sequence(call: Any) -> tuple[Value, tuple]:
    """Return the sequence that comes in, and in which order its axes are."""
    seen = joined(call.seen, call.builder, call.name)
    batch_first = bool(call.attributes.get("layout", 0))
    axes = ((STAYS,), (HOURS,)) if batch_first else ((HOURS,), (STAYS,))
    if seen.axes != (*axes, (COLUMNS,)) or not seen.value.hours:
        raise Unfit("what comes in is no sequence of (hours, stays, features)")
    return seen.value, axes


def _refuse_states(call: Any) -> None:
    lengths = call.array(4)
    if lengths is not None and np.any(np.asarray(lengths) != call.builder.hours):
        raise Unfit("it stops before the last hour (sequence_lens)")
    if any(np.any(call.array(index)) for index in (5, 6) if call.array(index) is not None):
        raise Unfit("it begins with states other than zero")
    if call.attributes.get("clip"):
        raise Unfit("it cuts off its sums (clip)")


def _activations(call: Any, ways: int, each: int) -> list[list[str]]:
    """Return our names of the activations for every direction: gates, then the others."""
    from mortcond.exchange.onnx_graph import activation_of

    usual = [b"Sigmoid", b"Tanh", b"Tanh"][:each]
    given = [name.decode() for name in call.attributes.get("activations", usual * ways)]
    alphas, betas = (list(call.attributes.get(f"activation_{name}", [])) for name in ("alpha", "beta"))
    found = []
    for name in given:
        constants: dict[str, Any] = {}
        if name.lower() in ("hardsigmoid", "leakyrelu", "elu", "thresholdedrelu", "affine", "scaledtanh"):
            constants = {"alpha": alphas.pop(0) if alphas else None}
            if name.lower() in ("hardsigmoid", "affine", "scaledtanh"):
                constants["beta"] = betas.pop(0) if betas else None
        if name.lower() == "hardsigmoid":
            found.append(activation_of("HardSigmoid", constants, ""))
        elif name.lower() in NAMES:
            found.append(NAMES[name.lower()])
        else:
            raise Unfit(f"it has the activation {name}")
    return [found[way * each : (way + 1) * each] for way in range(ways)]


def _node(call: Any, layer: Layer, value: Value) -> Value:
    name = call.builder.add(call.name, layer, value.node)
    return Value(name, True, layer.units, reversed=value.reversed)


def _outputs(call: Any, after: list[Value], axes: tuple) -> tuple[Seen, Seen]:
    """Return the states of every hour, (hours, directions, stays, units), and the last, (directions, stays, units)."""
    builder, count = call.builder, len(after)
    last = []
    for value in after:
        backwards = builder.nodes[value.node].layer.backwards
        last.append(builder.hour(f"{call.name}_last", value, 0 if backwards != value.reversed else -1))
    parts = (PARTS,) if count > 1 else ()
    if axes[0] == (HOURS,):
        every, end = ((HOURS,), parts, (STAYS,), (COLUMNS,)), (parts, (STAYS,), (COLUMNS,))
    else:
        every, end = ((STAYS,), (HOURS,), parts, (COLUMNS,)), ((STAYS,), parts, (COLUMNS,))
    return Seen(tuple(after), every), Seen(tuple(last), end)
