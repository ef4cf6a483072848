"""Untrained weights, those of Keras: glorot uniform kernels, orthogonal recurrent kernels, forget bias 1.

Comes in: a network without weights, as of `archs.untrained`, and a seed. Goes out: the network to train.
"""

from mortcond.network import Network


def initial(network: Network, seed: int) -> Network:
    """Return the network with initial weights, drawn by Keras itself."""
    from mortcond.core.tensorflow import keras
    from mortcond.exchange.keras_model import to_keras, weights_of

    keras.utils.set_random_seed(seed)
    return weights_of(keras.models.clone_model(to_keras(network)), network)
