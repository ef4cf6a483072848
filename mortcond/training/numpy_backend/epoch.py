"""An epoch in numpy: the arithmetic of `tensorflow_backend.epoch`, batch by batch, every weight in one vector.

Comes in: a walk, settings, vectors, the data. Goes out: the vectors, changed in place, and the mean loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mortcond.layers.operations import NUMPY
from mortcond.training.batches import BETAS, EPSILON
from mortcond.training.forward import Data, Noise, draw, logits
from mortcond.training.numpy_backend import loop
from mortcond.training.numpy_backend.gates import GatedLoop
from mortcond.training.numpy_backend.tape import Tape, Variable
from mortcond.training.settings import TrainSettings
from mortcond.training.walk import Loop, Walk


@dataclass
class Evaluator:
    """A network's weights as one vector, and the buffers in which batches of any size are evaluated."""

    walk: Walk
    weights: np.ndarray  # (parameters + 1,): the last is a zero
    loops: dict[tuple, GatedLoop] = field(default_factory=dict)

    def __post_init__(self):
        steps = [step for step in self.walk.order if isinstance(step, Loop) and step.gated]
        nodes = [node for step in steps for node in step.nodes]
        self.gated = {f"{node.name}.{name}" for node in nodes for name in node.layer.arrays()}
        self.places, start = {}, 0
        for name, array in self.walk.network.arrays().items():
            self.places[name] = np.arange(start, start + array.size).reshape(array.shape)
            start += array.size

    def named(self) -> dict[str, np.ndarray]:
        """Return the weights as `Network.arrays`, as views."""
        return {name: self.weights[self._span(name)].reshape(places.shape) for name, places in self.places.items()}

    def _span(self, name: str) -> slice:
        first = self.places[name].flat[0]
        return slice(first, first + self.places[name].size)

    def risks(self, data: Data) -> np.ndarray:
        """Return the risk of each stay, (stays,)."""
        found = logits(self.walk, NUMPY, self.named(), data, Noise(), self._loop(None, None))
        return NUMPY.sigmoid(found)

    def gradient(self, data: Data, noise: Noise, slopes: Callable[[np.ndarray], np.ndarray]) -> tuple[Any, np.ndarray]:
        """Return the logits, (stays,), and the gradient of a loss, (parameters,).

        slopes: the loss's derivative by each logit, from these.
        """
        tape, gradient = Tape(), np.zeros_like(self.weights)
        named = self.named().items()  # those of gated loops are read, and given their gradients, as one vector
        weights = {name: array if name in self.gated else tape.variable(array) for name, array in named}
        found = logits(self.walk, tape, weights, data, noise, self._loop(tape, gradient))
        tape.gradients([found], [slopes(found.value)])
        for name, weight in weights.items():
            if isinstance(weight, Variable) and weight.grad is not None:
                gradient[self._span(name)] = weight.grad.ravel()
        return found.value, gradient[:-1]

    def _loop(self, tape: Tape | None, gradient: np.ndarray | None) -> Callable:
        def run(step: Loop, weights: dict, values: dict, kept: dict) -> dict[str, Any]:
            if not step.gated:
                return loop.run(step, tape, weights, values, kept)
            return self._gated(step, values).run(tape, self.weights, gradient, values, kept)

        return run

    def _gated(self, step: Loop, values: dict[str, Any]) -> GatedLoop:
        stays, hours, _ = values[step.stacks[0][0].inputs[0]].shape
        key = (step, stays)
        if key not in self.loops:
            self.loops[key] = GatedLoop(step, self.places, stays, hours, self.weights.dtype)
        return self.loops[key]


def noise(walk: Walk, settings: TrainSettings, stays: int, dice: Callable[[int], np.random.Generator]) -> Noise:
    """Return the dropout of a step; dice: the generator of a stream."""

    def factors(rate: float, width: int, stream: int) -> np.ndarray:
        drawn = dice(stream).random((stays, width), np.float32)
        return (drawn >= rate).astype(np.float32) / np.float32(1 - rate)

    return draw(walk.network, settings, NUMPY, factors)


def losses(logits: np.ndarray, targets: np.ndarray, settings: TrainSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of each stay, see `tensorflow_backend.epoch`, and its derivative by the logit."""
    outcome = targets[:, 0]
    to_outcome, slope = _entropy(outcome, logits), NUMPY.sigmoid(logits) - outcome
    weight, temperature = settings.teacher_weight, settings.temperature
    if not weight:
        return to_outcome, slope
    taught = np.clip(targets[:, 1], EPSILON, 1 - EPSILON)
    softened, cool = NUMPY.sigmoid(np.log(taught / (1 - taught)) / temperature), logits / temperature
    to_teacher = temperature**2 * _entropy(softened, cool)
    teacher_slope = temperature * (NUMPY.sigmoid(cool) - softened)
    return (1 - weight) * to_outcome + weight * to_teacher, (1 - weight) * slope + weight * teacher_slope


def _entropy(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))


class Adam:
    """Keras' Adam, with decoupled weight decay (AdamW) and clipping: in place, in parts that a cache holds."""

    AT_ONCE = 1 << 13

    def __init__(self, weights: np.ndarray, momentum: np.ndarray, velocity: np.ndarray, steps: float):
        self.weights, self.momentum, self.velocity, self.steps = weights, momentum, velocity, steps
        cuts = range(0, len(weights), self.AT_ONCE)
        self.parts = [slice(start, start + self.AT_ONCE) for start in cuts]
        self.views = [
            (weights[part], momentum[part], velocity[part], np.empty_like(weights[part])) for part in self.parts
        ]

    def step(self, gradient: np.ndarray, settings: TrainSettings, learning_rate: float) -> None:
        """Change the weights; the gradient is used up."""
        if settings.clip_norm is not None:
            norm = float(np.sqrt(np.dot(gradient, gradient)))
            gradient *= min(1.0, settings.clip_norm / norm) if norm else 1.0
        self.steps += 1
        rate = learning_rate * (1 - BETAS[1] ** self.steps) ** 0.5 / (1 - BETAS[0] ** self.steps)
        decay = 1 - learning_rate * settings.weight_decay
        for part, (weights, momentum, velocity, change) in zip(self.parts, self.views, strict=True):
            own = gradient[part]
            np.subtract(own, momentum, out=change)
            change *= 1 - BETAS[0]
            momentum += change
            own *= own
            own -= velocity
            own *= 1 - BETAS[1]
            velocity += own
            np.sqrt(velocity, out=own)
            own += EPSILON
            np.multiply(momentum, rate, out=change)
            change /= own
            if settings.weight_decay:
                weights *= decay
            weights -= change
