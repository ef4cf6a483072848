"""A `.tflite` file whose risks are moved on the logit scale, its weights as they were to the last bit.

Comes in: the bytes of a file of ours, an intercept and a slope. Goes out: the bytes of a file, without metadata, that
takes the logit through one more dense layer, of one weight and one bias. In the last layer itself the move would have
to be rounded as its weights are, in 8 bits by more than it is worth.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.core.errors import InputError
from mortcond.deploy import ops
from mortcond.deploy.graph import TYPES, Blocks, Graph, Operation, Quantization, Subgraph, Tensor

NAME = "level"  # of the layer, with its number: a file may be moved more than once
DTYPES = {number: name for name, number in TYPES.items()}


def moved(data: bytes, intercept: float, slope: float, told: dict[str, Any] | None, name: str) -> tuple[bytes, Any]:
    """Return a file with new risk = sigmoid(intercept + slope logit(risk)), and the outline of its network.

    Parameters
    ----------
    told
        The outline of the file's network, see `deploy.outline`; None: it tells none.
    name
        The file's, for messages.

    Raises
    ------
    InputError
        The file is not built as ours are.
    """
    try:
        graph = read(data)
        _insert(graph.subgraphs[0], _code(graph, "LOGISTIC"), _code(graph, "ADD"), intercept, slope)
        return graph.to_bytes(), told and _outline(told)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        remedy = "Recalibrate the model directory that it was made of, and quantize that."
        raise InputError(f"{name} is not built as the files of mortcond are ({error}).", remedy) from None


def _code(graph: Graph, operation: str) -> set[int]:
    """Return under which numbers a graph lists an operation, in whatever version."""
    number = getattr(schema.BuiltinOperator, operation)
    return {index for index, (code, _) in enumerate(graph.codes) if code == number}


def _insert(main: Subgraph, logistic: set[int], add: set[int], intercept: float, slope: float) -> None:
    """Put the layer before the operation that makes a risk of a logit."""
    (risk,), makers = main.outputs, {operation.outputs[0]: operation for operation in main.operations}
    last = makers[risk]
    if last.code in add:  # a risk of NaN where an input is: see `weights.never_from_nan`
        last = makers[last.inputs[0]]
    if last.code not in logistic:
        raise ValueError("it does not end with a logit")
    place, before = main.operations.index(last), len(main.operations)
    weights = (main.constant(np.array(values, np.float32)) for values in ([[slope]], [intercept]))
    logit = ops.linear(main, last.inputs[0], *weights)
    added = main.operations[before:]
    main.operations[before:] = []
    main.operations[place : place + 1] = [*added, replace(last, inputs=(logit,))]


def _outline(told: dict[str, Any]) -> dict[str, Any]:
    """Return the outline of the network with the layer behind its last one, which then gives the logit."""
    *others, last = told["nodes"]
    name, kind, inputs, arrays, config, *rest = [*last, *({},) * (5 - len(last))]
    layer = [f"{NAME}.{len(others) + 1}", "dense", [name], {"kernel": [1, 1], "bias": [1]}, {"activation": "sigmoid"}]
    return told | {"nodes": [*others, [name, kind, inputs, arrays, config | {"activation": "linear"}, *rest], layer]}


def read(data: bytes) -> Graph:
    """Return the graph that a file holds, without metadata.

    Raises KeyError or AttributeError where it holds what `graph` does not write.
    """
    model, graph = schema.ModelT.InitFromPackedBuf(data, 0), Graph()
    for code in model.operatorCodes:
        graph.codes.append((max(code.deprecatedBuiltinCode, code.builtinCode), code.version))
    for number, entry in enumerate(model.subgraphs):
        graph.subgraphs.append(Subgraph(graph, number))
        graph.subgraphs[-1].tensors = [_tensor(graph, tensor, model.buffers) for tensor in entry.tensors]
        graph.subgraphs[-1].operations = [_operation(operation) for operation in entry.operators]
        graph.subgraphs[-1].inputs, graph.subgraphs[-1].outputs = _integers(entry.inputs), _integers(entry.outputs)
    (signature,) = model.signatureDefs
    ends = ([entry.name.decode() for entry in own] for own in (signature.inputs, signature.outputs))
    graph.name(*ends, signature.signatureKey.decode())
    return graph


def _integers(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def _tensor(graph: Graph, tensor: Any, buffers: list[Any]) -> Tensor:
    content = buffers[tensor.buffer].data
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    buffer = 0 if content is None else graph.buffer(bytes(bytearray(content)))
    return Tensor(DTYPES[tensor.type], tuple(_integers(shape)), buffer, _scale(tensor), _blocks(tensor))


def _scale(tensor: Any) -> Quantization | None:
    found = tensor.quantization
    if found is None or found.scale is None:
        return None
    zero_points = set(_integers(found.zeroPoint)) or {0}
    (zero_point,) = zero_points
    return Quantization(np.array(found.scale, np.float32), zero_point)


def _blocks(tensor: Any) -> Blocks | None:
    if tensor.sparsity is None:
        return None
    _, by_column, ends = tensor.sparsity.dimMetadata
    starts, columns = (np.array(part.values) for part in (by_column.arraySegments, by_column.arrayIndices))
    return Blocks(ends.denseSize, starts, columns)


def _operation(operation: Any) -> Operation:
    inputs, outputs = tuple(_integers(operation.inputs)), tuple(_integers(operation.outputs))
    return Operation(operation.opcodeIndex, inputs, outputs, operation.builtinOptions)
