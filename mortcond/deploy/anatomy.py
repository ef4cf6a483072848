"""The anatomy of a `.tflite` file: its tensors and operations, and what its bytes go on. No interpreter is needed.

Comes in: the bytes of any `.tflite` file, ours or not. Goes out: tables of plain numbers and names.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond.deploy.flatbuffer import MODEL, OPERATOR, SUBGRAPH, TENSOR, Malformed, Table, metadata_entries, root

QUANTIZATION_SCALE = 2  # fields of the schema's QuantizationParameters
OPERATOR_CODE = {"deprecated": 0, "custom": 1, "builtin": 3}
NUMPY_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}
SMALLEST_WEIGHT = 16  # numbers; smaller constants are axes, shapes and the like


@dataclass(frozen=True)
class Anatomy:
    """What a `.tflite` file is made of."""

    inputs: list[dict[str, Any]]  # name, shape (-1: any), dtype
    outputs: list[dict[str, Any]]
    weights: list[dict[str, Any]]  # shape, dtype, bytes, scales: constants of the graph, largest first
    operations: dict[str, int]  # how often each is called for
    subgraphs: int
    bytes: dict[str, int]  # total, weights, names, metadata, graph (all that is left: tables, options, padding)


def anatomy(data: bytes) -> Anatomy:
    """Return what a file is made of.

    Raises Malformed where its bytes are no model.
    """
    model = root(data)
    buffers = model.tables(MODEL["buffers"])
    subgraphs = model.tables(MODEL["subgraphs"])
    if not subgraphs:
        raise Malformed("a model without a graph")
    main, tensors = subgraphs[0], [graph.tables(SUBGRAPH["tensors"]) for graph in subgraphs]
    ends = {
        name: [_end(tensors[0], index) for index in main.integers(SUBGRAPH[name])] for name in ("inputs", "outputs")
    }
    sizes = {"total": len(data), "weights": sum(buffer.vector(0, 1)[1] for buffer in buffers)}
    sizes["metadata"] = sum(buffer.vector(0, 1)[1] for _, buffer in metadata_entries(model))
    sizes["weights"] -= sizes["metadata"]
    sizes["names"] = sum(tensor.vector(TENSOR["name"], 1)[1] for graph in tensors for tensor in graph)
    sizes["graph"] = len(data) - sizes["weights"] - sizes["metadata"] - sizes["names"]
    weights = _weights(tensors, buffers)
    return Anatomy(
        **ends, weights=weights, operations=_operations(model, subgraphs), subgraphs=len(subgraphs), bytes=sizes
    )


def _end(tensors: list[Table], index: int) -> dict[str, Any]:
    if not 0 <= index < len(tensors):
        raise Malformed("an input or output that does not exist")
    tensor = tensors[index]
    shape = tensor.integers(TENSOR["shape_signature"]) or tensor.integers(TENSOR["shape"])
    return {"name": tensor.text(TENSOR["name"]), "shape": list(shape), "dtype": _dtype(tensor)}


def _dtype(tensor: Table) -> str:
    number = tensor.number(TENSOR["type"], "<b")
    return NUMPY_TYPES.get(number, f"type {number}")


def _weights(graphs: list[list[Table]], buffers: list[Table]) -> list[dict[str, Any]]:
    found = {}
    for tensors in graphs:
        for tensor in tensors:
            index = tensor.number(TENSOR["buffer"], "<I")
            if index >= len(buffers):
                raise Malformed("a tensor in a buffer that does not exist")
            size, shape = buffers[index].vector(0, 1)[1], tensor.integers(TENSOR["shape"])
            if size and np.prod(shape, dtype=np.int64) >= SMALLEST_WEIGHT and _dtype(tensor) not in ("int32", "int64"):
                quantization = tensor.table(TENSOR["quantization"])
                scales = quantization.vector(QUANTIZATION_SCALE, 4)[1] if quantization else 0
                found[index] = {"shape": list(shape), "dtype": _dtype(tensor), "bytes": size, "scales": scales}
    return sorted(found.values(), key=lambda weight: -weight["bytes"])


def _operations(model: Table, subgraphs: list[Table]) -> dict[str, int]:
    codes = [_code(code) for code in model.tables(MODEL["operator_codes"])]
    counts: dict[str, int] = {}
    for graph in subgraphs:
        for operation in graph.tables(SUBGRAPH["operators"]):
            index = operation.number(OPERATOR["opcode_index"], "<I")
            if index >= len(codes):
                raise Malformed("an operation of a kind that the file does not list")
            counts[codes[index]] = counts.get(codes[index], 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _code(code: Table) -> str:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    number = max(code.number(OPERATOR_CODE["deprecated"], "<b"), code.number(OPERATOR_CODE["builtin"]))
    names = {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}
    name = names.get(number, f"operation {number}")
    return f"CUSTOM {code.text(OPERATOR_CODE['custom'])}" if name == "CUSTOM" else name
