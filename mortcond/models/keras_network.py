"""A Network as a Keras model and back: the form in which it is trained and kept as `model.keras`.

Comes in: plain weights, or a Keras model made here. Goes out: the other of the two, with exactly the same weights.
"""

from pathlib import Path

import numpy as np

from mortcond.core.errors import InputError
from mortcond.core.tensorflow import keras
from mortcond.layers.keras_layers import FullSummary, HiddenLSTM, MeasuredMean
from mortcond.models.network import DenseLayer, Gate, HiddenLSTMLayer, LSTMLayer, Network

KERAS_FILE = "model.keras"


def to_keras(network: Network) -> keras.Model:
    """Return a Keras model of `network`, in (stays, hours, features), out the risk (stays, 1)."""
    inputs = x = keras.Input((network.hours, network.features), name="stays")
    layers = [_recurrent(network, index) for index in range(len(network.recurrent))]
    if layers:
        x = keras.layers.Masking(name="masking")(x)
    elif network.summary == "full":
        x = FullSummary(name="summary")(x)
    else:
        x = MeasuredMean(list(network.mask_columns), name="summary")(x)
    for layer in layers:
        x = layer(x)
    dense = [
        keras.layers.Dense(layer.bias.size, activation=layer.activation, name=f"dense_{index}")
        for index, layer in enumerate(network.dense)
    ]
    for layer in dense[:-1]:
        x = layer(x)
    if network.dropout:
        x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    model = keras.Model(inputs, dense[-1](x), name=network.arch)
    for layer, weights in zip([*layers, *dense], [*network.recurrent, *network.dense], strict=True):
        layer.set_weights(_weights(weights))
    return model


def from_keras(model: keras.Model) -> Network:
    """Return the Network of a Keras model that `to_keras` made (or that was loaded from its file).

    Raises InputError where it has layers that `to_keras` does not make.
    """
    facts = {"summary": None, "mask_columns": (), "dropout": 0.0}
    recurrent, dense = [], []
    for layer in model.layers:
        if isinstance(layer, keras.layers.LSTM):
            recurrent.append(LSTMLayer(*layer.get_weights()))
        elif isinstance(layer, HiddenLSTM):
            recurrent.append(_hidden_layer(layer.cell))
        elif isinstance(layer, keras.layers.Dense):
            dense.append(DenseLayer(*layer.get_weights(), layer.activation.__name__))
        elif isinstance(layer, MeasuredMean):
            facts |= {"summary": "mean", "mask_columns": tuple(layer.mask_columns)}
        elif isinstance(layer, FullSummary):
            facts |= {"summary": "full"}
        elif isinstance(layer, keras.layers.Dropout):
            facts |= {"dropout": layer.rate}
        elif not isinstance(layer, (keras.layers.InputLayer, keras.layers.Masking)):
            raise InputError(
                f"The model has a layer {layer.name} of a kind that is not ours.", "Train it with mortcond."
            )
    _, hours, features = model.input_shape
    return Network(model.name, features, hours, tuple(recurrent), tuple(dense), **facts)


def load(directory: Path) -> Network:
    """Read the network of a model directory from its `model.keras`.

    Raises InputError where the file is missing or no model of ours.
    """
    path = directory / KERAS_FILE
    if not path.is_file():
        raise InputError(f"{directory} has no {KERAS_FILE}.", "Name a model directory that mortcond wrote.")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises nearly anything on a broken file
        raise InputError(f"{path} is no Keras model that can be read ({error}).", "Train the model again.") from None
    return from_keras(model)


def _recurrent(network: Network, index: int) -> keras.layers.Layer:
    layer, last = network.recurrent[index], index == len(network.recurrent) - 1
    common = {"return_sequences": not last, "name": f"recurrent_{index}"}
    if isinstance(layer, LSTMLayer):
        return keras.layers.LSTM(layer.units, **common)
    return HiddenLSTM(layer.units, [[weights.shape[1] for weights in gate.hidden] for gate in layer.gates], **common)


def _weights(layer: LSTMLayer | HiddenLSTMLayer | DenseLayer) -> list[np.ndarray]:
    """Return a layer's arrays in the order of Keras' `get_weights`."""
    if isinstance(layer, LSTMLayer):
        return [layer.kernel, layer.recurrent_kernel, layer.bias]
    if isinstance(layer, DenseLayer):
        return [layer.kernel, layer.bias]
    first = np.concatenate([gate.hidden[0] for gate in layer.gates], axis=1)
    deeper = [weights for gate in layer.gates for weights in gate.hidden[1:]]
    output = np.concatenate([gate.output for gate in layer.gates], axis=0)
    return [
        first[: layer.inputs],
        first[layer.inputs :],
        *deeper,
        output,
        np.concatenate([g.bias for g in layer.gates]),
    ]


def _hidden_layer(cell) -> HiddenLSTMLayer:
    first = np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()], axis=0)
    hidden = np.split(first, np.cumsum([widths[0] for widths in cell.hidden_widths])[:3], axis=1)
    output = np.split(cell.hidden_kernel.numpy(), np.cumsum([widths[-1] for widths in cell.hidden_widths])[:3], axis=0)
    bias = np.split(cell.bias.numpy(), 4)
    deeper = [tuple(kernel.numpy() for kernel in kernels) for kernels in cell.deeper_kernels]
    gates = [Gate((hidden[g], *deeper[g]), output[g], bias[g]) for g in range(4)]
    return HiddenLSTMLayer(tuple(gates))
