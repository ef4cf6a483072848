"""Keras 1's words in those of Keras 2: classes, fields and the order of weights.

Comes in: a configuration or weights of Keras 1. Goes out: the same as Keras 2 would have written it. Sources: Keras
1.2.2 (keras/layers) and Keras 2.0's own conversion (keras/legacy).
"""

from typing import Any

import numpy as np

from mortcond.layers.keras_fields import refusal

CLASSES = {"TimeDistributedDense": "Dense", "Merge": "Concatenate"}
FIELDS = {"output_dim": "units", "inner_activation": "recurrent_activation", "bias": "use_bias", "p": "rate"}
FIELDS |= {"beta": "beta", "sigma": "stddev", "concat_axis": "axis"}
DROPPED = {"init", "inner_init", "forget_bias_init", "W_regularizer", "U_regularizer", "b_regularizer", "dropout_W"}
DROPPED |= {"dropout_U", "W_constraint", "b_constraint", "U_constraint", "consume_less", "weights", "beta_init"}
DROPPED |= {"gamma_init", "gamma_regularizer", "beta_regularizer"}
OLD_GATES = {12: (0, 2, 1, 3), 9: (0, 1, 2)}  # arrays -> our gates; an LSTM's were kept as input, cell, forget, output


def modern_model(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model's configuration in the words of Keras 2."""
    config = model["config"]
    if isinstance(config, list):
        return model | {"config": [modern_layer(entry) for entry in config]}
    layers = [modern_layer(entry) for entry in config["layers"]]
    return model | {"config": config | {"layers": layers}}


def modern_layer(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's entry in the words of Keras 2."""
    if entry["class_name"] in ("Sequential", "Model"):
        return modern_model(entry)
    kind, config = entry["class_name"], dict(entry["config"])
    if kind == "Merge":
        _refuse_other_merges(config)
    if kind == "BatchNormalization" and config.pop("mode", 0) != 0:
        raise refusal(str(config.get("name")), kind, "normalises by each batch", "Use mode 0.")
    if isinstance(config.get("layer"), dict):
        config["layer"] = modern_layer(config["layer"])
    fields = {FIELDS.get(name, name): value for name, value in config.items() if name not in DROPPED}
    return entry | {"class_name": CLASSES.get(kind, kind), "config": fields}


def _refuse_other_merges(config: dict[str, Any]) -> None:
    mode = config.pop("mode", "concat")
    for name in ("mode_type", "dot_axes", "output_shape", "output_shape_type", "output_mask", "output_mask_type"):
        config.pop(name, None)
    config.pop("arguments", None)
    if mode != "concat":
        raise refusal(str(config.get("name")), "Merge", f"has mode = {mode!r}", "Only concat is supported.")


def modern_weights(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return a layer's weights in the order of Keras 2: an LSTM had three arrays a gate, each on its own."""
    if len(weights) in (24, 18):  # a bidirectional layer
        half = len(weights) // 2
        return modern_weights(weights[:half]) + modern_weights(weights[half:])
    if len(weights) not in OLD_GATES:
        return weights
    gates = OLD_GATES[len(weights)]
    return [np.concatenate([weights[3 * gate + part] for gate in gates], axis=-1) for part in range(3)]
