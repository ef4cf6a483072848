"""What a `.tflite` file says of itself holds together: every index names something, every constant has its bytes.

Comes in: the bytes of a file that this machine did not write. Goes out: nothing, or Malformed. The interpreter trusts
a good part of this, and a file that lies about it ends the process, or changes memory that is not its own.
"""

import math

import numpy as np

from mortcond.deploy.flatbuffer import MODEL, OPERATOR, SUBGRAPH, TENSOR, Malformed, Table, metadata_entries, root

ITEM_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1, 10: 8}  # of the schema's tensor types
MOST_TENSORS, MOST_OPERATIONS = 100_000, 100_000
MOST_ELEMENTS = 1 << 28  # of one tensor, for one stay
SPARSITY = 6  # fields of the schema's Tensor, OperatorCode, Operator and Buffer
CODE = {"deprecated": 0, "builtin": 3}
OPTIONS = {"type": 3, "table": 4}
BUFFER = {"data": 0, "offset": 1, "size": 2}
SCALE, ZERO_POINT, DIMENSION = 2, 3, 6  # of its QuantizationParameters
WHILE, IF, CALL, CALL_ONCE = 119, 118, 31, 129
CALLED = {WHILE: (0, 1), IF: (0, 1), CALL: (0,), CALL_ONCE: (0,)}  # fields of their options that name a subgraph
_TABLE = """
    ADD 0 2; CONCATENATION 2 1; DEQUANTIZE 6 1; FULLY_CONNECTED 9 2; LOGISTIC 14 1; MUL 18 2; RELU 19 1; RELU6 21 1;
    RESHAPE 22 1; SOFTMAX 25 1; TANH 28 1; PAD 34 2; GATHER 36 2; TRANSPOSE 39 2; MEAN 40 2; SUB 41 2; DIV 42 2;
    STRIDED_SLICE 45 4; EXP 47 1; TOPK_V2 48 2; SPLIT 49 2; CAST 53 1; MAXIMUM 55 2; MINIMUM 57 2; LESS 58 2; NEG 59
    1; PADV2 60 3; GREATER 61 2; SELECT 64 3; SLICE 65 3; TILE 69 2; EXPAND_DIMS 70 2; EQUAL 71 2; NOT_EQUAL 72 2; SUM
    74 2; SQRT 75 1; RSQRT 76 1; SHAPE 77 1; POW 78 2; REDUCE_MAX 82 2; PACK 83 1; LOGICAL_AND 86 2; UNPACK 88 1;
    REDUCE_MIN 89 2; FILL 94 2; SQUARED_DIFFERENCE 99 2; ABS 101 1; SPLIT_V 102 3; REVERSE_V2 105 2; QUANTIZE 114 1;
    SELECT_V2 123 3; DENSIFY 124 1; BATCH_MATMUL 126 2; CUMSUM 128 2; SIGN 158 1
"""
OPERATIONS = {  # by name: number in the schema, and how many inputs its kernel reads without asking
    name: (int(number), int(inputs)) for name, number, inputs in map(str.split, _TABLE.split(";"))
}
FEWEST_INPUTS = dict(OPERATIONS.values())
SPARSE = {"order": 0, "blocks": 1, "dimensions": 2}
DIMENSION_OF_SPARSE = {"format": 0, "size": 1, "starts_type": 2, "starts": 3, "places_type": 4, "places": 5}
SPARSE_ITEMS = {1: "<i4", 2: "<u2", 3: "<u1"}  # of the schema's SparseIndexVector


def verify(data: bytes) -> None:
    """Raise Malformed where the parts of a model contradict each other."""
    model = root(data)
    buffers, graphs = model.tables(MODEL["buffers"]), model.tables(MODEL["subgraphs"])
    if not graphs:
        raise Malformed("a model without a graph")
    list(metadata_entries(model))
    sizes = [_buffer_bytes(buffer, len(data)) for buffer in buffers]
    codes = [_code(code) for code in model.tables(MODEL["operator_codes"])]
    tensors = [graph.tables(SUBGRAPH["tensors"]) for graph in graphs]
    if sum(map(len, tensors)) > MOST_TENSORS:
        raise Malformed(f"more than {MOST_TENSORS:,} tensors")
    constants = [[_verified_tensor(tensor, sizes) for tensor in own] for own in tensors]
    pairs = zip(graphs, constants, strict=True)
    _refuse_circles([_verified_graph(graph, constant, codes, len(graphs)) for graph, constant in pairs])


def _buffer_bytes(buffer: Table, whole: int) -> int:
    """Return how long a buffer is, inside the tables or behind them."""
    offset, size = buffer.number(BUFFER["offset"], "<Q"), buffer.number(BUFFER["size"], "<Q")
    if offset > 1 and (offset > whole or size > whole - offset):
        raise Malformed("a buffer that lies behind the end of the file")
    return size if offset > 1 else buffer.vector(BUFFER["data"], 1)[1]


def _code(code: Table) -> int:
    return max(code.number(CODE["deprecated"], "<b"), code.number(CODE["builtin"]))


def _verified_tensor(tensor: Table, sizes: list[int]) -> bool:
    """Return whether a tensor is a constant; Malformed where it is not as long as it should be."""
    index, shape = tensor.number(TENSOR["buffer"], "<I"), tensor.integers(TENSOR["shape"])
    if index >= len(sizes):
        raise Malformed("a tensor in a buffer that does not exist")
    if any(count < 0 for count in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise Malformed(f"a tensor of shape {shape}")
    _verify_quantization(tensor.table(TENSOR["quantization"]), shape)
    item = ITEM_BYTES.get(tensor.number(TENSOR["type"], "<b"))
    sparsity = tensor.table(SPARSITY)
    stored = math.prod(shape) if sparsity is None else _stored(sparsity, shape)
    if sizes[index] and item is not None and sizes[index] != item * stored:
        raise Malformed(f"a constant of shape {shape} in {sizes[index]} bytes")
    return bool(sizes[index])


def _stored(sparsity: Table, shape: tuple[int, ...]) -> int:
    """Return how many numbers a matrix of stored blocks holds (`graph.Blocks`); Malformed where they do not fit it."""
    dimensions = sparsity.tables(SPARSE["dimensions"])
    known = sparsity.integers(SPARSE["order"]) == (0, 1, 2) and sparsity.integers(SPARSE["blocks"]) == (1,)
    if len(shape) != 2 or not known or [d.number(DIMENSION_OF_SPARSE["format"], "<b") for d in dimensions] != [0, 1, 0]:
        raise Malformed("a sparse matrix of a form that is not known")
    rows, width = (dimensions[index].number(DIMENSION_OF_SPARSE["size"]) for index in (0, 2))
    starts, places = (_sparse_items(dimensions[1], name) for name in ("starts", "places"))
    whole = rows == shape[0] and 0 < width <= shape[1] and len(starts) == rows + 1
    if not whole or starts[0] != 0 or starts[-1] != len(places) or (np.diff(starts) < 0).any():
        raise Malformed("a sparse matrix whose rows do not fit together")
    if ((places < 0) | ((places + 1) * width > shape[1])).any():
        raise Malformed("a sparse matrix with a block beside it")
    return len(places) * width


def _sparse_items(dimension: Table, name: str) -> np.ndarray:
    """Return (items,) int64."""
    kind = SPARSE_ITEMS.get(dimension.number(DIMENSION_OF_SPARSE[f"{name}_type"], "<B"))
    vector = dimension.table(DIMENSION_OF_SPARSE[name])
    if kind is None or vector is None:
        raise Malformed("a sparse matrix without its places")
    start, count = vector.vector(0, np.dtype(kind).itemsize)
    return np.frombuffer(vector.data, kind, count, start).astype(np.int64)


def _verify_quantization(quantization: Table | None, shape: tuple[int, ...]) -> None:
    if quantization is None:
        return
    scales, zeros = quantization.vector(SCALE, 4)[1], quantization.vector(ZERO_POINT, 8)[1]
    dimension = quantization.number(DIMENSION)
    if scales > 1 and not (0 <= dimension < len(shape) and scales == shape[dimension]):
        raise Malformed(f"{scales} scales along axis {dimension} of a tensor of shape {shape}")
    if zeros not in (0, 1, scales):
        raise Malformed(f"{zeros} zero points for {scales} scales")


def _verified_graph(graph: Table, constant: list[bool], codes: list[int], graphs: int) -> set[int]:
    """Return the subgraphs that a graph calls; Malformed where an operation names what does not exist."""
    count, called = len(constant), set()
    for name in ("inputs", "outputs"):
        if any(not 0 <= index < count for index in graph.integers(SUBGRAPH[name])):
            raise Malformed(f"{name} that do not exist")
    if any(constant[index] for index in graph.integers(SUBGRAPH["inputs"])):
        raise Malformed("an input that is a constant")
    operations = graph.tables(SUBGRAPH["operators"])
    if len(operations) > MOST_OPERATIONS:
        raise Malformed(f"more than {MOST_OPERATIONS:,} operations")
    for operation in operations:
        code = operation.number(OPERATOR["opcode_index"], "<I")
        if code >= len(codes):
            raise Malformed("an operation of a kind that the file does not list")
        _verify_ends(operation, codes[code], constant)
        called |= _called(operation, codes[code], graphs)
    return called


def _verify_ends(operation: Table, code: int, constant: list[bool]) -> None:
    inputs, outputs = operation.integers(OPERATOR["inputs"]), operation.integers(OPERATOR["outputs"])
    if any(not -1 <= index < len(constant) for index in inputs):  # -1: an optional input that is left out
        raise Malformed("an operation whose input does not exist")
    if any(not 0 <= index < len(constant) for index in outputs):
        raise Malformed("an operation whose output does not exist")
    if any(constant[index] for index in outputs):
        raise Malformed("an operation that writes into a constant")
    needed = FEWEST_INPUTS.get(code, 0)
    if len(inputs) < needed or -1 in inputs[: min(needed, 2)]:
        raise Malformed(f"an operation with {len(inputs)} inputs that needs {needed}")
    if needed and not outputs:
        raise Malformed("an operation without an output")


def _called(operation: Table, code: int, graphs: int) -> set[int]:
    options = operation.table(OPTIONS["table"]) if code in CALLED else None
    if code in CALLED and options is None:
        raise Malformed("a loop, branch or call that says of nothing what it calls")
    found = {options.number(field) for field in CALLED.get(code, ())}
    if any(not 0 < index < graphs for index in found):
        raise Malformed("a call of a subgraph that does not exist")
    return found


def _refuse_circles(called: list[set[int]]) -> None:
    """Raise Malformed where a subgraph calls itself, over however many others."""
    reached = [set(direct) for direct in called]
    for _ in called:
        for index, below in enumerate(reached):
            for other in list(below):
                below |= reached[other]
            if index in below:
                raise Malformed("a subgraph that calls itself")
