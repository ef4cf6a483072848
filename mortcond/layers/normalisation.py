"""Batch normalisation as it is after training: a factor and a shift a column. Comes in, goes out: (..., width)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mortcond.layers.base import Layer, Slot
from mortcond.layers.keras_fields import Fields


@dataclass(frozen=True)
class Normalisation(Layer):
    """x * factor + shift: gamma / sqrt(variance + epsilon), beta - mean gamma / sqrt(...) (Ioffe and Szegedy 2015)."""

    factor: np.ndarray  # (width,)
    shift: np.ndarray  # (width,)

    kind = "normalisation"
    keras_names = ("BatchNormalization", "Normalization", "Rescaling")

    def drawn(self, generator: np.random.Generator) -> Self:
        return replace(self, factor=np.ones_like(self.factor, np.float32), shift=np.zeros_like(self.shift, np.float32))

    def forward(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        return x * weights["factor"] + weights["shift"]

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        return Slot("factor", 0, positions), Slot("shift", 0, positions)

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        return KERAS_FORMS[fields.kind](fields, weights)

    def to_keras(self, keras: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(epsilon=0.0, name=name)

    def keras_weights(self) -> list[np.ndarray]:
        zeros, ones = np.zeros_like(self.shift), np.ones_like(self.shift)
        return [self.factor, self.shift, zeros, ones]  # gamma, beta, mean, variance

    def with_keras_weights(self, weights: Sequence[np.ndarray]) -> Self:
        gamma, beta, mean, variance = weights
        factor = gamma / np.sqrt(variance)
        return type(self)(factor, beta - mean * factor)


def into_kernel(leading: Layer, layer: Any) -> Any:
    """Return `layer`, which has a kernel and a bias, with a normalisation before it taken up; None: it is none."""
    if not isinstance(leading, Normalisation):
        return None
    kernel = leading.factor[:, None] * layer.kernel
    return replace(layer, kernel=kernel, bias=layer.bias + leading.shift @ layer.kernel)


def _batch_normalisation(fields: Fields, weights: list[np.ndarray]) -> Normalisation:
    fields.harmless("momentum", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "fused")
    fields.harmless("virtual_batch_size", "adjustment")
    fields.must("axis", -1, [-1], fields.last_axis, [fields.last_axis])
    scale, center = fields.take("scale", True), fields.take("center", True)
    arrays = fields.arrays(weights, *[(fields.width,)] * (2 + bool(scale) + bool(center)))
    gamma = arrays.pop(0).astype(float) if scale else 1.0
    beta = arrays.pop(0).astype(float) if center else 0.0
    mean, variance = (array.astype(float) for array in arrays)
    return _normalisation(gamma / np.sqrt(variance + fields.take("epsilon", 0.001)), mean, beta)


def _standardisation(fields: Fields, weights: list[np.ndarray]) -> Normalisation:
    """Return the form of Keras' Normalization: moments of its own, or given in its configuration."""
    fields.must("axis", -1, [-1], (-1,), fields.last_axis, [fields.last_axis])
    fields.must("invert", False)
    given = [fields.take(name) for name in ("mean", "variance", "input_mean", "input_variance")]
    moments = [np.asarray(value, float).reshape(-1) for value in given if value is not None] or weights[:2]
    mean, variance = (np.broadcast_to(array, (fields.width,)).astype(float) for array in moments)
    return _normalisation(1 / np.maximum(np.sqrt(variance), 1e-7), mean, 0.0)  # Keras' own least deviation


def _rescaling(fields: Fields, weights: list[np.ndarray]) -> Normalisation:
    scale, offset = (np.asarray(fields.take(name, usual), float) for name, usual in (("scale", 1.0), ("offset", 0.0)))
    ones = np.ones(fields.width)
    return _normalisation(scale * ones, 0.0 * ones, offset * ones)


def _normalisation(factor: np.ndarray, mean: np.ndarray, beta: Any) -> Normalisation:
    return Normalisation(factor.astype(np.float32), (beta - mean * factor).astype(np.float32))


KERAS_FORMS = {
    "BatchNormalization": _batch_normalisation,
    "Normalization": _standardisation,
    "Rescaling": _rescaling,
}
