"""Activations by their names, those of Keras; each is said in the operations of `layers.operations`.

Comes in: a set of operations and x. Goes out: the activation of x, number by number.
"""

from collections.abc import Callable
from typing import Any

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, arXiv:1706.02515, eq. 14
GELU = 0.7978845608028654  # sqrt(2 / pi): Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2


def _negative_part(ops: Any, x: Any) -> Any:
    """Return exp(x) - 1 below zero, 0 above."""
    return ops.exp(ops.minimum(x, 0.0)) - 1.0


def _unit_interval(ops: Any, x: Any) -> Any:
    return ops.minimum(ops.maximum(x, 0.0), 1.0)


ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "linear": lambda ops, x: x,
    "sigmoid": lambda ops, x: ops.sigmoid(x),
    "tanh": lambda ops, x: ops.tanh(x),
    "relu": lambda ops, x: ops.rectify(x),
    "hard_sigmoid": lambda ops, x: _unit_interval(ops, x * (1 / 6) + 0.5),  # Keras 3
    "hard_sigmoid_keras2": lambda ops, x: _unit_interval(ops, x * 0.2 + 0.5),  # Keras 1 and 2
    "relu6": lambda ops, x: ops.minimum(ops.relu(x), 6.0),
    "leaky_relu": lambda ops, x: ops.maximum(x, x * 0.2),  # Keras 3's negative slope
    "elu": lambda ops, x: ops.relu(x) + _negative_part(ops, x),
    "selu": lambda ops, x: (ops.relu(x) + _negative_part(ops, x) * SELU_ALPHA) * SELU_SCALE,
    "exponential": lambda ops, x: ops.exp(x),
    "softplus": lambda ops, x: ops.relu(x) + ops.log(ops.exp(ops.absolute(x) * -1.0) + 1.0),
    "softsign": lambda ops, x: x / (ops.absolute(x) + 1.0),
    "silu": lambda ops, x: x * ops.sigmoid(x),
    "gelu_tanh": lambda ops, x: x * 0.5 * (ops.tanh((x + x * x * x * 0.044715) * GELU) + 1.0),
}
SYNONYMS = {"swish": "silu", None: "linear"}


def activation(ops: Any, name: str, x: Any) -> Any:
    """Return the activation of x."""
    return ACTIVATIONS[name](ops, x)


def keras_activation(name: str) -> Any:
    """Return what a Keras layer takes for an activation: its name, or a registered function where Keras 3 has none."""
    if name != "hard_sigmoid_keras2":
        return name
    from mortcond.layers.keras_layers import hard_sigmoid_keras2

    return hard_sigmoid_keras2
