"""What every backend shares: the batches of an epoch, and all weights of a network as one vector.

Comes in: an order of stays, or a Network. Goes out: plain arrays.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mortcond.network import Network

EPSILON = 1e-7  # Keras' default, of Adam's denominator and of clipped probabilities
BETAS = 0.9, 0.999


class Vectors(NamedTuple):
    """What an epoch changes; all (parameters,) but the last."""

    weights: Any
    momentum: Any
    velocity: Any
    steps: Any  # () float32: optimiser steps so far

    @classmethod
    def of(cls, network: Network) -> "Vectors":
        """Return the weights of a network, and an optimiser that has not yet stepped."""
        weights = flat(network)
        return cls(weights, np.zeros_like(weights), np.zeros_like(weights), np.float32(0))


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
