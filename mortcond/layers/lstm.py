"""The LSTM (paper, eq. 1 to 3). Comes in: (stays, hours, inputs). Goes out: its last h, (stays, units), or all."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.activations import activation, keras_activation
from mortcond.layers.base import Channels, Gate, Layer, Recurrent, Slot, seen
from mortcond.layers.initial import glorot_uniform, orthogonal
from mortcond.layers.keras_fields import Fields
from mortcond.layers.normalisation import into_kernel

SLOPES = {"hard_sigmoid": 1 / 6, "hard_sigmoid_keras2": 0.2}  # clip(slope z + 0.5, 0, 1)
SIGMOID_SINCE = (2, 3)  # of Keras: before, gates were hard sigmoids unless they were told otherwise
GATES = ("input", "forget", "cell", "output")  # Keras' order of the four blocks in a kernel


@dataclass(frozen=True)
class LSTM(Recurrent):
    """One LSTM layer, with the gates side by side in the order of GATES."""

    kernel: np.ndarray  # (inputs, 4 * units)
    recurrent_kernel: np.ndarray  # (units, 4 * units)
    bias: np.ndarray  # (4 * units,)
    activation: str = "tanh"  # of the cell gate and of the cell state
    gate_activation: str = "sigmoid"  # of the other three gates

    kind = "lstm"
    from_x = ("kernel",)
    keras_names = ("LSTM",)
    state_names = ("h", "c")

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]

    @property
    def inputs(self) -> int:
        return self.kernel.shape[0]

    def drawn(self, generator: np.random.Generator) -> Self:
        return replace(
            self,
            kernel=glorot_uniform(generator, self.kernel.shape),
            recurrent_kernel=orthogonal(generator, self.recurrent_kernel.shape),
            bias=np.repeat(np.float32([0, 1, 0, 0]), self.units),  # forget gates begin open (Jozefowicz et al. 2015)
        )

    def project(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.linear(x, weights["kernel"])  # (stays, hours, 4 * units)

    def step(self, ops: Any, weights: dict[str, Any], z: Any, h: Any, c: Any, kept: Any = None) -> tuple[Any, Any]:
        z = z + ops.linear(seen(h, kept), weights["recurrent_kernel"]) + weights["bias"]
        return gated(ops, *ops.split(z, [self.units] * 4), c, self.activation, self.gate_activation)

    def gates(self, weights: dict[str, Any]) -> list[Gate] | None:
        if (self.activation, self.gate_activation) != ("tanh", "sigmoid"):
            return None
        blocks = (_in_four(weights[name], self.units) for name in ("kernel", "recurrent_kernel", "bias"))
        return [Gate(kernel, recurrent, (), bias) for kernel, recurrent, bias in zip(*blocks, strict=True)]

    def clipped_gates(self, weights: dict[str, Any]) -> tuple[list[Gate], float] | None:
        if self.activation != "tanh" or self.gate_activation not in SLOPES:
            return None
        slope = SLOPES[self.gate_activation]
        plain = replace(self, gate_activation="sigmoid").gates(weights)
        factors = ((slope, 0.5), (slope, 0.5), (1.0, 0.0), (slope, 0.5))
        found = []
        for gate, (factor, shift) in zip(plain, factors, strict=True):
            kernels = gate.kernel * factor, gate.recurrent_kernel * factor
            found.append(Gate(*kernels, (), gate.bias * factor + shift))
        return found, slope

    def channels(self) -> tuple[Channels, ...]:
        makers = tuple(
            Slot.of_blocks(name, axis, self.units, 4)
            for name, axis in (("kernel", 1), ("recurrent_kernel", 1), ("bias", 0))
        )
        return (Channels("", "units", self.units, makers, (Slot.of_blocks("recurrent_kernel", 0, self.units),)),)

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        return (Slot("kernel", 0, positions),) if index == 0 else ()

    def matrices(self) -> dict[str, tuple[str, str | None]]:
        return {"kernel": ("x", "bias"), "recurrent_kernel": ("h", "bias")}

    def after(self, leading: Layer) -> Self | None:
        return into_kernel(leading, self)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        units, bias = int(fields.take("units")), [np.zeros(4 * int(fields.take("units")))]
        weights = weights if fields.take("use_bias", True) else weights + bias
        gate = "hard_sigmoid" if fields.version < SIGMOID_SINCE else "sigmoid"
        how = {"activation": fields.activation("activation", "tanh")}
        how |= {"gate_activation": fields.activation("recurrent_activation", gate)}
        arrays = fields.arrays(weights, (fields.width, 4 * units), (units, 4 * units), (4 * units,))
        return cls(*arrays, **how, **cls.keras_order(fields))

    def to_keras(self, keras: Any, name: str) -> Any:
        how = {"activation": keras_activation(self.activation), "name": name}
        how |= {"recurrent_activation": keras_activation(self.gate_activation)}
        return keras.layers.LSTM(self.units, return_sequences=self.sequences, go_backwards=self.backwards, **how)


def gated(ops: Any, i: Any, f: Any, g: Any, o: Any, c: Any, squash: str = "tanh", gate: str = "sigmoid"):
    """Return h and c of an hour from the sums of the four gates and the cell state before, all (stays, units)."""
    c = activation(ops, gate, f) * c + activation(ops, gate, i) * activation(ops, squash, g)  # eq. 2
    return activation(ops, gate, o) * activation(ops, squash, c), c  # eq. 3


def _in_four(array: Any, units: int) -> list[Any]:
    return [array[..., gate * units : (gate + 1) * units] for gate in range(4)]
