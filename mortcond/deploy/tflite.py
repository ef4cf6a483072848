"""deploy: a network as the bytes of a `.tflite` file, written without TensorFlow's converter.

Comes in: a Network and the mode. Goes out: the bytes, and the table of what each tensor became. Builtin operations
only; no state; any number of stays at a time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.core.errors import UsageError
from mortcond.deploy import integer, loops
from mortcond.deploy.equalise import equalise
from mortcond.deploy.graph import Graph
from mortcond.deploy.means import Mean
from mortcond.deploy.moments import second_moments
from mortcond.deploy.operations import LiteRTOperations, Named, Value
from mortcond.deploy.outline import outline
from mortcond.deploy.weights import EIGHT_BITS, WITH_8_BIT_INPUTS, Weights
from mortcond.network import INPUT, Network, Node
from mortcond.stages import Loop, stages


@dataclass(frozen=True)
class Converted:
    """A `.tflite` file in memory."""

    bytes: bytes
    tensors: list[dict[str, Any]]  # for each weight: name, shape, dtype, why
    outline: dict[str, Any]  # of the network, by which its weights are found again


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
    if mode == "integer" and not integer.fits(network):
        why = "its states would be rounded anew each hour" if network.recurrent else "it has no hidden layer"
        raise UsageError(
            f"There is no {mode} form of {network.arch}: {why}.", "Choose int8, or dynamic, which multiplies in 8 bits."
        )
    weights = Weights(mode)
    if mode in EIGHT_BITS:
        network = equalise(network)
        weights.moments = {} if stays is None else second_moments(network, stays)
    learned = integer.learn(network, stays) if mode == "integer" else None
    return Converted(_graph(network, weights, learned).to_bytes(), weights.table, outline(network))


def written(network: Network, weights: Weights) -> bytes:
    """Return a file of a network as it is, whose weights are stored by `weights`."""
    return _graph(network, weights, None).to_bytes()


def _graph(network: Network, weights: Weights, learned: integer.Ranges | None) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1); in whole numbers where `learned`."""
    graph = Graph()
    main = graph.subgraph()
    operations = LiteRTOperations(main, weights, network.hours)
    operations.stays = main.input("float32", (-1, network.hours, network.features))
    values: dict[str, Any] = {INPUT: Value(operations, operations.stays, network.features, 1, 3)}
    late = _after_tail(network) if learned is not None else {network.output.name}
    for stage in stages(network):
        if isinstance(stage, Loop):
            values |= loops.add(operations, network, stage, values)
        elif stage.node.name not in late:
            values[stage.node.name] = _forward(operations, network, stage.node, values)
    if learned is None:
        risk = _risk(operations, network.output, values)
    else:
        source = operations.plain(values[network.tail[0].inputs[0]])
        risk = integer.dense(main, network, weights, source.tensor, learned)
    if weights.mode in WITH_8_BIT_INPUTS:
        told_by = operations.input_sums() if network.recurrent else values[network.tail[0].inputs[0]].tensor
        risk = weights.never_from_nan(main, risk, told_by)
    main.outputs = [risk]
    graph.name(["stays"], ["risk"])
    return graph


def _after_tail(network: Network) -> set[str]:
    """Return the dense layers at the end and what stands between them."""
    late = {node.name for node in network.tail}
    for node in network.nodes:
        if late.intersection(node.inputs):
            late.add(node.name)
    return late


def _forward(operations: LiteRTOperations, network: Network, node: Node, values: dict[str, Any]) -> Any:
    value = node.layer.forward(operations, _named(node), *(values[name] for name in node.inputs))
    readers = network.readers(node.name)
    joins_bias = operations.weights.mode not in WITH_8_BIT_INPUTS and len(readers) == 1 and readers[0].layer.affine
    return operations.plain(value) if isinstance(value, Mean) and not joins_bias else value


def _risk(operations: LiteRTOperations, output: Node, values: dict[str, Any]) -> int:
    sums = output.layer.sums(operations, _named(output), *(values[name] for name in output.inputs))
    return operations.graph.add("LOGISTIC", [operations.plain(sums).tensor], shape=(-1, 1))


def _named(node: Node) -> dict[str, Named]:
    return {name: Named(f"{node.name}.{name}", array) for name, array in node.layer.arrays().items()}
