"""layers: a file a layer. What a layer computes, which of its weights are channels, and how Keras says it.

Comes in: weights. Goes out: `LAYERS`, every layer by the kind that files name. A new layer is a module here and a line
in this table; everything else (walk, training, graphs, pruning, counting, saving) asks the layer.
"""

from mortcond.layers.activation import Activation
from mortcond.layers.base import GROUP_AXES, Channels, Layer, Recurrent, Slot
from mortcond.layers.columns import Columns
from mortcond.layers.concatenate import Concatenate
from mortcond.layers.dense import Dense
from mortcond.layers.dropout import Dropout
from mortcond.layers.flatten import Flatten
from mortcond.layers.gru import GRU
from mortcond.layers.hidden_lstm import HiddenLSTM
from mortcond.layers.hinges import Hinges
from mortcond.layers.hour import Hour
from mortcond.layers.lstm import LSTM
from mortcond.layers.masking import Masking
from mortcond.layers.measured import Measured
from mortcond.layers.merge import Merge
from mortcond.layers.normalisation import Normalisation
from mortcond.layers.pooling import Pooling
from mortcond.layers.summaries import FullSummary, MeasuredMean

LAYERS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (  # a line a layer
        Activation,
        Columns,
        Concatenate,
        Dense,
        Dropout,
        Flatten,
        FullSummary,
        GRU,
        HiddenLSTM,
        Hinges,
        Hour,
        LSTM,
        Masking,
        Measured,
        MeasuredMean,
        Merge,
        Normalisation,
        Pooling,
    )
}

__all__ = [
    "GROUP_AXES",
    "GRU",
    "LAYERS",
    "LSTM",
    "Activation",
    "Channels",
    "Columns",
    "Concatenate",
    "Dense",
    "Dropout",
    "Flatten",
    "FullSummary",
    "HiddenLSTM",
    "Hinges",
    "Hour",
    "Layer",
    "Masking",
    "Measured",
    "MeasuredMean",
    "Merge",
    "Normalisation",
    "Pooling",
    "Recurrent",
    "Slot",
]
