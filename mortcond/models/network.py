"""A network as plain weights: the neutral form in which rooms hand a model on. numpy only, no TensorFlow.

Comes in: arrays, from Keras, from a checkpoint or from pruning. Goes out: the same arrays under their names in the
paper, their count, and a plain evaluation of the paper's equations, the reference that every faster form must equal.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core import npz
from mortcond.core.errors import InputError

SUMMARISED_AT_ONCE = 1024  # stays
GATES = ("input", "forget", "cell", "output")  # Keras' order of the four blocks in a kernel


@dataclass(frozen=True)
class LSTMLayer:
    """One LSTM layer (paper, eq. 1 to 3), with the gates side by side in the order of GATES."""

    kernel: np.ndarray  # (inputs, 4 * units)
    recurrent_kernel: np.ndarray  # (units, 4 * units)
    bias: np.ndarray  # (4 * units,)

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]

    def step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the next hidden and cell state, each (stays, units), from x (stays, inputs)."""
        i, f, g, o = np.split(x @ self.kernel + h @ self.recurrent_kernel + self.bias, 4, axis=1)
        return _gated(i, f, g, o, c)


@dataclass(frozen=True)
class Gate:
    """One gate of a hidden-layer LSTM: `W * ReLU(H * [x_t, h_(t-1)]) + b`, H possibly several layers deep."""

    hidden: tuple[np.ndarray, ...]  # H: the first (inputs + units, hidden units), rows of x first; further (from, to)
    output: np.ndarray  # W: (hidden units of the last hidden layer, units)
    bias: np.ndarray  # b: (units,)

    def __call__(self, x_and_h: np.ndarray) -> np.ndarray:
        for weights in self.hidden:
            x_and_h = np.maximum(x_and_h @ weights, 0)
        return x_and_h @ self.output + self.bias


@dataclass(frozen=True)
class HiddenLSTMLayer:
    """One hidden-layer LSTM (paper, section II-F). The four gates may differ in their numbers of hidden units."""

    gates: tuple[Gate, Gate, Gate, Gate]  # in the order of GATES

    @property
    def units(self) -> int:
        return self.gates[0].output.shape[1]

    @property
    def inputs(self) -> int:
        return self.gates[0].hidden[0].shape[0] - self.units

    def step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the next hidden and cell state, each (stays, units), from x (stays, inputs)."""
        x_and_h = np.concatenate([x, h], axis=1)  # (stays, inputs + units)
        i, f, g, o = (gate(x_and_h) for gate in self.gates)
        return _gated(i, f, g, o, c)


@dataclass(frozen=True)
class DenseLayer:
    """One dense layer."""

    kernel: np.ndarray  # (inputs, units)
    bias: np.ndarray  # (units,)
    activation: str  # relu or sigmoid

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = x @ self.kernel + self.bias
        return np.maximum(x, 0) if self.activation == "relu" else _sigmoid(x)


@dataclass(frozen=True)
class Network:
    """A whole network from a scaled stay, (hours, features), to the risk of death.

    lstm and hlstm have `recurrent` layers and no `summary`; dnn and linear have a `summary` and no recurrent layers.
    The last dense layer has one unit and a sigmoid.
    """

    arch: str  # lstm, hlstm, dnn or linear
    features: int
    hours: int
    recurrent: tuple[LSTMLayer | HiddenLSTMLayer, ...]
    dense: tuple[DenseLayer, ...]
    summary: str | None = None  # mean: of each feature over its measured hours; full: see `summarise`
    mask_columns: tuple[int, ...] = ()  # for each feature, the column that says whether it was measured; -1: none
    dropout: float = 0.0  # share of units dropped in training, before the last dense layer (paper, II-E, II-G)

    @property
    def parameters(self) -> int:
        return sum(array.size for array in self.arrays().values())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every weight array under a stable name, such as `recurrent.0.kernel`."""
        named = {}
        for index, layer in enumerate(self.recurrent):
            for name, array in _layer_arrays(layer).items():
                named[f"recurrent.{index}.{name}"] = array
        for index, layer in enumerate(self.dense):
            named |= {f"dense.{index}.kernel": layer.kernel, f"dense.{index}.bias": layer.bias}
        return named

    def with_arrays(self, arrays: dict[str, np.ndarray]) -> "Network":
        """Return the same network with its weights replaced by those of `arrays` (keys as in `arrays()`)."""
        recurrent = tuple(_with_arrays(layer, f"recurrent.{i}.", arrays) for i, layer in enumerate(self.recurrent))
        dense = tuple(
            replace(layer, kernel=arrays[f"dense.{i}.kernel"], bias=arrays[f"dense.{i}.bias"])
            for i, layer in enumerate(self.dense)
        )
        return replace(self, recurrent=recurrent, dense=dense)

    def predict(self, x: np.ndarray, precision: type = np.float64) -> np.ndarray:
        """Return the risk of each stay, (stays,), evaluated plainly; x: (stays, hours, features), scaled.

        An hour whose features are all zero is skipped, as by Keras' Masking layer (paper, section II-E).
        """
        if self.recurrent:
            state = self.walk(x.astype(precision), lambda *_: None)
        else:
            state = summarise(x.astype(precision), self.summary, self.mask_columns)
        for layer in self.dense:
            state = layer(state)
        return state[:, 0]

    def walk(self, x: np.ndarray, record: Callable[[int, np.ndarray, np.ndarray, np.ndarray], None]) -> np.ndarray:
        """Step the recurrent layers through the hours, and return the last one's h at the end, (stays, units).

        Parameters
        ----------
        x
            (stays, hours, features), scaled, in the precision to compute in.
        record
            Told, for each hour and layer: the layer's index, its input (stays, inputs), its h before the hour
            (stays, units), and which stays the hour counts for (stays,), bool.
        """
        measured = np.any(x != 0, axis=2)  # (stays, hours)
        states = [(np.zeros((len(x), layer.units), x.dtype),) * 2 for layer in self.recurrent]
        for hour in range(x.shape[1]):
            inputs, now = x[:, hour], measured[:, hour]
            for index, layer in enumerate(self.recurrent):
                old = states[index]
                record(index, inputs, old[0], now)
                stepped = layer.step(inputs, *old)
                states[index] = tuple(np.where(now[:, None], new, kept) for new, kept in zip(stepped, old, strict=True))
                inputs = states[index][0]
        return states[-1][0]

    def save(self, path: Path) -> None:
        """Write the network to an npz file, without pickles."""
        header = {"arch": self.arch, "features": self.features, "hours": self.hours, "summary": self.summary}
        header |= {"dropout": self.dropout, "recurrent": [_kind(layer) for layer in self.recurrent]}
        header |= {"activations": [layer.activation for layer in self.dense]}
        with path.open("wb") as file:
            np.savez(file, header=json.dumps(header), mask_columns=np.array(self.mask_columns, int), **self.arrays())

    @classmethod
    def load(cls, path: Path) -> "Network":
        """Read a network that `save` wrote.

        Raises InputError where the file is something else.
        """
        stored = npz.read_all(path, "holds no weights of a network", "Train the model again.")
        try:
            header = json.loads(str(stored.pop("header")))
            return _assemble(header, tuple(int(column) for column in stored.pop("mask_columns")), stored)
        except npz.BROKEN as error:
            raise InputError(f"{path} holds no weights of a network ({error}).", "Train the model again.") from None


def summarise(x: np.ndarray, summary: str | None, mask_columns: tuple[int, ...]) -> np.ndarray:
    """Return what dnn and linear see of each stay.

    Parameters
    ----------
    x
        (stays, hours, features), scaled.
    summary
        mean: the mean of each feature over the hours in which its variable was measured, over all hours where it
        never was or where the feature has no mask of its own (paper, section III-B): (stays, features).
        full: mean, last, minimum, maximum, standard deviation and change (last - first) of each feature over all
        hours, side by side in this order: (stays, 6 * features).
    mask_columns
        For each feature, the index of its variable's mask column; -1 where it has none. Only `mean` uses it.
    """
    if summary == "full":
        parts = (x.mean(1), x[:, -1], x.min(1), x.max(1), x.std(1), x[:, -1] - x[:, 0])
        return np.concatenate(parts, axis=1)
    columns = np.array(mask_columns, int)
    mask = np.where(columns >= 0, x[:, :, columns], 1.0)  # (stays, hours, features)
    measured_hours = mask.sum(1)
    mean_of_measured = (x * mask).sum(1) / np.maximum(measured_hours, 1)
    return np.where(measured_hours > 0, mean_of_measured, x.mean(1))


def summarise_in_parts(x: np.ndarray, summary: str | None, mask_columns: tuple[int, ...]) -> np.ndarray:
    """Return `summarise` of all stays in float32, computed for some at a time: it needs several times their memory."""
    starts = range(0, max(len(x), 1), SUMMARISED_AT_ONCE)
    parts = [summarise(x[start : start + SUMMARISED_AT_ONCE], summary, mask_columns) for start in starts]
    return np.concatenate(parts).astype(np.float32)


def _gated(i, f, g, o, c):
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)  # eq. 2
    return _sigmoid(o) * np.tanh(c), c  # eq. 3


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # the same function, without overflow


def _kind(layer: LSTMLayer | HiddenLSTMLayer) -> dict[str, Any]:
    if isinstance(layer, LSTMLayer):
        return {"kind": "lstm"}
    return {"kind": "hlstm", "hidden_layers": len(layer.gates[0].hidden)}


def _layer_arrays(layer: LSTMLayer | HiddenLSTMLayer) -> dict[str, np.ndarray]:
    if isinstance(layer, LSTMLayer):
        return {"kernel": layer.kernel, "recurrent_kernel": layer.recurrent_kernel, "bias": layer.bias}
    named = {}
    for name, gate in zip(GATES, layer.gates, strict=True):
        named |= {f"{name}.hidden.{depth}": weights for depth, weights in enumerate(gate.hidden)}
        named |= {f"{name}.output": gate.output, f"{name}.bias": gate.bias}
    return named


def _with_arrays(layer: LSTMLayer | HiddenLSTMLayer, prefix: str, arrays: dict[str, np.ndarray]):
    if isinstance(layer, LSTMLayer):
        return LSTMLayer(*(arrays[prefix + name] for name in ("kernel", "recurrent_kernel", "bias")))
    return _hidden_layer(prefix, len(layer.gates[0].hidden), arrays)


def _hidden_layer(prefix: str, depth: int, arrays: dict[str, np.ndarray]) -> HiddenLSTMLayer:
    gates = (
        Gate(
            tuple(arrays[f"{prefix}{name}.hidden.{level}"] for level in range(depth)),
            arrays[f"{prefix}{name}.output"],
            arrays[f"{prefix}{name}.bias"],
        )
        for name in GATES
    )
    return HiddenLSTMLayer(tuple(gates))


def _assemble(header: dict[str, Any], mask_columns: tuple[int, ...], arrays: dict[str, np.ndarray]) -> Network:
    recurrent = tuple(
        _hidden_layer(f"recurrent.{i}.", kind["hidden_layers"], arrays)
        if kind["kind"] == "hlstm"
        else LSTMLayer(*(arrays[f"recurrent.{i}.{name}"] for name in ("kernel", "recurrent_kernel", "bias")))
        for i, kind in enumerate(header["recurrent"])
    )
    dense = tuple(
        DenseLayer(arrays[f"dense.{i}.kernel"], arrays[f"dense.{i}.bias"], activation)
        for i, activation in enumerate(header["activations"])
    )
    facts = {name: header[name] for name in ("arch", "features", "hours", "summary", "dropout")}
    return Network(recurrent=recurrent, dense=dense, mask_columns=mask_columns, **facts)
