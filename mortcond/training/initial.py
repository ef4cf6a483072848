"""Untrained weights, those of Keras: glorot uniform kernels, orthogonal recurrent kernels, forget bias 1.

Comes in: a network without weights, as of `archs.untrained`, and a seed. Goes out: the network to train.
"""

import numpy as np

from mortcond.network import Network
from mortcond.training.backends import AUTO, TENSORFLOW, chosen


def initial(network: Network, seed: int, backend: str = AUTO) -> Network:
    """Return the network with initial weights.

    TensorFlow's are drawn by Keras itself; numpy's are others, of the same distributions.
    """
    return _by_keras(network, seed) if chosen(backend) == TENSORFLOW else _by_numpy(network, seed)


def _by_keras(network: Network, seed: int) -> Network:
    from mortcond.core.tensorflow import keras
    from mortcond.exchange.keras_model import to_keras, weights_of

    keras.utils.set_random_seed(seed)
    return weights_of(keras.models.clone_model(to_keras(network)), network)


def _by_numpy(network: Network, seed: int) -> Network:
    layers = {
        node.name: node.layer.drawn(np.random.default_rng([seed, place])) for place, node in enumerate(network.nodes)
    }
    return network.with_layers(layers)
