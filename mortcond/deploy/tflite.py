"""deploy: a network as the bytes of a `.tflite` file, written without TensorFlow's converter.

Comes in: a Network and the mode. Goes out: the bytes, and the table of what each tensor became. Builtin operations
only; no state; any number of stays at a time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core.errors import UsageError
from mortcond.deploy import integer, recurrent, summary
from mortcond.deploy.equalise import equalise
from mortcond.deploy.moments import second_moments
from mortcond.deploy.weights import EIGHT_BITS, Weights
from mortcond.models.network import Network


@dataclass(frozen=True)
class Converted:
    """A `.tflite` file in memory."""

    bytes: bytes
    tensors: list[dict[str, Any]]  # for each weight: name, shape, dtype, why


def build(network: Network, mode: str = "float32", stays: np.ndarray | None = None) -> Converted:
    """Write a network as a `.tflite` file.

    Parameters
    ----------
    network
        Any of lstm, hlstm, dnn and linear.
    mode
        float32; float16: weights of 16 bits; dynamic: weights of 8 bits and products in 8 bits, for which each row of
        activations is rounded as it comes; int8: weights and biases of 8 bits, products in float32; integer: weights
        and activations of 8 bits (see `integer`), for a dnn alone.
    stays
        (stays, hours, features), scaled, of the training split: 8-bit weights are rounded so that the products with
        these change least (see `rounding`), and `integer` learns its ranges from them. None: to the nearest step, and
        ranges of no meaning, which is enough to see the size of a file.

    Raises
    ------
    UsageError
        The network cannot be had in this mode.
    """
    if mode == "integer" and network.arch != "dnn":
        raise UsageError(
            f"There is no {mode} form of {network.arch}: "
            + ("its states would be rounded anew each hour." if network.recurrent else "it has no hidden layer."),
            "Choose int8, or dynamic, which multiplies in 8 bits.",
        )
    weights = Weights(mode)
    if mode in EIGHT_BITS:
        network = equalise(network)
        weights.moments = {} if stays is None else second_moments(network, stays)
    if mode == "integer":
        graph = summary.build(network, weights, integer.learn(network, stays))
    else:
        graph = (recurrent if network.recurrent else summary).build(network, weights)
    return Converted(graph.to_bytes(), weights.table)
