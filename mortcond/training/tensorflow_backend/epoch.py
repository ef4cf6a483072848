"""The compiled epoch: all steps of an epoch as one XLA program, with Keras' arithmetic.

Comes in: a network's shape, its weights and the optimiser's state as flat vectors, and the data. Goes out: the vectors,
an epoch later. Stock `fit` spends most of its time between operations; here a step is a turn of a loop that never
leaves the program, and every weight is part of one vector, so that Adam is one operation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from mortcond.core.tensorflow import tf
from mortcond.network import Network
from mortcond.training.batches import BETAS, EPSILON, Vectors
from mortcond.training.forward import Data, Noise, draw, logits
from mortcond.training.settings import TrainSettings
from mortcond.training.tensorflow_backend import gates, loop
from mortcond.training.tensorflow_backend.operations import TENSORFLOW
from mortcond.training.walk import Loop, Walk

_PROGRAMS: dict[tuple, Callable] = {}  # of this process: a second training of the same shape compiles nothing
EVALUATED_AT_ONCE = 256  # stays; more gets slower (cache)
STREAMS = 8  # of random numbers in a step


def compile_epoch(network: Network, settings: TrainSettings) -> Callable:
    """Return a function (vectors, data, targets, rows, counted, steps, learning_rate, seed) -> (vectors, mean loss).

    data is what `Walk.prepare` gives; targets (stays, 2): outcome and, where there is one, a teacher's risk; rows and
    counted a Plan's; steps how many of its batches to train, so that 0 compiles and trains nothing; seed (2,) int32,
    new for each epoch. The data are arguments: they are neither part of the program nor copied.
    """
    relevant = ("weight_decay", "clip_norm", "input_dropout", "recurrent_dropout", "teacher_weight", "temperature")
    key = ("epoch", network.structure(), *(getattr(settings, name) for name in relevant))
    return _PROGRAMS.setdefault(key, _epoch(network, settings))


def _epoch(network: Network, settings: TrainSettings) -> Callable:
    walk = Walk(network)

    @tf.function(jit_compile=True, autograph=False)
    def epoch(vectors, data, targets, rows, counted, steps, learning_rate, seed):
        def turn(step, vectors, total):
            weight = counted[step]
            x = {name: tf.gather(values, rows[step]) for name, values in data.items()}
            target = tf.gather(targets, rows[step])
            with tf.GradientTape() as tape:
                tape.watch(vectors.weights)
                found = _logits(walk, vectors.weights, x, _noise(walk, settings, rows.shape[1], seed, step))
                losses = tf.reduce_sum(_losses(found, target, settings) * weight)
                loss = losses / tf.reduce_sum(weight)
            gradient = tape.gradient(loss, vectors.weights)
            return step + 1, _adam(vectors, gradient, settings, learning_rate), total + losses

        start = (tf.constant(0), vectors, tf.constant(0.0))
        _, vectors, total = tf.while_loop(lambda step, *_: step < steps, turn, start)
        return vectors, total / tf.reduce_sum(counted)

    return epoch


def compile_predict(network: Network) -> Callable[[Any, Data], np.ndarray]:
    """Return a function (weights, data) -> risks (stays,) float32 that runs compiled, in batches of one size."""
    risks = _PROGRAMS.setdefault(("risks", network.structure()), _risks(network))

    def in_batches(weights: Any, data: Data) -> np.ndarray:
        found, stays = [], len(next(iter(data.values())))
        for start in range(0, stays, EVALUATED_AT_ONCE):
            count = min(EVALUATED_AT_ONCE, stays - start)
            batch = {name: _filled_up(values[start : start + count]) for name, values in data.items()}
            found.append(risks(weights, batch).numpy()[:count])
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    return in_batches


def _filled_up(rows: np.ndarray) -> np.ndarray:
    """Return EVALUATED_AT_ONCE rows: one shape, one compilation."""
    missing = EVALUATED_AT_ONCE - len(rows)
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else rows


def _risks(network: Network) -> Callable:
    walk = Walk(network)

    @tf.function(jit_compile=True, autograph=False)
    def risks(weights, x):
        return tf.sigmoid(_logits(walk, weights, x, Noise()))

    return risks


def _noise(walk: Walk, settings: TrainSettings, stays: int, seed: Any, step: Any) -> Noise:
    def factors(rate: float, width: int, stream: int) -> Any:
        place = tf.stack([seed[0] + STREAMS * step + stream % STREAMS, seed[1] + stream // STREAMS])
        drawn = tf.random.stateless_uniform([stays, width], place)
        return tf.cast(drawn >= rate, tf.float32) / (1 - rate)

    return draw(walk.network, settings, TENSORFLOW, factors)


def _logits(walk: Walk, weights: Any, data: Data, noise: Noise) -> Any:
    """Return the logit of each stay's risk, (stays,), from what `Walk.prepare` gives."""
    named = walk.network.arrays()
    parts = tf.split(weights, [array.size for array in named.values()])
    weights = {name: tf.reshape(part, named[name].shape) for name, part in zip(named, parts, strict=True)}
    return logits(walk, TENSORFLOW, weights, data, noise, _run)


def _run(step: Loop, weights: dict[str, Any], values: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    return (gates if step.gated else loop).run(step, weights, values, kept)


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
