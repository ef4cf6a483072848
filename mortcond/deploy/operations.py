"""The operations that layers are written in, for LiteRT: each adds to a graph what it stands for.

Comes in: values of a graph under construction, and weights by name. Goes out: values. See `layers.operations`, whose
names and meaning these are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy import cells, means, ops
from mortcond.deploy.graph import Subgraph
from mortcond.deploy.weights import WITH_8_BIT_INPUTS, Weights

RELU = schema.ActivationFunctionType.RELU


@dataclass(frozen=True)
class Named:
    """A weight array, under its name in the network."""

    name: str
    array: np.ndarray

    def __getitem__(self, key: Any) -> "Named":
        part = key if isinstance(key, tuple) else (key,)
        return Named(f"{self.name}[{', '.join(map(_sliced, part))}]", self.array[key])


@dataclass(frozen=True)
class Stacked(Named):
    """The same array of several layers, (groups, ...): what is cut from it is cut from that of each."""

    members: tuple[Named, ...] = ()

    def __getitem__(self, key: Any) -> "Stacked":
        part = key if isinstance(key, tuple) else (key,)
        name = Named.__getitem__(self.members[0], key).name.rpartition("[")[2]
        members = tuple(member[key] for member in self.members)
        return Stacked(f"{self.name}[{name}", self.array[(slice(None), *part)], members)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of a graph: (stays, width), with `hours` (stays, hours, width) or (hours, stays, width)."""

    ops: "LiteRTOperations"
    tensor: int
    width: int
    hours: int | None = None  # which axis the hours are, 0 or 1; None: it has none
    rank: int = 2
    padded: tuple[int, int] = (0, 0)  # columns before and after its own, which a product skips with weights of zero

    def __add__(self, other: Any) -> "Value":
        return self.ops.elementwise("ADD", self, other)

    def __sub__(self, other: Any) -> "Value":
        return self.ops.elementwise("SUB", self, other)

    def __mul__(self, other: Any) -> "Value":
        return self.ops.elementwise("MUL", self, other)

    def __truediv__(self, other: Any) -> "Value":
        return self.ops.elementwise("DIV", self, other)


@dataclass(frozen=True, eq=False)
class Mask:
    """Which hours count, (stays, hours): told by the sums of each hour's magnitudes, turned to 0 and 1 where needed."""

    ops: "LiteRTOperations"
    sums: int  # (stays, hours)

    def counts(self) -> int:
        return cells.hours_that_count(self.ops.graph, self.sums)


@dataclass
class LiteRTOperations:
    """Adds to one subgraph."""

    graph: Subgraph
    weights: Weights
    length: int  # hours of a stay
    stays: int = -1  # the tensor of the network's input
    magnitudes: dict[tuple[int, float], int] = field(default_factory=dict)

    def value(self, tensor: int, width: int, like: Value | None = None) -> Value:
        """Return a tensor as a value, laid out as another one."""
        if like is None:
            return Value(self, tensor, width)
        return Value(self, tensor, width, like.hours, like.rank)

    def constant(self, array: Any) -> int:
        return self.graph.constant(np.asarray(array, np.float32))

    def _operand(self, other: Any) -> int:
        if isinstance(other, Value):
            return self.plain(other).tensor
        if isinstance(other, Named):
            self.weights.note(other.name, other.array, "float32", "added or multiplied number by number")
            other = other.array
        return self.constant(other)

    def elementwise(self, operation: str, x: Value, other: Any) -> Value:
        """Add an operation number by number; a constant, or a value of one row less, is taken for all rows."""
        x = self.plain(x)
        wider = other if isinstance(other, Value) and other.rank > x.rank else x
        width = max(x.width, other.width) if isinstance(other, Value) else x.width
        return self.value(self.graph.add(operation, [x.tensor, self._operand(other)]), width, wider)

    def plain(self, x: Value) -> Value:
        """Return a value without the columns that are not its own; what is not yet in the graph is put there."""
        if isinstance(x, means.Mean):
            return self.value(means.measured(x), x.x.width)
        before, after = x.padded
        if not before and not after:
            return x
        if x.rank == 4:
            x = replace(x, tensor=ops.reshape(self.graph, x.tensor, -1, before + x.width + after), rank=2)
        parts = ops.split(self.graph, x.tensor, [width for width in (before, x.width, after) if width], x.rank - 1)
        return replace(x, tensor=parts[1 if before else 0], padded=(0, 0))

    # Along the last axis.

    def linear(self, x: Value, kernel: Named, bias: Named | None = None) -> Value:
        width = kernel.array.shape[-1]
        if isinstance(kernel, Stacked):
            return self._linear_of_groups(x, kernel, bias)
        if isinstance(x, Value) and x.hours is not None:
            x = self.plain(x)
            product = self.weights.of_each_hour(self.graph, x.tensor, matrix_name(kernel.name), kernel.array)
            product = self.value(product, width, x)
            return product if bias is None else product + bias
        if isinstance(x, means.Mean) and bias is not None and self.weights.mode not in WITH_8_BIT_INPUTS:
            kernel, x = means.with_bias_as_column(x, matrix_name(kernel.name), kernel, bias.array)
            bias = None
        x = self.plain(x) if isinstance(x, means.Mean) else x
        if any(x.padded):
            kernel = self._padded(kernel, x.padded)
        added = None if bias is None else bias.array
        name = matrix_name(kernel.name)
        return self.value(self.weights.linear(self.graph, x.tensor, name, kernel.array, added), width)

    def _linear_of_groups(self, x: Value, kernel: Stacked, bias: Named | None) -> Value:
        """A product for each of several layers side by side: x (layers, stays, inputs), kernel (layers, ..., ...)."""
        names = [matrix_name(member.name) for member in kernel.members]
        stacked = self.weights.stacked(self.graph, kernel.name, kernel.array, names)
        product = ops.product_of_groups(self.graph, x.tensor, stacked)
        product = self.value(product, kernel.array.shape[-1], x)
        return product if bias is None else product + bias

    def _padded(self, kernel: Named, padded: tuple[int, int]) -> Named:
        """Return a kernel with rows of zeros for columns that are not read."""
        name = matrix_name(kernel.name)
        if name in self.weights.moments:
            self.weights.moments[name] = np.pad(self.weights.moments[name], padded)
        return Named(kernel.name, np.pad(kernel.array, (padded, (0, 0))))

    def concatenate(self, parts: Sequence[Value]) -> Value:
        if len(parts) == 1:
            return parts[0]
        parts = self.alike([self.plain(part) for part in parts])
        joined = ops.concatenate(self.graph, [part.tensor for part in parts], parts[0].rank - 1)
        return self.value(joined, sum(part.width for part in parts), parts[0])

    def alike(self, parts: Sequence[Value]) -> list[Value]:
        """Return values that are laid out alike, those with hours with them on the same axis."""
        if len({part.hours for part in parts}) > 1:
            parts = [self.stays_first(part) for part in parts]
        rank = max(part.rank for part in parts)
        return [part if part.rank == rank else self._of_one_group(part) for part in parts]

    def _of_one_group(self, x: Value) -> Value:
        """Return (stays, width) as (1, stays, width), as it is within a loop."""
        first = self.graph.constant(np.array(0, np.int32))
        return replace(x, tensor=self.graph.add("EXPAND_DIMS", [x.tensor, first]), rank=3)

    def stays_first(self, x: Value) -> Value:
        return self._swapped(x, 1) if x.hours == 0 else x

    def hours_first(self, x: Value) -> Value:
        return self._swapped(x, 0) if x.hours == 1 else x

    def _swapped(self, x: Value, hours: int) -> Value:
        x = self.plain(x)
        swapped = self.graph.add("TRANSPOSE", [x.tensor, self.graph.integers(1, 0, 2)])
        return replace(x, tensor=swapped, hours=hours)

    def split(self, x: Value, widths: Sequence[int]) -> list[Value]:
        x = self.plain(x)
        tensors = ops.split(self.graph, x.tensor, list(widths), x.rank - 1)
        return [self.value(tensor, width, x) for tensor, width in zip(tensors, widths, strict=True)]

    def columns(self, x: Value, indices: Sequence[int]) -> Value:
        x, chosen = self.plain(x), np.asarray(indices, np.int32)
        tensor = ops.gather(self.graph, x.tensor, self.graph.constant(chosen), x.rank - 1)
        return self.value(tensor, len(chosen), x)

    # Number by number.

    def _unary(self, operation: str, x: Value) -> Value:
        x = self.plain(x)
        return self.value(self.graph.add(operation, [x.tensor]), x.width, x)

    def sigmoid(self, x: Value) -> Value:
        return self._unary("LOGISTIC", x)

    def tanh(self, x: Value) -> Value:
        return self._unary("TANH", x)

    def exp(self, x: Value) -> Value:
        return self._unary("EXP", x)

    def log(self, x: Value) -> Value:
        return self._unary("LOG", x)

    def sqrt(self, x: Value) -> Value:
        return self._unary("SQRT", x)

    def absolute(self, x: Value) -> Value:
        return self._unary("ABS", x)

    def relu(self, x: Value) -> Value:
        return self._unary("RELU", x)

    def rectify(self, x: Value) -> Value:
        """ReLU, as part of the matrix product where that was the last operation."""
        last = self.graph.operations[-1]
        product = self.graph.graph.codes[last.code][0] == schema.BuiltinOperator.FULLY_CONNECTED
        if last.outputs != (x.tensor,) or not product or last.options is not None:
            return self.relu(x)
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=RELU, keepNumDims=False)
        self.graph.operations[-1] = replace(last, options=options)
        return x

    def maximum(self, x: Value, other: Any) -> Value:
        return self.elementwise("MAXIMUM", x, other)

    def minimum(self, x: Value, other: Any) -> Value:
        return self.elementwise("MINIMUM", x, other)

    def positive(self, x: Value) -> Value:
        x = self.plain(x)
        greater = self.graph.add("GREATER", [x.tensor, self.constant(0.0)], "bool")
        return self.value(self.graph.add("CAST", [greater]), x.width, x)

    def choose(self, condition: Value, x: Value, other: Value) -> Value:
        where = self.graph.add("CAST", [self.plain(condition).tensor], "bool")
        tensors = [where, *(self.plain(part).tensor for part in self.alike([x, other]))]
        return self.value(self.graph.add("SELECT_V2", tensors), x.width, x)

    # Over the hours.

    def _reduced(self, operation: str, x: Value, keep: bool = False) -> int:
        x = self.plain(x)
        return ops.reduce(self.graph, operation, x.tensor, x.hours, keep)

    def mean(self, x: Value) -> Value:
        return self.value(self._reduced("MEAN", x), x.width)

    def sum(self, x: Value) -> Value:
        return self.value(self._reduced("SUM", x), x.width)

    def least(self, x: Value) -> Value:
        return self.value(self._reduced("REDUCE_MIN", x), x.width)

    def largest(self, x: Value) -> Value:
        return self.value(self._reduced("REDUCE_MAX", x), x.width)

    def deviation(self, x: Value) -> Value:
        centred = ops.subtract(self.graph, self.plain(x).tensor, self._reduced("MEAN", x, keep=True))
        variance = ops.reduce(self.graph, "MEAN", ops.multiply(self.graph, centred, centred), x.hours)
        return self.value(self.graph.add("SQRT", [variance]), x.width)

    def hour(self, x: Value, index: int) -> Value:
        x, number = self.plain(x), self.graph.constant(np.array(index % self.length, np.int32))
        return self.value(ops.gather(self.graph, x.tensor, number, x.hours), x.width)

    def hours_of(self, x: Value) -> int:
        return self.length

    def as_hours(self, x: Value) -> Value:
        x, axis = self.plain(x), self.graph.constant(np.array(1, np.int32))
        return replace(x, tensor=self.graph.add("EXPAND_DIMS", [x.tensor, axis]), hours=1, rank=3)

    def flatten(self, x: Value) -> Value:
        x = self.plain(self.stays_first(x))
        width = self.length * x.width
        return self.value(ops.reshape(self.graph, x.tensor, -1, width), width)

    def differs(self, x: Value, value: float) -> Mask:
        """Return the mask; the magnitudes are summed once."""
        x = self.plain(self.stays_first(x))
        key = (x.tensor, value)
        if key not in self.magnitudes:
            shifted = ops.subtract(self.graph, x.tensor, self.constant(value)) if value else x.tensor
            self.magnitudes[key] = cells.magnitudes(self.graph, shifted)
        return Mask(self, self.magnitudes[key])

    def input_sums(self) -> int:
        """Return the sums of each hour's magnitudes, (stays, hours): NaN or infinite where a stay holds one."""
        return self.differs(Value(self, self.stays, 0, 1, 3), 0.0).sums

    def measured_mean(self, x: Value, mask_columns: Sequence[int]) -> Any:
        """See `layers.summaries.MeasuredMean`; where a matrix reads it, with the matrix' bias as one more column."""
        if max(mask_columns) < 0:
            return self.mean(x)
        return means.Mean(self, self.plain(self.stays_first(x)), tuple(mask_columns))


def _sliced(part: Any) -> str:
    return "".join((str(part.start or ""), ":", str(part.stop or ""))) if isinstance(part, slice) else str(part)


def matrix_name(kernel: str) -> str:
    """Return the name by which the table of tensors knows a matrix and its bias together."""
    return kernel.removesuffix(".kernel")
