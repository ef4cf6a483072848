"""The GRU (Cho et al. 2014, arXiv:1406.1078). Comes in: (stays, hours, inputs). Goes out: its last h, or all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.activations import activation, keras_activation
from mortcond.layers.base import Channels, Layer, Recurrent, Slot, seen
from mortcond.layers.initial import glorot_uniform, orthogonal
from mortcond.layers.keras_fields import KERAS_3, Fields
from mortcond.layers.lstm import SIGMOID_SINCE
from mortcond.layers.normalisation import into_kernel

GATES = ("update", "reset", "candidate")  # Keras' order of the three blocks in a kernel


@dataclass(frozen=True)
class GRU(Recurrent):
    """One GRU layer, with the gates side by side in the order of GATES.

    With a `recurrent_bias` the reset gate takes what the state gives to the candidate (Keras' `reset_after`); without
    one it takes the state itself, as in the paper (eq. 8).
    """

    kernel: np.ndarray  # (inputs, 3 * units)
    recurrent_kernel: np.ndarray  # (units, 3 * units)
    bias: np.ndarray  # (3 * units,)
    recurrent_bias: np.ndarray | None = None  # (3 * units,)
    activation: str = "tanh"  # of the candidate
    gate_activation: str = "sigmoid"

    kind = "gru"
    from_x = ("kernel", "bias")
    keras_names = ("GRU",)
    state_names = ("h",)

    @property
    def units(self) -> int:
        return self.recurrent_kernel.shape[0]

    @property
    def inputs(self) -> int:
        return self.kernel.shape[0]

    @property
    def reset_after(self) -> bool:
        return self.recurrent_bias is not None

    def config(self) -> dict[str, Any]:
        plain = super().config()
        plain.pop("recurrent_bias", None)  # None, where it is no array
        return plain

    def drawn(self, generator: np.random.Generator) -> Self:
        zeros = {name: np.zeros_like(array, np.float32) for name, array in self.arrays().items() if "bias" in name}
        kernel = glorot_uniform(generator, self.kernel.shape)
        return replace(
            self, kernel=kernel, recurrent_kernel=orthogonal(generator, self.recurrent_kernel.shape), **zeros
        )

    def project(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return ops.linear(x, weights["kernel"], weights["bias"])  # (stays, hours, 3 * units)

    def step(self, ops: Any, weights: dict[str, Any], z: Any, h: Any, kept: Any = None) -> tuple[Any]:
        before, h = h, seen(h, kept)
        x_update, x_reset, x_candidate = ops.split(z, [self.units] * 3)
        kernel = weights["recurrent_kernel"]
        if self.reset_after:
            from_h = ops.linear(h, kernel, weights["recurrent_bias"])
            h_update, h_reset, h_candidate = ops.split(from_h, [self.units] * 3)
            reset = activation(ops, self.gate_activation, x_reset + h_reset)
            h_candidate = reset * h_candidate
        else:
            gates, last = kernel[:, : 2 * self.units], kernel[:, 2 * self.units :]
            h_update, h_reset = ops.split(ops.linear(h, gates), [self.units] * 2)
            reset = activation(ops, self.gate_activation, x_reset + h_reset)
            h_candidate = ops.linear(reset * h, last)
        update = activation(ops, self.gate_activation, x_update + h_update)
        candidate = activation(ops, self.activation, x_candidate + h_candidate)
        return (candidate + update * (before - candidate),)

    def channels(self) -> tuple[Channels, ...]:
        arrays = [("kernel", 1), ("recurrent_kernel", 1), ("bias", 0)]
        arrays += [("recurrent_bias", 0)] if self.reset_after else []
        makers = tuple(Slot.of_blocks(name, axis, self.units, 3) for name, axis in arrays)
        return (Channels("", "units", self.units, makers, (Slot.of_blocks("recurrent_kernel", 0, self.units),)),)

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        return (Slot("kernel", 0, positions),) if index == 0 else ()

    def matrices(self) -> dict[str, tuple[str, str | None]]:
        return {"kernel": ("x", "bias")} | ({"recurrent_kernel": ("h", "recurrent_bias")} if self.reset_after else {})

    def after(self, leading: Layer) -> Self | None:
        return into_kernel(leading, self)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        units = int(fields.take("units"))
        reset_after = bool(fields.take("reset_after", fields.version >= KERAS_3))
        shape = (2, 3 * units) if reset_after else (3 * units,)
        weights = weights if fields.take("use_bias", True) else [*weights, np.zeros(shape)]
        gate = "hard_sigmoid" if fields.version < SIGMOID_SINCE else "sigmoid"
        how = {"activation": fields.activation("activation", "tanh")}
        how |= {"gate_activation": fields.activation("recurrent_activation", gate)}
        kernel, recurrent, bias = fields.arrays(weights, (fields.width, 3 * units), (units, 3 * units), shape)
        biases = tuple(bias) if reset_after else (bias,)
        return cls(kernel, recurrent, *biases, **how, **cls.keras_order(fields))

    def to_keras(self, keras: Any, name: str) -> Any:
        how = {"activation": keras_activation(self.activation), "reset_after": self.reset_after, "name": name}
        how |= {"recurrent_activation": keras_activation(self.gate_activation)}
        return keras.layers.GRU(self.units, return_sequences=self.sequences, go_backwards=self.backwards, **how)

    def keras_weights(self) -> list[np.ndarray]:
        bias = np.stack([self.bias, self.recurrent_bias]) if self.reset_after else self.bias
        return [self.kernel, self.recurrent_kernel, bias]

    def with_keras_weights(self, weights: Sequence[np.ndarray]) -> Self:
        kernel, recurrent_kernel, bias = weights
        biases = {"bias": bias[0], "recurrent_bias": bias[1]} if self.reset_after else {"bias": bias}
        return replace(self, kernel=kernel, recurrent_kernel=recurrent_kernel, **biases)
