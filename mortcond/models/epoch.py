"""The compiled epoch: all steps of an epoch as one XLA program, with Keras' arithmetic.

Comes in: a network's shape, its weights and the optimiser's state as flat vectors, and the data. Goes out: the vectors,
an epoch later. Stock `fit` spends most of its time between operations; here a step is a turn of a loop that never
leaves the program, and every weight is part of one vector, so that Adam is one operation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mortcond.core.tensorflow import tf
from mortcond.models.network import Network, summarise_in_parts
from mortcond.models.recurrence import last_state
from mortcond.models.settings import TrainSettings

EPSILON = 1e-7  # Keras' default, of Adam's denominator and of clipped probabilities
BETAS = 0.9, 0.999
_PROGRAMS: dict[tuple, Callable] = {}  # of this process: a second training of the same shape compiles nothing
EVALUATED_AT_ONCE = 256  # stays; more gets slower (cache)


class Vectors(NamedTuple):
    """What an epoch changes; all (parameters,) but the last."""

    weights: Any
    momentum: Any
    velocity: Any
    steps: Any  # () float32: optimiser steps so far


@dataclass(frozen=True)
class Plan:
    """The batches of an epoch: row numbers, and 0 where the last batch is filled up to the size of the others."""

    rows: np.ndarray  # (steps, batch size) int32
    counted: np.ndarray  # (steps, batch size) float32

    @classmethod
    def of(cls, order: np.ndarray, batch_size: int) -> "Plan":
        """Return the batches of stays in the given order, the partial last one included."""
        size = min(batch_size, len(order))
        missing = -len(order) % size
        rows = np.concatenate([order, np.zeros(missing, order.dtype)]).astype(np.int32)
        counted = np.concatenate([np.ones(len(order)), np.zeros(missing)]).astype(np.float32)
        return cls(rows.reshape(-1, size), counted.reshape(-1, size))


def flat(network: Network) -> np.ndarray:
    """Return all weights of a network as one vector, (parameters,) float32."""
    return np.concatenate([array.ravel() for array in network.arrays().values()]).astype(np.float32)


def unflat(network: Network, weights: np.ndarray) -> Network:
    """Return the network with the weights of a vector that has the order of `flat`."""
    arrays, start = {}, 0
    for name, array in network.arrays().items():
        arrays[name] = np.array(weights[start : start + array.size]).reshape(array.shape)
        start += array.size
    return network.with_arrays(arrays)


def inputs(network: Network, X: np.ndarray) -> np.ndarray:
    """Return what of the stays is trained on: X as it is; for a network on summaries these, once for all epochs."""
    return X if network.recurrent else summarise_in_parts(X, network.summary, network.mask_columns)


def compile_epoch(network: Network, settings: TrainSettings) -> Callable:
    """Return a function (vectors, data, targets, rows, counted, steps, learning_rate, seed) -> (vectors, mean loss).

    data is what `inputs` gives; targets (stays, 2): outcome and, where there is one, a teacher's risk; rows and counted
    a Plan's; steps how many of its batches to train, so that 0 compiles and trains nothing; seed (2,) int32, new for
    each epoch. The data are arguments: they are neither part of the program nor copied.
    """
    relevant = ("weight_decay", "clip_norm", "input_dropout", "recurrent_dropout", "teacher_weight", "temperature")
    key = ("epoch", _shape(network), *(getattr(settings, name) for name in relevant))
    return _PROGRAMS.setdefault(key, _epoch(network, settings))


def _epoch(network: Network, settings: TrainSettings) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def epoch(vectors, data, targets, rows, counted, steps, learning_rate, seed):
        def turn(step, vectors, total):
            weight = counted[step]
            x, target = tf.gather(data, rows[step]), tf.gather(targets, rows[step])
            with tf.GradientTape() as tape:
                tape.watch(vectors.weights)
                logits = _logits(network, vectors.weights, x, _noise(network, settings, x.shape, seed, step))
                losses = tf.reduce_sum(_losses(logits, target, settings) * weight)
                loss = losses / tf.reduce_sum(weight)
            gradient = tape.gradient(loss, vectors.weights)
            return step + 1, _adam(vectors, gradient, settings, learning_rate), total + losses

        start = (tf.constant(0), vectors, tf.constant(0.0))
        _, vectors, total = tf.while_loop(lambda step, *_: step < steps, turn, start)
        return vectors, total / tf.reduce_sum(counted)

    return epoch


def compile_predict(network: Network) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function (weights, data) -> risks (stays,) float32 that runs compiled, in batches of one size."""
    risks = _PROGRAMS.setdefault(("risks", _shape(network)), _risks(network))

    def in_batches(weights: Any, data: np.ndarray) -> np.ndarray:
        found = []
        for start in range(0, len(data), EVALUATED_AT_ONCE):
            batch = data[start : start + EVALUATED_AT_ONCE]
            missing = EVALUATED_AT_ONCE - len(batch)  # filled up: one shape, one compilation
            if missing:
                batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
            found.append(risks(weights, batch).numpy()[: EVALUATED_AT_ONCE - missing])
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    return in_batches


def _risks(network: Network) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def risks(weights, x):
        return tf.sigmoid(_logits(network, weights, x, Noise()))

    return risks


def _shape(network: Network) -> tuple:
    """Return what of a network a program depends on: everything but the weights."""
    shapes = tuple((name, array.shape) for name, array in network.arrays().items())
    return network.arch, network.summary, network.features, network.hours, network.dropout, shapes


class Noise(NamedTuple):
    """Dropout of one step as factors, 0 or 1 / (share kept); None: none."""

    inputs: Any = None  # (stays, features) or (stays, 1, features): a feature goes for all hours of a stay
    state: Any = None  # (stays, units): on the previous hidden state as the gates see it, the same in all hours
    units: Any = None  # (stays, units) before the last dense layer


def _noise(network: Network, settings: TrainSettings, shape: Any, seed: Any, step: Any) -> Noise:
    stays, units = shape[0], sum(layer.units for layer in network.recurrent)
    last = network.dense[-1].kernel.shape[0]

    def factors(rate: float, width: int, stream: int) -> Any:
        if not rate:
            return None
        drawn = tf.random.stateless_uniform([stays, width], tf.stack([seed[0] + 8 * step + stream, seed[1]]))
        return tf.cast(drawn >= rate, tf.float32) / (1 - rate)

    features = factors(settings.input_dropout, network.features, 0)
    if features is not None:
        features = features[:, None] if network.recurrent else tf.tile(features, [1, shape[1] // network.features])
    state = factors(settings.recurrent_dropout, units, 1) if units else None
    return Noise(features, state, factors(network.dropout, last, 2))


def _logits(network: Network, weights: Any, x: Any, noise: Noise) -> Any:
    """Return the logit of each stay's risk, (stays,), from what `inputs` gives."""
    named = network.arrays()
    parts = tf.split(weights, [array.size for array in named.values()])
    weights = {name: tf.reshape(part, named[name].shape) for name, part in zip(named, parts, strict=True)}
    state = x if noise.inputs is None else x * noise.inputs
    if network.recurrent:
        measured = tf.cast(tf.reduce_any(x != 0, 2, keepdims=True), tf.float32)  # (stays, hours, 1)
        state = last_state(network, weights, state, measured, noise.state)
    for index in range(len(network.dense) - 1):
        state = tf.nn.relu(state @ weights[f"dense.{index}.kernel"] + weights[f"dense.{index}.bias"])
    state = state if noise.units is None else state * noise.units
    last = f"dense.{len(network.dense) - 1}"
    return (state @ weights[f"{last}.kernel"] + weights[f"{last}.bias"])[:, 0]


def _losses(logits: Any, targets: Any, settings: TrainSettings) -> Any:
    """Return the loss of each stay: the cross-entropy to the outcome, mixed with that to a teacher's risk.

    Both sides of the latter are softened by the temperature, and it is scaled by its square, as its gradients shrink by
    that (Hinton et al. 2015, section 2).
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    to_outcome = entropy(targets[:, 0], logits)
    if not settings.teacher_weight:
        return to_outcome
    taught = tf.clip_by_value(targets[:, 1], EPSILON, 1 - EPSILON)
    softened = tf.sigmoid(tf.math.log(taught / (1 - taught)) / settings.temperature)
    to_teacher = settings.temperature**2 * entropy(softened, logits / settings.temperature)
    return (1 - settings.teacher_weight) * to_outcome + settings.teacher_weight * to_teacher


def _adam(vectors: Vectors, gradient: Any, settings: TrainSettings, learning_rate: Any) -> Vectors:
    """Return the vectors after one step of Keras' Adam, with decoupled weight decay (AdamW) and clipping."""
    if settings.clip_norm is not None:
        gradient = tf.clip_by_norm(gradient, settings.clip_norm)
    steps = vectors.steps + 1
    momentum = vectors.momentum + (gradient - vectors.momentum) * (1 - BETAS[0])
    velocity = vectors.velocity + (tf.square(gradient) - vectors.velocity) * (1 - BETAS[1])
    rate = learning_rate * tf.sqrt(1 - tf.pow(BETAS[1], steps)) / (1 - tf.pow(BETAS[0], steps))
    weights = vectors.weights * (1 - learning_rate * settings.weight_decay)
    return Vectors(weights - momentum * rate / (tf.sqrt(velocity) + EPSILON), momentum, velocity, steps)
