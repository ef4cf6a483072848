"""What trains and evaluates with TensorFlow. Comes in: a Network, settings, data. Goes out: weights, losses, risks."""

from typing import Any

import numpy as np

from mortcond.core.tensorflow import tf
from mortcond.network import Network
from mortcond.training.batches import Plan, Vectors
from mortcond.training.settings import TrainSettings
from mortcond.training.tensorflow_backend.epoch import compile_epoch, compile_predict


class TensorFlowRunner:
    """Weights and optimiser as TensorFlow holds them, and the compiled functions."""

    def __init__(self, network: Network, settings: TrainSettings, data: dict[str, np.ndarray], targets: np.ndarray):
        self._vectors = Vectors(*map(tf.constant, Vectors.of(network)))
        self._epoch, self._predict = compile_epoch(network, settings), compile_predict(network)
        self._data = {name: tf.convert_to_tensor(values) for name, values in data.items()}
        self._targets = tf.convert_to_tensor(targets)

    @property
    def vectors(self) -> Vectors:
        """Return weights and optimiser as numpy arrays."""
        return Vectors(*(vector.numpy() for vector in self._vectors))

    @vectors.setter
    def vectors(self, vectors: Vectors) -> None:
        self._vectors = Vectors(*map(tf.constant, vectors))

    def train(self, plan: Plan, steps: int, learning_rate: np.float32, dice: np.ndarray) -> float:
        """Train the first `steps` batches of an epoch, and return the mean loss; 0 compiles and trains nothing.

        dice: (2,) int32, what the dropout of this epoch is drawn from.
        """
        numbers: Any = map(tf.constant, (plan.rows, plan.counted, np.int32(steps), learning_rate, dice))
        self._vectors, loss = self._epoch(self._vectors, self._data, self._targets, *numbers)
        return float(loss)

    def risks(self, data: dict[str, np.ndarray], weights: np.ndarray | None = None) -> np.ndarray:
        """Return the risk of each stay, (stays,); weights: None: as they stand."""
        return self._predict(self._vectors.weights if weights is None else tf.constant(weights), data)
