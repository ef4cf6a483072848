"""A Network as a Keras model: the form in which it is kept as `model.keras`, and from which training begins.

Comes in: plain weights. Goes out: a Keras model with exactly the same, in (stays, hours, features), out the risk.
"""

from typing import Any

from mortcond.core.errors import InputError
from mortcond.core.tensorflow import keras
from mortcond.network import INPUT, Network, Node

KERAS_FILE = "model.keras"


def to_keras(network: Network) -> keras.Model:
    """Return a Keras model of `network`, in (stays, hours, features), out the risk (stays, 1).

    Raises InputError where Keras cannot say it: its mask goes with the values, so there can be only one.
    """
    masks = {node.inputs[1:] for node in network.recurrent}
    if len(masks) > 1:
        raise InputError("Keras has no form of a network whose recurrent layers skip different hours.", "Use another.")
    values = {INPUT: keras.Input((network.hours, network.features), name=INPUT)}
    inputs, made = values[INPUT], {}
    for node in network.nodes:
        layer = made[node.name] = node.layer.to_keras(keras, node.name.replace(".", "_"))
        values[node.name] = _called(layer, node, values)
        if node.name in {name for mask in masks for name in mask}:
            values[node.inputs[0]] = values[node.name]  # from here on the values carry the mask
    model = keras.Model(inputs, values[network.output.name], name=network.arch)
    for node in network.nodes:
        made[node.name].set_weights(node.layer.keras_weights())
    return model


def _called(layer: Any, node: Node, values: dict[str, Any]) -> Any:
    if node.layer.state_names:
        after = layer(values[node.inputs[0]])
        return keras.ops.flip(after, 1) if node.layer.backwards and node.layer.sequences else after
    inputs = [values[name] for name in node.inputs]
    return layer(inputs if len(inputs) > 1 else inputs[0])


def weights_of(model: keras.Model, network: Network) -> Network:
    """Return the network with the weights of a Keras model that `to_keras` made of it, or of one of its shape."""
    layers = {}
    for node in network.nodes:
        if node.layer.arrays():
            weights = model.get_layer(node.name.replace(".", "_")).get_weights()
            layers[node.name] = node.layer.with_keras_weights(weights)
    return network.with_layers(layers)
