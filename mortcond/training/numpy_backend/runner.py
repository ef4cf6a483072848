"""What trains and evaluates with numpy. Comes in: a Network, settings, data. Goes out: weights, losses, risks."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

from mortcond.network import Network
from mortcond.training.batches import Plan, Vectors
from mortcond.training.forward import Data
from mortcond.training.numpy_backend.epoch import Adam, Evaluator, losses, noise
from mortcond.training.settings import TrainSettings
from mortcond.training.walk import Walk

EVALUATED_AT_ONCE = 64  # stays; more gets slower (cache)


class NumpyRunner:
    """Weights and optimiser in place; the same methods as `tensorflow_backend.runner.TensorFlowRunner`."""

    def __init__(self, network: Network, settings: TrainSettings, data: Data, targets: np.ndarray):
        self.walk, self.settings, self.data, self.targets = Walk(network), settings, data, targets
        self.evaluator = Evaluator(self.walk, np.zeros(network.parameters + 1, np.float32))
        self.vectors = Vectors.of(network)

    @property
    def vectors(self) -> Vectors:
        """Return weights and optimiser."""
        adam = self.adam
        return Vectors(adam.weights.copy(), adam.momentum.copy(), adam.velocity.copy(), np.float32(adam.steps))

    @vectors.setter
    def vectors(self, vectors: Vectors) -> None:
        self.evaluator.weights[:-1] = vectors.weights
        own = self.evaluator.weights[:-1]  # a view: the optimiser changes what is evaluated
        self.adam = Adam(own, np.array(vectors.momentum), np.array(vectors.velocity), float(vectors.steps))

    def train(self, plan: Plan, steps: int, learning_rate: np.float32, dice: np.ndarray) -> float:
        """Train the first `steps` batches of an epoch, and return the mean loss.

        dice: (2,) int32, what the dropout of this epoch is drawn from.
        """
        generators: dict[int, np.random.Generator] = {}

        def stream(number: int) -> np.random.Generator:
            return generators.setdefault(number, np.random.default_rng([*dice, number]))

        total = 0.0
        with _one_thread():
            for rows, counted in zip(plan.rows[:steps], plan.counted[:steps], strict=True):
                total += self._step(rows, counted, float(learning_rate), stream)
        return total / float(plan.counted.sum())

    def _step(self, rows: np.ndarray, counted: np.ndarray, learning_rate: float, stream) -> float:
        """Train one batch, and return the sum of its losses."""
        found, targets, count = [], self.targets[rows], counted.sum()

        def slopes(logits: np.ndarray) -> np.ndarray:
            loss, slope = losses(logits, targets, self.settings)
            found.append(float((loss * counted).sum()))
            return slope * counted / count

        data = {name: values[rows] for name, values in self.data.items()}
        drops = noise(self.walk, self.settings, len(rows), stream)
        _, gradient = self.evaluator.gradient(data, drops, slopes)
        self.adam.step(gradient, self.settings, learning_rate)
        return found[0]

    def risks(self, data: Data, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the risk of each stay, (stays,); weights: None: as they stand."""
        evaluator = self.evaluator
        if weights is not None:
            evaluator = Evaluator(self.walk, np.append(weights, np.float32(0)), evaluator.loops)
        stays = len(next(iter(data.values())))
        with _one_thread():
            parts = [
                evaluator.risks({name: values[start : start + EVALUATED_AT_ONCE] for name, values in data.items()})
                for start in range(0, stays, EVALUATED_AT_ONCE)
            ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let numpy multiply with one thread: matrices are small, and the order of sums stays the same."""
    with threadpool_limits(1, user_api="blas"):
        yield
