"""The hidden-layer LSTM (paper, section II-F): each gate is `W ReLU(H [x_t, h_(t-1)]) + b`.

Comes in: (stays, hours, inputs). Goes out: its last h, (stays, units), or all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Channels, Gate, Recurrent, Slot, seen
from mortcond.layers.initial import glorot_uniform, orthogonal
from mortcond.layers.keras_fields import Fields
from mortcond.layers.lstm import GATES, gated


@dataclass(frozen=True)
class HiddenGate:
    """One gate's weights."""

    hidden: tuple[np.ndarray, ...]  # H: the first (inputs + units, hidden units), rows of x first; further (from, to)
    output: np.ndarray  # W: (hidden units of the last hidden layer, units)
    bias: np.ndarray  # b: (units,)


@dataclass(frozen=True)
class HiddenLSTM(Recurrent):
    """One hidden-layer LSTM. The four gates may differ in their numbers of hidden units."""

    hidden_gates: tuple[HiddenGate, ...]  # four, in the order of GATES

    kind = "hlstm"
    keras_names = ("HiddenLSTM",)
    state_names = ("h", "c")

    @property
    def units(self) -> int:
        return self.hidden_gates[0].output.shape[1]

    @property
    def inputs(self) -> int:
        return self.hidden_gates[0].hidden[0].shape[0] - self.units

    @property
    def depth(self) -> int:
        """Return how many hidden layers each gate has."""
        return len(self.hidden_gates[0].hidden)

    def arrays(self) -> dict[str, np.ndarray]:
        named = {}
        for name, gate in zip(GATES, self.hidden_gates, strict=True):
            named |= {f"{name}.hidden.{depth}": matrix for depth, matrix in enumerate(gate.hidden)}
            named |= {f"{name}.output": gate.output, f"{name}.bias": gate.bias}
        return named

    def config(self) -> dict[str, Any]:
        return {"sequences": self.sequences, "backwards": self.backwards, "depth": self.depth}

    @classmethod
    def from_config(cls, config: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        plain = dict(config)
        return cls(hidden_gates=_gates_of(arrays, plain.pop("depth")), **plain)

    def with_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        return replace(self, hidden_gates=_gates_of(self.arrays() | arrays, self.depth))

    def drawn(self, generator: np.random.Generator) -> Self:
        from_x, from_h, *others, bias = (array.shape for array in self.keras_weights())
        drawn = [glorot_uniform(generator, shape) for shape in others]
        first = glorot_uniform(generator, from_x), orthogonal(generator, from_h)
        return self.with_keras_weights([*first, *drawn, np.zeros(bias, np.float32)])

    def project(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        firsts = [weights[f"{name}.hidden.0"][: self.inputs] for name in GATES]
        return ops.concatenate([ops.linear(x, first) for first in firsts])  # (stays, hours, hidden units of all gates)

    def step(self, ops: Any, weights: dict[str, Any], z: Any, h: Any, c: Any, kept: Any = None) -> tuple[Any, Any]:
        widths = [gate.hidden[0].shape[1] for gate in self.hidden_gates]
        parts = zip(GATES, ops.split(z, widths), strict=True)
        sums = [self._gate(ops, weights, name, own, seen(h, kept)) for name, own in parts]
        return gated(ops, *sums, c)

    def _gate(self, ops: Any, weights: dict[str, Any], name: str, z: Any, h: Any) -> Any:
        value = ops.relu(z + ops.linear(h, weights[f"{name}.hidden.0"][self.inputs :]))
        for depth in range(1, self.depth):
            value = ops.rectify(ops.linear(value, weights[f"{name}.hidden.{depth}"]))
        return ops.linear(value, weights[f"{name}.output"], weights[f"{name}.bias"])

    def gates(self, weights: dict[str, Any]) -> list[Gate]:
        found = []
        for name in GATES:
            first, *deeper = (weights[f"{name}.hidden.{depth}"] for depth in range(self.depth))
            chain = (*deeper, weights[f"{name}.output"])
            found.append(Gate(first[: self.inputs], first[self.inputs :], chain, weights[f"{name}.bias"]))
        return found

    def neurons(self, x_and_h: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        for name, gate in zip(GATES, self.hidden_gates, strict=True):
            value = x_and_h
            for depth, matrix in enumerate(gate.hidden):
                found[f"{name}.hidden.{depth}"] = value = np.maximum(value @ matrix, 0)
        return found

    def matrices(self) -> dict[str, tuple[str, str | None]]:
        found: dict[str, tuple[str, str | None]] = {f"{name}.hidden.0": ("x and h", None) for name in GATES}
        for name in GATES:
            hidden = [f"{name}.hidden.{depth}" for depth in range(self.depth)]
            found |= {deeper: (below, None) for below, deeper in pairwise(hidden)}
            found[f"{name}.output"] = (hidden[-1], f"{name}.bias")
        return found

    def channels(self) -> tuple[Channels, ...]:
        makers = [Slot.of_blocks(f"{name}.{part}", axis, self.units) for part, axis in _MADE_BY for name in GATES]
        rows = self.inputs + np.arange(self.units)[:, None]
        readers = tuple(Slot(f"{name}.hidden.0", 0, rows) for name in GATES)
        return (Channels("", "units", self.units, tuple(makers), readers), *self._neurons())

    def _neurons(self):
        """Yield the hidden neurons of every gate, layer by layer."""
        for name, gate in zip(GATES, self.hidden_gates, strict=True):
            for depth, matrix in enumerate(gate.hidden):
                array, size = f"{name}.hidden.{depth}", matrix.shape[1]
                reader = f"{name}.output" if depth + 1 == self.depth else f"{name}.hidden.{depth + 1}"
                slots = Slot.of_blocks(array, 1, size), Slot.of_blocks(reader, 0, size)
                yield Channels(array, "hidden", size, slots[:1], slots[1:], rectified=True)

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        return tuple(Slot(f"{name}.hidden.0", 0, positions) for name in GATES) if index == 0 else ()

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        units, widths = (
            int(fields.take("units")),
            [[int(size) for size in gate] for gate in fields.take("hidden_widths")],
        )
        if len(widths) != len(GATES) or not widths[0] or len({len(gate) for gate in widths}) > 1:
            fields.refuse(f"has gates of the widths {widths}", "Four gates, alike in depth, are expected.")
        first, last = sum(gate[0] for gate in widths), sum(gate[-1] for gate in widths)
        deeper = [shape for gate in widths for shape in pairwise(gate)]
        shapes = ((fields.width, first), (units, first), *deeper, (last, units), (4 * units,))
        empty = tuple(_empty_gate(fields.width, units, gate) for gate in widths)
        return cls(empty, **cls.keras_order(fields)).with_keras_weights(fields.arrays(weights, *shapes))

    def to_keras(self, keras: Any, name: str) -> Any:
        from mortcond.layers.keras_layers import HiddenLSTM as KerasHiddenLSTM

        widths = [[matrix.shape[1] for matrix in gate.hidden] for gate in self.hidden_gates]
        kept = {"return_sequences": self.sequences, "go_backwards": self.backwards, "name": name}
        return KerasHiddenLSTM(self.units, widths, **kept)

    def keras_weights(self) -> list[np.ndarray]:
        gates = self.hidden_gates
        first = np.concatenate([gate.hidden[0] for gate in gates], axis=1)
        deeper = [matrix for gate in gates for matrix in gate.hidden[1:]]
        output, bias = np.concatenate([gate.output for gate in gates]), np.concatenate([gate.bias for gate in gates])
        return [first[: self.inputs], first[self.inputs :], *deeper, output, bias]

    def with_keras_weights(self, weights: Sequence[np.ndarray]) -> Self:
        from_x, from_h, *deeper, output, bias = weights
        firsts = self._cut(np.concatenate([from_x, from_h]), 0, axis=1)
        outputs, biases = self._cut(output, -1, axis=0), np.split(bias, 4)
        deep = [deeper[gate * (self.depth - 1) : (gate + 1) * (self.depth - 1)] for gate in range(4)]
        gates = zip(firsts, deep, outputs, biases, strict=True)
        return replace(self, hidden_gates=tuple(HiddenGate((h, *d), o, b) for h, d, o, b in gates))

    def _cut(self, array: np.ndarray, depth: int, axis: int) -> list[np.ndarray]:
        """Cut what lies side by side for the four gates by the widths of one of their hidden layers."""
        widths = [gate.hidden[depth].shape[1] for gate in self.hidden_gates]
        return np.split(array, np.cumsum(widths)[:3], axis=axis)


_MADE_BY = (("output", 1), ("bias", 0))  # what makes a unit, and the axis of the units in it


def _empty_gate(inputs: int, units: int, widths: list[int]) -> HiddenGate:
    hidden = tuple(np.zeros(shape, np.float32) for shape in pairwise([inputs + units, *widths]))
    return HiddenGate(hidden, np.zeros((widths[-1], units), np.float32), np.zeros(units, np.float32))


def _gates_of(arrays: dict[str, np.ndarray], depth: int) -> tuple[HiddenGate, ...]:
    return tuple(
        HiddenGate(
            tuple(arrays[f"{name}.hidden.{level}"] for level in range(depth)),
            arrays[f"{name}.output"],
            arrays[f"{name}.bias"],
        )
        for name in GATES
    )
