"""Keras itself: a model in memory -> a Network, and what Keras makes of a file, to compare.

Comes in: a Keras model, or the description of one and its weights' file. Goes out: a `Network` that was compared with
Keras on random stays, with skipped hours among them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.tensorflow import keras
from mortcond.exchange.builder import Output
from mortcond.exchange.compare import Agreement, agreement
from mortcond.exchange.keras_graph import MODELS, OPERATION, Place, Stored, kind_of, read
from mortcond.exchange.keras_hdf5 import version_of
from mortcond.layers import keras_layers
from mortcond.layers.keras_fields import HARMLESS_ENDS
from mortcond.network import Network

FORGOTTEN = ("build_config", "compile_config", "registered_name", "module", "build_input_shape")
OF_US = ("HiddenLSTM", "MeasuredMean", "FullSummary", "Columns", "Hour", "Weightless")
OWN = {name: getattr(keras_layers, name) for name in OF_US}


def from_keras(model: keras.Model, window: int | None = None, output: Output | None = None) -> Network:
    """Return the network that a Keras model is.

    Every field of every layer's configuration is read or refused, and then the risks of random stays are compared.

    Raises InputError where a layer or a setting cannot be carried, or where a risk differs by more than 1e-5.
    """
    stored = Stored(json.loads(model.to_json()), _LiveWeights(model), version_of(keras.__version__), _training(model))
    network = read(stored, window, output)
    compared(network, model)
    return network


def _training(model: keras.Model) -> dict[str, Any] | None:
    try:
        return json.loads(json.dumps(model.get_compile_config(), default=str))
    except (AttributeError, ValueError, TypeError):  # it was never compiled, or with something that is no JSON
        return None


@dataclass(frozen=True)
class _LiveWeights:
    """The weights of a model in memory."""

    model: keras.Model

    def of(self, place: Place) -> list[np.ndarray]:
        layer = self.model
        for name in place.names:
            layer = layer.get_layer(name)
        return layer.get_weights()

    def unread(self) -> list[str]:
        return []


def compared(network: Network, model: keras.Model) -> Agreement:
    """Return how well a network agrees with a Keras model.

    Raises InputError where a risk differs by more than 1e-5.
    """
    return agreement(network, lambda stays: risks(model, stays), f"Keras {keras.__version__}")


def risks(model: keras.Model, stays: np.ndarray) -> np.ndarray:
    """Return the risks that a Keras model gives, (stays,): of a softmax the second class, of a logit its sigmoid."""
    if len(model.input_shape) == 2:
        stays = stays.reshape(len(stays), -1)
    values = np.asarray(model.predict_on_batch(stays), float)
    if values.shape[-1] == 2:
        return values[:, 1]
    activation = getattr(_last(model), "activation", None)
    linear = activation is keras.activations.linear
    return 1 / (1 + np.exp(-values[:, 0])) if linear else values[:, 0]


def _last(model: Any) -> Any:
    layer = model.layers[-1]
    return _last(layer) if isinstance(layer, keras.Model) else layer


def rebuilt(config: dict[str, Any], weights: Path) -> keras.Model:
    """Return the Keras model of a description that `keras_graph.read` has accepted, with the weights of a file.

    Of the description only what was understood is handed on: no initialiser, no regulariser, no module of the file, so
    that Keras can meet nothing in it that would make it run code.
    """
    cleaned = _cleaned(config)
    kind = keras.Sequential if cleaned["class_name"] == "Sequential" else keras.Model
    model = kind.from_config(cleaned["config"], custom_objects=OWN)
    if not model.built:
        model.build(config["config"].get("build_input_shape"))
    model.load_weights(weights)
    return model


def _cleaned(entry: Any) -> Any:
    if isinstance(entry, list):
        return [_cleaned(part) for part in entry]
    if not isinstance(entry, dict):
        return entry
    if entry.get("class_name") in ("__keras_tensor__", "__slice__"):
        return entry
    kept = {name: value for name, value in entry.items() if not name.endswith(HARMLESS_ENDS)}
    kept = {name: "float32" if name == "dtype" else value for name, value in kept.items() if name not in FORGOTTEN}
    made = {name: _cleaned(value) for name, value in kept.items()}
    return made | _whereabouts(entry) if "class_name" in entry else made


def _whereabouts(entry: dict[str, Any]) -> dict[str, Any]:
    """Return where Keras finds a class, said by us and not by the file."""
    kind = entry["class_name"]
    if kind_of(entry).startswith(OPERATION):
        module = "nn" if kind in ("Sigmoid", "Relu") else "numpy"
        return {"module": f"keras.src.ops.{module}", "registered_name": kind}
    if kind in OWN:
        return {"module": None, "registered_name": f"mortcond>{kind}"}
    return {"module": "keras" if kind in MODELS else "keras.layers", "registered_name": None}
