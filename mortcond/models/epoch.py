"""The compiled epoch: all steps of an epoch as one XLA program, with exactly Keras' arithmetic.

Comes in: a Keras model, its optimiser, and the data. Goes out: the same model, an epoch older, and its loss. Stock
`fit` spends most of its time between steps; here a step is a turn of a loop that never leaves the program.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

EPSILON = 1e-7  # Keras' clipping of probabilities in the cross-entropy


@dataclass(frozen=True)
class Steps:
    """How many full batches there are, and how many stays the partial last one has."""

    full: int
    rest: int
    batch_size: int

    @classmethod
    def of(cls, stays: int, batch_size: int) -> "Steps":
        return cls(stays // batch_size, stays % batch_size, batch_size)


def compile_epoch(model: keras.Model, optimizer: keras.optimizers.Optimizer, steps: Steps, loss: Callable):
    """Return a function (X, targets, order) -> mean loss that trains `model` for one epoch.

    Parameters
    ----------
    model, optimizer
        Both built; their variables are what changes.
    steps
        The batches of an epoch. The function is compiled at its first call, once for all epochs.
    loss
        (targets, risks) -> mean loss of a batch; see `cross_entropy` and `distillation`.

    X is (stays, hours, features), targets what `loss` takes, order (stays,) int32 the rows in the order of training.
    The data are arguments: they are neither part of the program nor copied.
    """

    def step(X: Any, targets: Any, rows: Any):
        inputs, target = tf.gather(X, rows), tf.gather(targets, rows)
        with tf.GradientTape() as tape:
            value = loss(target, model(inputs, training=True)[:, 0])
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return value * rows.shape[0]

    @tf.function(jit_compile=True)
    def epoch(X, targets, order):
        def turn(index, total):
            start = index * steps.batch_size
            return index + 1, total + step(X, targets, tf.slice(order, [start], [steps.batch_size]))

        index, total = tf.constant(0), tf.constant(0.0)
        if steps.full:
            index, total = tf.while_loop(lambda i, _: i < steps.full, turn, (index, total))
        if steps.rest:
            total += step(X, targets, order[-steps.rest :])
        return total / (steps.full * steps.batch_size + steps.rest)

    return epoch


def cross_entropy(target, risk):
    """Return the mean binary cross-entropy of Keras, (stays,) each; targets may be soft."""
    risk = tf.clip_by_value(risk, EPSILON, 1 - EPSILON)
    return -tf.reduce_mean(target * tf.math.log(risk) + (1 - target) * tf.math.log(1 - risk))


def distillation(weight: float, temperature: float) -> Callable:
    """Return a loss on targets (stays, 2), outcome and teacher's risk (Hinton et al. 2015, section 2).

    It is the cross-entropy to the outcome, and with `weight` that to the teacher's risk, both sides softened by the
    temperature and the term scaled by its square, as its gradients shrink by that.
    """

    def soften(risk):
        risk = tf.clip_by_value(risk, EPSILON, 1 - EPSILON)
        return tf.sigmoid((tf.math.log(risk) - tf.math.log(1 - risk)) / temperature)

    def loss(targets, risk):
        outcome, teacher = targets[:, 0], targets[:, 1]
        taught = temperature**2 * cross_entropy(soften(teacher), soften(risk))
        return (1 - weight) * cross_entropy(outcome, risk) + weight * taught

    return loss


def compile_predict(model: keras.Model):
    """Return a function X -> risks (stays,) float32 that runs `model` compiled, in batches of one size."""

    @tf.function(jit_compile=True)
    def predict(X):
        return model(X, training=False)[:, 0]

    def in_batches(X: np.ndarray, batch_size: int = 512) -> np.ndarray:
        if len(X) == 0:
            return np.zeros(0, np.float32)
        size = min(batch_size, len(X))
        starts = [*range(0, len(X) - size, size), len(X) - size]  # the last batch overlaps: one shape, one compilation
        risks = np.empty(len(X), np.float32)
        for start in starts:
            risks[start : start + size] = predict(tf.convert_to_tensor(X[start : start + size])).numpy()
        return risks

    return in_batches
