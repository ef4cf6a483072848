"""Graphs of LiteRT operations, written straight to the flatbuffer that a `.tflite` file is. No TensorFlow.

Comes in: tensors and operations, added one by one by the layers (`operations`, `loops`).
Goes out: the bytes of a model, without names that nobody reads and with every equal buffer, vector and record written
once: the graph around 8,000 weights takes 2 KB in place of the converter's 10.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "bool": schema.TensorType.BOOL,
}
VERSION = 3  # of the .tflite schema
ALIGNMENT = 16  # bytes, of each buffer: what the schema asks for
SMALL = 16  # bytes, up to which a buffer is aligned as its numbers only


@dataclass(frozen=True)
class Quantization:
    """What an int8 tensor stands for: `scale * (stored - zero_point)`, one scale or one a row of the first axis."""

    scale: np.ndarray  # (1,) or (rows,) float32
    zero_point: int = 0


@dataclass(frozen=True)
class Blocks:
    """Which blocks of a matrix are stored; the others are zero. A block is one row high and `width` columns wide."""

    width: int
    starts: np.ndarray  # (rows + 1,) uint8 or uint16: where in `columns` each row begins
    columns: np.ndarray  # (blocks,) uint8 or uint16: for each stored block, which of its row it is


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph."""

    dtype: str
    shape: tuple[int, ...] = ()  # -1 where it is known only at run time
    buffer: int = 0  # 0: no constant
    quantization: Quantization | None = None
    blocks: Blocks | None = None


@dataclass(frozen=True)
class Operation:
    """One operation of a subgraph; tensors by their index."""

    code: int  # index in the graph's list of operation codes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = None  # an options object of the schema


@dataclass
class Subgraph:
    """One subgraph: the main one, or the condition or body of a loop."""

    graph: "Graph"
    number: int
    tensors: list[Tensor] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    constants: dict[tuple, int] = field(default_factory=dict)
    known: dict[tuple, int] = field(default_factory=dict)  # where an operation on the same tensors stands already

    def input(self, dtype: str, shape: tuple[int, ...]) -> int:
        """Add an input; -1 in `shape` where its length is known only at run time."""
        self.inputs.append(self._add(Tensor(dtype, shape)))
        return self.inputs[-1]

    def constant(self, array: np.ndarray, quantization: Quantization | None = None) -> int:
        """Add a constant; the same one twice is stored once."""
        array = np.asarray(array, order="C")
        buffer = self.graph.buffer(array.tobytes())
        scale = quantization.scale.tobytes() if quantization else None
        key = (buffer, str(array.dtype), array.shape, scale)
        if key not in self.constants:
            self.constants[key] = self._add(Tensor(str(array.dtype), array.shape, buffer, quantization))
        return self.constants[key]

    def sparse(self, stored: np.ndarray, shape: tuple[int, int], blocks: Blocks, quantization) -> int:
        """Add a constant matrix of which only some blocks are stored; the runtime fills it up once, when it loads."""
        dtype = str(stored.dtype)
        tensor = self._add(Tensor(dtype, shape, self.graph.buffer(stored.tobytes()), quantization, blocks))
        return self.add("DENSIFY", [tensor], dtype, quantization=quantization, shape=shape)

    def integers(self, *values: int) -> int:
        """Add a constant vector of int32."""
        return self.constant(np.array(values, np.int32))

    def add(
        self,
        operation: str,
        inputs: list[int],
        dtype: str = "float32",
        *,
        count: int = 1,
        version: int = 1,
        quantization: Quantization | None = None,
        shape: tuple[int, ...] = (),
        options: Any = None,
    ) -> Any:
        """Add an operation with `count` outputs of one type; return the output's index, or all where there are more.

        Shapes are left to the interpreter, which works them out from the inputs' when it allocates. The same operation
        on the same tensors is there once.
        """
        key = (operation, version, tuple(inputs), dtype, count, shape, _plain(options), id(quantization))
        at = self.known.setdefault(key, len(self.operations))
        if at < len(self.operations) and _plain(self.operations[at].options) == _plain(options):
            outputs = self.operations[at].outputs
            return outputs[0] if count == 1 else outputs
        outputs = tuple(self._add(Tensor(dtype, shape, 0, quantization)) for _ in range(count))
        self.operations.append(Operation(self.graph.code(operation, version), tuple(inputs), outputs, options))
        return outputs[0] if count == 1 else outputs

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _plain(options: Any) -> Any:
    """Return an options object as something that can be compared."""
    return None if options is None else (type(options).__name__, repr(sorted(vars(options).items())))


class Graph:
    """A model under construction: subgraphs that share buffers and operation codes."""

    def __init__(self):
        self.buffers: list[bytes] = [b""]  # the first one is empty, by the schema's rule
        self.codes: list[tuple[int, int]] = []  # (builtin operation, version)
        self.subgraphs: list[Subgraph] = []
        self.signature: tuple[str, list[str], list[str]] = ("serving_default", [], [])

    def subgraph(self) -> Subgraph:
        self.subgraphs.append(Subgraph(self, len(self.subgraphs)))
        return self.subgraphs[-1]

    def buffer(self, data: bytes) -> int:
        """Return the index of the buffer that holds `data`, a new one where there is none."""
        if data not in self.buffers:
            self.buffers.append(data)
        return self.buffers.index(data)

    def code(self, operation: str, version: int) -> int:
        """Return the index of an operation's code."""
        entry = (getattr(schema.BuiltinOperator, operation), version)
        if entry not in self.codes:
            self.codes.append(entry)
        return self.codes.index(entry)

    def number_codes(self) -> None:
        """Number the operation codes by how often they are used: an operation with number 0 need not say so."""
        used = Counter(operation.code for subgraph in self.subgraphs for operation in subgraph.operations)
        order = [code for code, _ in used.most_common()]
        self.codes = [self.codes[code] for code in order]
        for subgraph in self.subgraphs:
            subgraph.operations = [replace(entry, code=order.index(entry.code)) for entry in subgraph.operations]

    def name(self, inputs: list[str], outputs: list[str], key: str = "serving_default") -> None:
        """Give the main subgraph's inputs and outputs the names by which a signature runner finds them."""
        self.signature = (key, inputs, outputs)

    def to_bytes(self) -> bytes:
        """Return the model as the bytes of a `.tflite` file."""
        return Writer().model(self)


class Writer:
    """Writes a graph as a flatbuffer; equal strings, vectors and tables are written once and referred to again."""

    def __init__(self):
        self.builder = flatbuffers.Builder(65536)
        self.written: dict[tuple, int] = {}

    def model(self, graph: Graph) -> bytes:
        main = graph.subgraphs[0]
        # A flatbuffer grows towards its front. The weights come first, so they end up at the end; the list of buffers
        # and the root last, so that `metadata.attach` can put others in their place.
        buffers = [self._buffer(data) for data in graph.buffers]
        graph.number_codes()
        subgraphs = self._tables([self._subgraph(graph, index) for index in range(len(graph.subgraphs))])
        codes = self._tables([self._code(*code) for code in graph.codes])
        key, inputs, outputs = graph.signature
        signature = self._signature(key, zip(inputs, main.inputs, strict=True), zip(outputs, main.outputs, strict=True))
        signatures = self._tables([signature])
        fields = (("Version", VERSION), ("OperatorCodes", codes), ("Subgraphs", subgraphs))
        fields = (*fields, ("Buffers", self._tables(buffers)))
        root = self._table("Model", *fields, ("SignatureDefs", signatures))
        self.builder.Finish(root, b"TFL3")
        return bytes(self.builder.Output())

    def _buffer(self, data: bytes) -> int:
        if not data:
            return self._table("Buffer")
        return self._table(
            "Buffer", ("Data", self._vector(np.frombuffer(data, np.uint8), ALIGNMENT if len(data) > SMALL else 4))
        )

    def _code(self, code: int, version: int) -> int:
        """The code is the larger of two fields; one byte is enough for those that fit."""
        greater = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
        fields = [("DeprecatedBuiltinCode", min(code, greater)), ("Version", version)]
        return self._table("OperatorCode", *fields, *([("BuiltinCode", code)] if code >= greater else []))

    def _subgraph(self, graph: Graph, index: int) -> int:
        subgraph = graph.subgraphs[index]
        names = self._tensor_names(graph, subgraph) if index == 0 else {}
        tensors = self._tables([self._tensor(t, names.get(i)) for i, t in enumerate(subgraph.tensors)])
        operations = self._tables([self._operation(operation) for operation in subgraph.operations])
        inputs, outputs = self._integers(subgraph.inputs), self._integers(subgraph.outputs)
        ends = (("Inputs", inputs), ("Outputs", outputs))
        return self._table("SubGraph", ("Tensors", tensors), *ends, ("Operators", operations))

    @staticmethod
    def _tensor_names(graph: Graph, main: Subgraph) -> dict[int, str]:
        _, inputs, outputs = graph.signature
        return dict(zip([*main.inputs, *main.outputs], [*inputs, *outputs], strict=True))

    def _tensor(self, tensor: Tensor, name: str | None) -> int:
        fields = [("Type", TYPES[tensor.dtype]), ("Buffer", tensor.buffer)]
        if tensor.shape:
            fields.append(("Shape", self._integers([max(length, 1) for length in tensor.shape])))
        if -1 in tensor.shape:
            fields.append(("ShapeSignature", self._integers(tensor.shape)))
        if tensor.quantization is not None:
            fields.append(("Quantization", self._quantization(tensor.quantization)))
        if tensor.blocks is not None:
            fields.append(("Sparsity", self._sparsity(tensor.shape[0], tensor.blocks)))
        if name:
            fields.append(("Name", self._string(name)))
        return self._table("Tensor", *fields)

    def _quantization(self, quantization: Quantization) -> int:
        scale = self._vector(quantization.scale.astype("<f4"))
        zero_point = self._vector(np.full(quantization.scale.size, quantization.zero_point, "<i8"))
        return self._table("QuantizationParameters", ("Scale", scale), ("ZeroPoint", zero_point))

    def _sparsity(self, rows: int, blocks: Blocks) -> int:
        """Rows, then the blocks of each by their column, then the columns of a block."""
        fields = [("Format", schema.DimensionType.SPARSE_CSR)]
        for name, values in (("ArraySegments", blocks.starts), ("ArrayIndices", blocks.columns)):
            kind = f"{values.dtype.name.capitalize()}Vector"
            fields.append((f"{name}Type", getattr(schema.SparseIndexVector, kind)))
            fields.append((name, self._table(kind, ("Values", self._vector(values, 4)))))
        by_column = self._table("DimensionMetadata", *fields)
        ends = [self._table("DimensionMetadata", ("DenseSize", size)) for size in (rows, blocks.width)]
        order, block_map = self._integers([0, 1, 2]), self._integers([1])
        dimensions = self._tables([ends[0], by_column, ends[1]])
        fields = [("TraversalOrder", order), ("BlockMap", block_map), ("DimMetadata", dimensions)]
        return self._table("SparsityParameters", *fields)

    def _operation(self, operation: Operation) -> int:
        inputs, outputs = self._integers(operation.inputs), self._integers(operation.outputs)
        fields = [("OpcodeIndex", operation.code), ("Inputs", inputs), ("Outputs", outputs)]
        if operation.options is not None:
            name = type(operation.options).__name__.removesuffix("T")
            fields.append(("BuiltinOptionsType", getattr(schema.BuiltinOptions, name)))
            fields.append(("BuiltinOptions", self._options(operation.options)))
        return self._table("Operator", *fields)

    def _options(self, options: Any) -> int:
        key = ("options", type(options).__name__, tuple(sorted(vars(options).items())))
        return self._once(key, lambda: options.Pack(self.builder))

    def _signature(self, key: str, inputs, outputs) -> int:
        maps = [self._tables([self._named(*entry) for entry in entries]) for entries in (inputs, outputs)]
        name = self._string(key)
        return self._table("SignatureDef", ("Inputs", maps[0]), ("Outputs", maps[1]), ("SignatureKey", name))

    def _named(self, name: str, tensor: int) -> int:
        return self._table("TensorMap", ("Name", self._string(name)), ("TensorIndex", tensor))

    # The parts of any flatbuffer. Each is written once; a second request gives the first one's place.

    def _table(self, kind: str, *fields: tuple[str, int]) -> int:
        def write() -> int:
            getattr(schema, f"{kind}Start")(self.builder)
            for name, value in fields:
                getattr(schema, f"{kind}Add{name}")(self.builder, value)
            return getattr(schema, f"{kind}End")(self.builder)

        return self._once((kind, *fields), write)

    def _tables(self, offsets: list[int]) -> int:
        def write() -> int:
            self.builder.StartVector(4, len(offsets), 4)
            for offset in reversed(offsets):
                self.builder.PrependUOffsetTRelative(offset)
            return self.builder.EndVector()

        return self._once(("tables", *offsets), write)

    def _integers(self, values) -> int:
        return self._vector(np.array(values, "<i4"))

    def _vector(self, array: np.ndarray, alignment: int | None = None) -> int:
        def write() -> int:
            self.builder.StartVector(array.itemsize, array.size, alignment or array.itemsize)
            start = self.builder.Head() - array.nbytes
            self.builder.head = start
            self.builder.Bytes[start : start + array.nbytes] = array.tobytes()
            return self.builder.EndVector()

        return self._once(("vector", str(array.dtype), array.tobytes(), alignment), write)

    def _string(self, text: str) -> int:
        return self._once(("string", text), lambda: self.builder.CreateString(text))

    def _once(self, key: tuple, write: Callable[[], int]) -> int:
        if key not in self.written:
            self.written[key] = write()
        return self.written[key]
