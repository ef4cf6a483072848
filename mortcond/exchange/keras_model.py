"""A Network as a Keras model: the form in which it is kept as `model.keras`, and from which training begins.

Comes in: plain weights. Goes out: a Keras model with exactly the same, in (stays, hours, features), out the risk.
"""

from collections import Counter
from typing import Any

from mortcond.core.errors import InputError
from mortcond.core.tensorflow import keras
from mortcond.layers.bidirectional import Pair, pair
from mortcond.network import INPUT, Network, Node

KERAS_FILE = "model.keras"


def to_keras(network: Network) -> keras.Model:
    """Return a Keras model of `network`, in (stays, hours, features), out the risk (stays, 1).

    Two recurrent layers that run both ways over the same hours become one Bidirectional.

    Raises InputError where Keras cannot say it: its mask goes with the values, so there can be only one.
    """
    masks = {node.inputs[1:] for node in network.recurrent}
    if len(masks) > 1:
        raise InputError("Keras has no form of a network whose recurrent layers skip different hours.", "Use another.")
    values = {INPUT: keras.Input((network.hours, network.features), name=INPUT)}
    inputs, pairs = values[INPUT], pairs_of(network)
    halves = {half.name for both in pairs.values() for half in (both.forward, both.backward)}
    made, made_masks = {}, {}
    for node in network.nodes:
        if node.name in halves:
            continue
        both = pairs.get(node.name)
        layer = made[node.name] = (both or node.layer).to_keras(keras, keras_name(node.name))
        values[node.name] = _called(layer, both.forward if both else node, values, made_masks)
        if node.name in {name for mask in masks for name in mask}:
            made_masks[node.name] = layer.compute_mask(values[node.inputs[0]])
            values[node.inputs[0]] = values[node.name]  # from here on the values carry the mask
    model = keras.Model(inputs, values[network.output.name], name=keras_name(network.arch))
    for node in network.nodes:
        if node.name in made:
            made[node.name].set_weights(pairs.get(node.name, node.layer).keras_weights())
    return model


def keras_name(name: str) -> str:
    """Return a node's name as Keras takes it."""
    return name.replace(".", "_")


def pairs_of(network: Network) -> dict[str, Pair]:
    """Return the bidirectional layers that Keras can say as one, by the name of their join.

    Keras puts zeros in the skipped hours of their sequences: only where a recurrent layer with the same mask reads
    them, which skips them too, do they stand for the same.
    """
    nodes = {node.name: node for node in network.nodes}
    count = Counter(name for node in network.nodes for name in node.inputs)
    found = {node.name: pair(node, nodes, count) for node in network.nodes}
    return {name: both for name, both in found.items() if both and _alike_in_keras(network, name, both)}


def _alike_in_keras(network: Network, name: str, both: Pair) -> bool:
    mask = both.forward.inputs[1:]
    return not mask or not both.forward.layer.sequences or _skipped_by_all(network, name, mask)


def _skipped_by_all(network: Network, name: str, mask: tuple[str, ...]) -> bool:
    """Say whether all that depends on a sequence skips the hours of a mask, through what treats every hour alike."""
    for reader in network.readers(name):
        if reader.layer.state_names:
            if reader.inputs[1:] != mask:
                return False
        elif reader.layer.hours_out is not None or not _skipped_by_all(network, reader.name, mask):
            return False
    return True


def _called(layer: Any, node: Node, values: dict[str, Any], masks: dict[str, Any]) -> Any:
    if node.layer.state_names:
        value = values[node.inputs[0]]
        lost = node.inputs[1:] and getattr(value, "_keras_mask", None) is None  # functions let go of it
        after = layer(value, mask=masks[node.inputs[1]]) if lost else layer(value)
        return keras.ops.flip(after, 1) if node.layer.backwards and node.layer.sequences else after
    inputs = [values[name] for name in node.inputs]
    return layer(inputs if len(inputs) > 1 else inputs[0])


def weights_of(model: keras.Model, network: Network) -> Network:
    """Return the network with the weights of a Keras model that `to_keras` made of it, or of one of its shape."""
    layers = {}
    for name, both in pairs_of(network).items():
        weights = model.get_layer(keras_name(name)).get_weights()
        half = len(both.forward.layer.keras_weights())
        layers[both.forward.name] = both.forward.layer.with_keras_weights(weights[:half])
        layers[both.backward.name] = both.backward.layer.with_keras_weights(weights[half:])
    for node in network.nodes:
        if node.layer.arrays() and node.name not in layers:
            weights = model.get_layer(keras_name(node.name)).get_weights()
            layers[node.name] = node.layer.with_keras_weights(weights)
    return network.with_layers(layers)
