"""Untrained networks: the architectures of the paper, with Keras' own initial weights.

Comes in: an architecture and its widths. Goes out: a Network to train.
"""

from dataclasses import dataclass

import numpy as np

from mortcond.core.errors import UsageError
from mortcond.core.tensorflow import keras
from mortcond.models.keras_network import from_keras, to_keras
from mortcond.models.network import DenseLayer, Gate, HiddenLSTMLayer, LSTMLayer, Network

DROPOUT = {"lstm": 0.3, "hlstm": 0.3, "dnn": 0.5}  # paper, sections II-E to II-G
SUMMARIES = ("mean", "full")
DNN_WIDTHS = (256, 128, 64)  # paper, section II-G


@dataclass(frozen=True)
class Architecture:
    """The shape of a network; None stands for the paper's own value."""

    arch: str  # lstm, hlstm or dnn
    width: int | None = None  # LSTM units of each layer (16); dnn: the first layer's (256), then halved
    layers: int | None = None  # recurrent layers (lstm 2, hlstm 1) or hidden dense layers (dnn 3)
    hidden_width: int | None = None  # hidden units of each gate (hlstm): as wide as the LSTM
    hidden_depth: int | None = None  # hidden layers of each gate (hlstm): 1
    summary: str | None = None  # what dnn sees of a stay: mean or full
    dropout: float | None = None  # before the output


def initial(architecture: Architecture, features: int, hours: int, mask_columns: tuple[int, ...], seed: int) -> Network:
    """Return an untrained network: glorot uniform kernels, orthogonal recurrent kernels, forget bias 1, as in Keras.

    On 76 features the paper's own have 8,081 (lstm), 6,993 (hlstm) and 60,929 (dnn) parameters.

    Raises UsageError where an option does not belong to the architecture, or has no possible value.
    """
    _refuse_strangers(architecture)
    _refuse_impossible(architecture)
    dropout = DROPOUT[architecture.arch] if architecture.dropout is None else architecture.dropout
    if architecture.arch == "dnn":
        empty = _dense_shape(architecture, features, hours, mask_columns, dropout)
    else:
        empty = _recurrent_shape(architecture, features, hours, dropout)
    keras.utils.set_random_seed(seed)
    return from_keras(keras.models.clone_model(to_keras(empty)))


def _refuse_strangers(architecture: Architecture) -> None:
    allowed = {"lstm": {"width", "layers"}, "dnn": {"width", "layers", "summary"}}
    allowed["hlstm"] = {"width", "layers", "hidden_width", "hidden_depth"}
    for name in ("width", "layers", "hidden_width", "hidden_depth", "summary"):
        if getattr(architecture, name) is not None and name not in allowed[architecture.arch]:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is no option of {architecture.arch}.", f"Leave out --{option}.")


def _refuse_impossible(architecture: Architecture) -> None:
    for name in ("width", "layers", "hidden_width", "hidden_depth"):
        value = getattr(architecture, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {value}, not at least 1.", "Change or leave it out.")
    if architecture.summary not in (None, *SUMMARIES):
        raise UsageError(f"--summary is {architecture.summary!r}.", f"Use one of {', '.join(SUMMARIES)}.")
    if architecture.dropout is not None and not 0 <= architecture.dropout < 1:
        raise UsageError(f"--dropout is {architecture.dropout}, not from 0 to below 1.", "Change or leave it out.")


def _recurrent_shape(a: Architecture, features: int, hours: int, dropout: float) -> Network:
    width, layers = a.width or 16, a.layers or (2 if a.arch == "lstm" else 1)
    make = _lstm if a.arch == "lstm" else lambda inputs, units: _hidden_lstm(a, inputs, units)
    recurrent = tuple(make(features if index == 0 else width, width) for index in range(layers))
    return Network(a.arch, features, hours, recurrent, (_dense(width, 1, "sigmoid"),), dropout=dropout)


def _dense_shape(a: Architecture, features: int, hours: int, mask_columns: tuple[int, ...], dropout: float) -> Network:
    summary = a.summary or "mean"
    widths = [max((a.width or DNN_WIDTHS[0]) >> index, 1) for index in range(a.layers or len(DNN_WIDTHS))]
    sizes = [features * (6 if summary == "full" else 1), *widths]
    hidden = tuple(_dense(source, target, "relu") for source, target in zip(sizes, widths, strict=False))
    output = _dense(sizes[-1], 1, "sigmoid")
    columns = mask_columns if summary == "mean" else ()
    return Network("dnn", features, hours, (), (*hidden, output), summary, columns, dropout)


def _lstm(inputs: int, units: int) -> LSTMLayer:
    return LSTMLayer(_zeros(inputs, 4 * units), _zeros(units, 4 * units), _zeros(4 * units))


def _hidden_lstm(a: Architecture, inputs: int, units: int) -> HiddenLSTMLayer:
    width, depth = a.hidden_width or units, a.hidden_depth or 1
    hidden = (_zeros(inputs + units, width), *(_zeros(width, width) for _ in range(depth - 1)))
    return HiddenLSTMLayer(tuple(Gate(hidden, _zeros(width, units), _zeros(units)) for _ in range(4)))


def _dense(inputs: int, units: int, activation: str) -> DenseLayer:
    return DenseLayer(_zeros(inputs, units), _zeros(units), activation)


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)
