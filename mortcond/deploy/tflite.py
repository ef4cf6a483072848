"""deploy: a network as the bytes of a `.tflite` file, written without TensorFlow's converter.

Comes in: a Network, the mode, and (for int8) scaled stays of the training split. Goes out: the bytes, and the table of
what each tensor became. Builtin operations only; no state; any number of stays at a time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.deploy import recurrent, summary
from mortcond.deploy.weights import Weights
from mortcond.models.network import Network


@dataclass(frozen=True)
class Converted:
    """A `.tflite` file in memory."""

    bytes: bytes
    tensors: list[dict[str, Any]]  # for each weight: name, shape, dtype, why


def build(network: Network, mode: str = "float32", calibration: np.ndarray | None = None) -> Converted:
    """Write a network as a `.tflite` file.

    Parameters
    ----------
    network
        Any of lstm, hlstm, dnn and linear.
    mode
        float32, float16, dynamic or int8.
    calibration
        (stays, hours, features), scaled, of the training split; int8 of dense networks takes its ranges from it.
    """
    weights = Weights(mode)
    graph = (recurrent if network.recurrent else summary).build(network, weights)
    return Converted(graph.to_bytes(), weights.table)
