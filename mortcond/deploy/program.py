"""A network as a list of plain instructions, which writers of other languages follow line by line.

Comes in: a Network. Goes out: a `Program`. Layers say their arithmetic in a set of operations; the set here computes
nothing, but notes each operation. So a new layer needs nothing in any writer. Where a recurrent layer is four gates of
an LSTM, a writer may ask for one instruction in the place of its arithmetic, for which it has something faster.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.layers import Recurrent
from mortcond.layers.base import Gate
from mortcond.layers.operations import Operations
from mortcond.network import INPUT, Network, Node, own_arrays

ELEMENTWISE = ("sigmoid", "tanh", "relu", "exp", "log", "sqrt", "absolute", "positive")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
OVER_HOURS = ("mean", "sum", "least", "largest", "deviation")


@dataclass(frozen=True, eq=False)
class Value:
    """What an instruction puts out: (width,), or (hours, width) where `hours`."""

    tracer: "Tracer"
    index: int
    width: int
    hours: bool

    __array_ufunc__ = None  # numpy's arrays leave arithmetic with a Value to it

    def __add__(self, other: Any) -> "Value":
        return self.tracer.binary("add", self, other)

    def __radd__(self, other: Any) -> "Value":
        return self.tracer.binary("add", other, self)

    def __sub__(self, other: Any) -> "Value":
        return self.tracer.binary("subtract", self, other)

    def __rsub__(self, other: Any) -> "Value":
        return self.tracer.binary("subtract", other, self)

    def __mul__(self, other: Any) -> "Value":
        return self.tracer.binary("multiply", self, other)

    def __rmul__(self, other: Any) -> "Value":
        return self.tracer.binary("multiply", other, self)

    def __truediv__(self, other: Any) -> "Value":
        return self.tracer.binary("divide", self, other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self.tracer.binary("divide", other, self)


@dataclass(frozen=True)
class Instruction:
    """One operation: `out` from `inputs`, both indices of values; constants are indices of `Program.constants`."""

    operation: str
    out: int
    inputs: tuple[int, ...] = ()
    constants: tuple[int, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    block: tuple["Instruction", ...] = ()  # of a scan: the step from one hour to the next


@dataclass(frozen=True)
class Constant:
    """A weight array."""

    name: str
    array: np.ndarray
    matrix: bool  # whether something is multiplied with it, so that it may be kept in 8 bits


@dataclass(frozen=True)
class Program:
    """A network, instruction by instruction. Value 0 is what comes in."""

    features: int
    hours: int
    shapes: tuple[tuple[int, bool], ...]  # of each value: its width, and whether it has hours
    constants: tuple[Constant, ...]
    instructions: tuple[Instruction, ...]
    output: int  # the value that is the risk, of width 1
    whole_window: bool  # whether it can be run on all hours alone

    def constant(self, index: int) -> np.ndarray:
        return self.constants[index].array


def trace(network: Network, gated: Callable[[Sequence[Gate]], bool] = lambda gates: False) -> Program:
    """Return a network as a program.

    Parameters
    ----------
    gated
        Whether a recurrent layer that is these four gates of an LSTM becomes one instruction, `gated`.

    Raises
    ------
    InputError
        A layer does something that cannot be said in instructions; it is named.
    """
    tracer = Tracer(network.hours)
    weights = network.arrays()
    values = {INPUT: tracer.value(network.features, True)}
    for node in network.nodes:
        own = own_arrays(weights, node)
        tracer.begin(node, own)
        try:
            values[node.name] = _traced(tracer, node, own, [values[name] for name in node.inputs], gated)
        except (TypeError, AttributeError, ValueError) as error:
            problem = f"The layer {node.name} ({node.layer.kind}) cannot be exported ({error})."
            raise InputError(problem, "Export it as keras or savedmodel.") from None
    return tracer.program(network, values[network.output.name])


def _traced(tracer: "Tracer", node: Node, weights: dict[str, np.ndarray], inputs: list[Value], gated) -> Value:
    gates = node.layer.gates(weights) if isinstance(node.layer, Recurrent) else None
    if gates and gated(gates):
        return tracer.gated(node.layer, gates, *inputs)
    return node.layer.forward(tracer, weights, *inputs)


class Tracer(Operations):
    """The set of operations of `layers.operations` that notes what it is asked for."""

    def __init__(self, hours: int):
        self.hours = hours
        self.whole_window = False
        self.shapes: list[tuple[int, bool]] = []
        self.constants: dict[tuple, Constant] = {}  # by shape and bytes: the same weights are kept once
        self.instructions: list[Instruction] = []
        self.node = ""
        self.names: dict[tuple, str] = {}  # of the weights of the node at hand

    def value(self, width: int, hours: bool) -> Value:
        self.shapes.append((width, hours))
        return Value(self, len(self.shapes) - 1, width, hours)

    def program(self, network: Network, output: Value) -> Program:
        if (output.width, output.hours) != (1, False):
            raise InputError("The network does not end in one risk a stay.", "Export a network of stays.")
        parts = tuple(self.shapes), tuple(self.constants.values()), tuple(self.instructions)
        return Program(network.features, network.hours, *parts, output.index, self.whole_window)

    def begin(self, node: Node, weights: dict[str, np.ndarray]) -> None:
        self.node = node.name
        self.names = {_identity(array): f"{node.name}.{name}" for name, array in weights.items()}

    def constant(self, array: Any, matrix: bool = False) -> int:
        """Return the index of a constant; `matrix`: something is multiplied with it as with a matrix."""
        array = np.ascontiguousarray(array, np.float32)
        key = _identity(array)
        known = self.constants.get(key)
        name = known.name if known else self.names.get(key, f"{self.node}.part{len(self.constants)}")
        self.constants[key] = Constant(name, array, matrix or bool(known and known.matrix))
        return list(self.constants).index(key)

    def note(self, operation: str, width: int, hours: bool, *inputs: Value, constants=(), block=(), **facts) -> Value:
        out = self.value(width, hours)
        indices = tuple(value.index for value in inputs)
        self.instructions.append(Instruction(operation, out.index, indices, tuple(constants), facts, tuple(block)))
        return out

    def gated(self, layer: Recurrent, gates: Sequence[Gate], x: Value, counts: Value | None = None) -> Value:
        """Note four gates as one instruction, in the order input, forget, output, cell: three alike, then the other.

        Its constants: what x and h are multiplied with, (inputs, widths of all gates) and (units, widths); the further
        matrices of each gate in turn, the first of all gates first; and the bias, (4 * units,).
        """
        gates = [gates[index] for index in (0, 1, 3, 2)]
        constants = [
            self.constant(np.concatenate([getattr(gate, name) for gate in gates], axis=1), matrix=True)
            for name in ("kernel", "recurrent_kernel")
        ]
        chain = [gate.chain for gate in gates]
        constants += [self.constant(matrix, matrix=True) for level in zip(*chain, strict=True) for matrix in level]
        constants.append(self.constant(np.concatenate([gate.bias for gate in gates])))
        facts = {"units": layer.units, "widths": [int(gate.kernel.shape[1]) for gate in gates]}
        facts |= {"chain": len(chain[0]), "sequences": layer.sequences, "backwards": layer.backwards}
        inputs = (x,) if counts is None else (x, counts)
        return self.note("gated", layer.units, layer.sequences, *inputs, constants=constants, **facts)

    # The operations.

    def binary(self, operation: str, a: Any, b: Any) -> Value:
        """Note an operation of two sides: a value, a number, a constant (width,), or an hourly one (hours, any)."""
        sides, inputs, constants, widths = [], [], [], []
        for side in (a, b):
            if isinstance(side, Value):
                sides.append("value")
                inputs.append(side)
                widths.append(side.width)
            elif np.ndim(side) == 0:
                sides.append(float(side))
            else:
                sides.append("constant" if np.ndim(side) == 1 else "hourly")
                constants.append(self.constant(side))
                widths.append(np.shape(side)[-1])
        self.whole_window |= "hourly" in sides
        hours = "hourly" in sides or any(value.hours for value in inputs)
        return self.note(operation, max(widths), hours, *inputs, constants=constants, sides=sides)

    def linear(self, x: Value, kernel: Any, bias: Any = None) -> Value:
        constants = [self.constant(kernel, matrix=True)] + ([] if bias is None else [self.constant(bias)])
        return self.note("linear", kernel.shape[1], x.hours, x, constants=constants)

    def concatenate(self, parts: Sequence[Value]) -> Value:
        parts = list(parts)
        return self.note("concatenate", sum(part.width for part in parts), parts[0].hours, *parts)

    def split(self, x: Value, widths: Sequence[int]) -> list[Value]:
        starts = np.cumsum([0, *widths]).tolist()
        return [self.columns(x, range(start, start + width)) for start, width in zip(starts, widths, strict=False)]

    def columns(self, x: Value, indices: Sequence[int]) -> Value:
        columns = [int(index) for index in indices]
        return self.note("columns", len(columns), x.hours, x, columns=columns)

    def maximum(self, x: Any, other: Any) -> Value:
        return self.binary("maximum", x, other)

    def minimum(self, x: Any, other: Any) -> Value:
        return self.binary("minimum", x, other)

    def choose(self, condition: Value, x: Value, other: Value) -> Value:
        return self.note("choose", x.width, x.hours, condition, x, other)

    def hour(self, x: Value, index: int) -> Value:
        return self.note("hour", x.width, False, x, index=index)

    def hours_of(self, x: Value) -> int:
        self.whole_window = True
        return self.hours

    def as_hours(self, x: Value) -> Value:
        return x  # one row stands for all

    def flatten(self, x: Value) -> Value:
        self.whole_window = True
        return self.note("flatten", x.width * self.hours, False, x)

    def differs(self, x: Value, value: float) -> Value:
        return self.note("differs", 1, True, x, value=float(value))

    def scan(
        self, step: Callable[..., Any], x: Value, widths: Sequence[int], counts: Value | None, backwards: bool
    ) -> Value:
        outer, self.instructions = self.instructions, []
        of_hour = self.value(x.width, False)
        states = [self.value(width, False) for width in widths]
        stepped = step(of_hour, *states)
        block, self.instructions = self.instructions, outer
        facts = {"hour": of_hour.index, "states": [state.index for state in states]}
        facts |= {"next": [state.index for state in stepped], "backwards": backwards}
        inputs = (x,) if counts is None else (x, counts)
        return self.note("scan", widths[0], True, *inputs, block=block, **facts)


def _identity(array: np.ndarray) -> tuple:
    array = np.ascontiguousarray(array, np.float32)
    return (*array.shape, array.tobytes())


def _elementwise(operation: str) -> Callable[[Tracer, Value], Value]:
    return lambda tracer, x: tracer.note(operation, x.width, x.hours, x)


def _over_hours(operation: str) -> Callable[[Tracer, Value], Value]:
    return lambda tracer, x: tracer.note(operation, x.width, False, x)


for _name in ELEMENTWISE:
    setattr(Tracer, _name, _elementwise(_name))
for _name in OVER_HOURS:
    setattr(Tracer, _name, _over_hours(_name))
