"""The graph of recurrent networks: all layers step inside one loop over the hours that carries only their states.

Comes in: a Network with LSTM or hidden-layer LSTM layers. Goes out: its LiteRT graph, stateless, any number of stays.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import ops
from mortcond.deploy.graph import Graph, Subgraph, Tensor
from mortcond.deploy.weights import Weights
from mortcond.models.network import GATES, LSTMLayer, Network


def build(network: Network, weights: Weights) -> Graph:
    """Return the graph from `stays` (stays, hours, features) to `risk` (stays, 1)."""
    graph = Graph()
    main, condition, body = graph.subgraph(), graph.subgraph(), graph.subgraph()
    stays = main.input("float32", (-1, network.hours, network.features))
    projected = _project(main, network.recurrent[0], stays, weights)
    mask = _mask(main, stays)
    units = [layer.units for layer in network.recurrent]
    states = [ops.zeros(main, stays, width) for width in units for _ in range(2)]
    hour = main.constant(np.zeros((), np.int32))
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    carried = [hour, projected, mask, *states]
    results = main.add("WHILE", carried, count=len(carried), options=options)
    main.tensors[results[0]] = Tensor("int32")
    for subgraph in (condition, body):
        subgraph.input("int32", ())
        subgraph.input("float32", (-1, network.hours, -1))
        subgraph.input("float32", (-1, network.hours, 1))
        for width in units:
            subgraph.input("float32", (-1, width))
            subgraph.input("float32", (-1, width))
    limit = condition.constant(np.array(network.hours, np.int32))
    condition.outputs = [condition.add("LESS", [condition.inputs[0], limit], "bool", options=schema.LessOptionsT())]
    _body(body, network, weights)
    state = results[-2]
    for index, layer in enumerate(network.dense):
        state = dense(main, f"dense.{index}", layer, state, weights)
    main.outputs = [state]
    graph.name(["stays"], ["risk"])
    return graph


def dense(graph: Subgraph, name: str, layer, x: int, weights: Weights) -> int:
    kernel = weights.matrix(graph, f"{name}.kernel", layer.kernel)
    bias = weights.bias(graph, f"{name}.bias", layer.bias)
    x = ops.linear(graph, x, kernel, bias, relu=layer.activation == "relu")
    return x if layer.activation == "relu" else graph.add("LOGISTIC", [x], shape=(-1, layer.bias.size))


def _mask(graph: Subgraph, stays: int) -> int:
    largest = ops.reduce(graph, "REDUCE_MAX", graph.add("ABS", [stays]), 2, keep=True)
    zero = graph.constant(np.zeros((), np.float32))
    measured = graph.add("GREATER", [largest, zero], "bool", options=schema.GreaterOptionsT())
    options = schema.CastOptionsT(inDataType=schema.TensorType.BOOL, outDataType=schema.TensorType.FLOAT32)
    return graph.add("CAST", [measured], options=options)


def _project(graph: Subgraph, layer, stays: int, weights: Weights) -> int:
    if isinstance(layer, LSTMLayer):
        kernel = weights.matrix(graph, "recurrent.0.kernel", layer.kernel)
        return ops.linear(graph, stays, kernel, weights.bias(graph, "recurrent.0.bias", layer.bias))
    hidden = np.concatenate([gate.hidden[0][: layer.inputs] for gate in layer.gates], axis=1)
    none = graph.constant(np.zeros(hidden.shape[1], np.float32))
    return ops.linear(graph, stays, weights.matrix(graph, "recurrent.0.hidden.x", hidden), none)


def _body(body: Subgraph, network: Network, weights: Weights) -> None:
    hour, projected, mask, *states = body.inputs
    x = ops.gather(body, projected, hour, 1)
    m = ops.gather(body, mask, hour, 1)
    outputs = []
    for index, layer in enumerate(network.recurrent):
        h, c = states[2 * index : 2 * index + 2]
        gates = _lstm_gates if isinstance(layer, LSTMLayer) else _hidden_gates
        new_h, new_c = _cell(body, *gates(body, index, layer, x, h, weights), c)
        x, new_c = _advance(body, h, new_h, m), _advance(body, c, new_c, m)
        outputs += [x, new_c]
    one = body.constant(np.array(1, np.int32))
    body.outputs = [ops.add(body, hour, one, "int32"), projected, mask, *outputs]


def _advance(body: Subgraph, old: int, new: int, m: int) -> int:
    return ops.add(body, old, ops.multiply(body, ops.subtract(body, new, old), m))


def _cell(body: Subgraph, i: int, f: int, g: int, o: int, c: int) -> tuple[int, int]:
    i, f, g, o = (body.add(name, [x]) for name, x in zip(("LOGISTIC", "LOGISTIC", "TANH", "LOGISTIC"), (i, f, g, o)))
    c = ops.add(body, ops.multiply(body, f, c), ops.multiply(body, i, g))
    return ops.multiply(body, o, body.add("TANH", [c])), c


def _lstm_gates(body: Subgraph, index: int, layer: LSTMLayer, x: int, h: int, weights: Weights) -> list[int]:
    name = f"recurrent.{index}"
    if index:
        kernel = weights.matrix(body, f"{name}.kernel", layer.kernel)
        x = ops.linear(body, x, kernel, weights.bias(body, f"{name}.bias", layer.bias))
    z = ops.add(body, x, ops.linear(body, h, weights.matrix(body, f"{name}.recurrent_kernel", layer.recurrent_kernel)))
    return ops.split(body, z, [layer.units] * 4, 1)


def _hidden_gates(body: Subgraph, index: int, layer, x: int, h: int, weights: Weights) -> list[int]:
    name = f"recurrent.{index}"
    if index:
        first = np.concatenate([gate.hidden[0][: layer.inputs] for gate in layer.gates], axis=1)
        x = ops.linear(body, x, weights.matrix(body, f"{name}.hidden.x", first))
    first = np.concatenate([gate.hidden[0][layer.inputs :] for gate in layer.gates], axis=1)
    z = ops.add(body, x, ops.linear(body, h, weights.matrix(body, f"{name}.hidden.h", first)))
    hidden = ops.split(body, body.add("RELU", [z]), [gate.hidden[0].shape[1] for gate in layer.gates], 1)
    outputs = []
    for gate_name, gate, value in zip(GATES, layer.gates, hidden, strict=True):
        for depth, matrix in enumerate(gate.hidden[1:], 1):
            kernel = weights.matrix(body, f"{name}.{gate_name}.hidden.{depth}", matrix)
            value = ops.linear(body, value, kernel, relu=True)
        kernel = weights.matrix(body, f"{name}.{gate_name}.output", gate.output)
        outputs.append(ops.linear(body, value, kernel, weights.bias(body, f"{name}.{gate_name}.bias", gate.bias)))
    return outputs
