"""A network as an ONNX model. Imported on demand only: the onnx package is an extra.

Comes in: a Network, or a model directory (`python -m mortcond.deploy.onnx_graph DIRECTORY OUT`). Goes out: the bytes of
a model from `x` (stays, hours, features) to `risk` (stays, 1).

Four plain gates are ONNX' own LSTM, which cannot skip an hour; so the model asks whether any hour is to be skipped, and
steps through the hours itself where one is. Everything else follows the program, instruction by instruction.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mortcond.core.errors import InputError
from mortcond.deploy.program import Instruction, Program, trace
from mortcond.network import Network

OPSET, IR_VERSION = 17, 9
GATE_ORDER = (0, 2, 1, 3)  # of ONNX (input, output, forget, cell) among the program's (input, forget, output, cell)
LAST = -1  # the axis of the columns
HOURS = 1

OF_ONE = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "exp": "Exp", "log": "Log", "sqrt": "Sqrt"}
OF_ONE |= {"absolute": "Abs"}
OF_TWO = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max", "minimum": "Min"}
OVER_HOURS = {"mean": "ReduceMean", "least": "ReduceMin", "largest": "ReduceMax"}


@dataclass
class Graph:
    """Nodes and constants, added one by one; a tensor is known by its name."""

    program: Program
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=lambda: {0: "x"})  # of the program's values
    made: int = 0

    def constant(self, array: Any, kind: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weight(self, index: int) -> str:
        """Return a constant of the program; it stands in the graph once."""
        from onnx import numpy_helper

        name = f"w{index}"
        if all(known.name != name for known in self.constants):
            self.constants.append(numpy_helper.from_array(self.program.constant(index), name))
        return name

    def add(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        from onnx import helper

        self.made += 1
        names = [f"t{self.made}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operation, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def within(self, write: Callable[[], list[str]], inputs: Sequence[str], name: str) -> Any:
        """Return a graph inside of this one, whose nodes `write` adds and whose outputs it returns."""
        from onnx import TensorProto, helper

        outer, self.nodes = self.nodes, []
        outputs = write()
        nodes, self.nodes = self.nodes, outer
        infos = [
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in part] for part in (inputs, outputs)
        ]
        return helper.make_graph(nodes, name, *infos)

    def zeros(self, like: str, width: int) -> str:
        """Return (stays, width) zeros."""
        stays = self.add("Slice", self.add("Shape", like), self.integers(0), self.integers(1))
        return self.add("ConstantOfShape", self.add("Concat", stays, self.integers(width), axis=0))


def to_onnx(network: Network, metadata: dict[str, Any] | None = None) -> bytes:
    """Return the network as ONNX.

    Parameters
    ----------
    metadata
        What the file says of itself: each entry as text, JSON where it is none.

    Raises
    ------
    InputError
        The network does something that ONNX has no operation for.
    """
    from onnx import TensorProto, helper

    program = trace(network, gated=lambda gates: not gates[0].chain)
    graph = Graph(program)
    for instruction in program.instructions:
        write(graph, instruction)
    graph.nodes.append(helper.make_node("Identity", [graph.names[program.output]], ["risk"]))
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["stays", program.hours, program.features])
    target = helper.make_tensor_value_info("risk", TensorProto.FLOAT, ["stays", 1])
    made = helper.make_graph(graph.nodes, "mortcond", [source], [target], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {name: _text(value) for name, value in (metadata or {}).items()})
    return model.SerializeToString()


def write(graph: Graph, instruction: Instruction) -> None:
    """Add an instruction's nodes.

    Raises InputError where there is none for it.
    """
    if instruction.operation not in OPERATIONS:
        raise InputError(f"There is no ONNX for the operation {instruction.operation}.", "Export it as keras.")
    inputs = [graph.names[value] for value in instruction.inputs]
    graph.names[instruction.out] = OPERATIONS[instruction.operation](graph, instruction, *inputs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _linear(graph: Graph, i: Instruction, x: str) -> str:
    kernel, *bias = (graph.weight(constant) for constant in i.constants)
    if bias and not graph.program.shapes[i.out][1]:
        return graph.add("Gemm", x, kernel, *bias)
    product = graph.add("MatMul", x, kernel)
    return graph.add("Add", product, *bias) if bias else product


def _of_one(graph: Graph, i: Instruction, x: str) -> str:
    return graph.add(OF_ONE[i.operation], x)


def _of_two(graph: Graph, i: Instruction, *values: str) -> str:
    known, weights = iter(_spread(graph, i, values)), iter(i.constants)
    sides = []
    for side in i.facts["sides"]:
        if side == "value":
            sides.append(next(known))
        else:
            sides.append(graph.constant(side) if isinstance(side, float) else graph.weight(next(weights)))
    return graph.add(OF_TWO[i.operation], *sides)


def _spread(graph: Graph, i: Instruction, values: Sequence[str]) -> list[str]:
    """Return the values of an instruction over the hours; one without hours is taken for every hour."""
    hours = graph.program.shapes[i.out][1]
    one = [hours and not graph.program.shapes[value][1] for value in i.inputs]
    return [graph.add("Unsqueeze", v, graph.integers(HOURS)) if o else v for v, o in zip(values, one, strict=True)]


def _over_hours(graph: Graph, i: Instruction, x: str) -> str:
    return graph.add(OVER_HOURS[i.operation], x, axes=[HOURS], keepdims=0)


def _sum(graph: Graph, i: Instruction, x: str) -> str:
    return graph.add("ReduceSum", x, graph.integers(HOURS), keepdims=0)


def _deviation(graph: Graph, i: Instruction, x: str) -> str:
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[HOURS], keepdims=1))
    return graph.add("Sqrt", graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[HOURS], keepdims=0))


def _concatenate(graph: Graph, i: Instruction, *parts: str) -> str:
    return graph.add("Concat", *parts, axis=LAST)


def _columns(graph: Graph, i: Instruction, x: str) -> str:
    """Neighbours are a slice. Of columns that come several times each, a product with ones and zeros: gathering them
    is several times slower in ONNX Runtime."""
    columns = np.array(i.facts["columns"])
    first, last = int(columns.min()), int(columns.max())
    neighbours = np.arange(first, last + 1)
    if len(columns) < len(neighbours) or (len(columns) == len(neighbours) and (columns != neighbours).any()):
        return graph.add("Gather", x, graph.integers(*columns.tolist()), axis=LAST)
    part = graph.add("Slice", x, *(graph.integers(end) for end in (first, last + 1, LAST)))
    if len(columns) == len(neighbours):
        return part
    return graph.add("MatMul", part, graph.constant(neighbours[:, None] == columns))


def _choose(graph: Graph, i: Instruction, condition: str, x: str, other: str) -> str:
    return graph.add("Where", graph.add("Greater", condition, graph.constant(0.0)), x, other)


def _positive(graph: Graph, i: Instruction, x: str) -> str:
    from onnx import TensorProto

    return graph.add("Cast", graph.add("Greater", x, graph.constant(0.0)), to=TensorProto.FLOAT)


def _hour(graph: Graph, i: Instruction, x: str) -> str:
    return graph.add("Gather", x, graph.constant(i.facts["index"], np.int64), axis=HOURS)


def _flatten(graph: Graph, i: Instruction, x: str) -> str:
    return graph.add("Reshape", x, graph.integers(-1, graph.program.shapes[i.out][0]))


def _differs(graph: Graph, i: Instruction, x: str) -> str:
    from onnx import TensorProto

    other = graph.add("Not", graph.add("Equal", x, graph.constant(i.facts["value"])))
    return graph.add("ReduceMax", graph.add("Cast", other, to=TensorProto.FLOAT), axes=[LAST], keepdims=1)


def _scan(graph: Graph, i: Instruction, x: str, counts: str | None = None) -> str:
    def step(now: str, *states: str) -> list[str]:
        graph.names |= dict(zip([i.facts["hour"], *i.facts["states"]], [now, *states], strict=True))
        for instruction in i.block:
            write(graph, instruction)
        return [graph.names[value] for value in i.facts["next"]]

    widths = [graph.program.shapes[value][0] for value in i.facts["states"]]
    return _stepped(graph, step, x, widths, counts, i.facts["backwards"])


def _stepped(graph: Graph, step, x: str, widths: Sequence[int], counts: str | None, backwards: bool) -> str:
    """Return the first state after every hour, (stays, hours, width)."""
    graph.made += 1
    now = [f"scan{graph.made}_{name}" for name in ("x", "counts")][: 1 if counts is None else 2]
    states = [f"scan{graph.made}_state{index}" for index in range(len(widths))]

    def body() -> list[str]:
        after = step(now[0], *states)
        if counts is not None:
            counted = graph.add("Greater", now[1], graph.constant(0.0))
            after = [graph.add("Where", counted, new, old) for new, old in zip(after, states, strict=True)]
        after = [graph.add("Identity", state) for state in after]  # an output must be made in the body
        return [*after, graph.add("Identity", after[0])]

    inner = graph.within(body, [*states, *now], f"step{graph.made}")
    starts = [graph.zeros(x, width) for width in widths]
    sources = [x] if counts is None else [x, counts]
    axes = {"scan_input_axes": [HOURS] * len(sources), "scan_output_axes": [HOURS]}
    axes |= {"scan_input_directions": [int(backwards)] * len(sources), "scan_output_directions": [int(backwards)]}
    outputs = len(widths) + 1
    return graph.add("Scan", *starts, *sources, outputs=outputs, body=inner, num_scan_inputs=len(sources), **axes)[-1]


def _gated(graph: Graph, i: Instruction, x: str, counts: str | None = None) -> str:
    if counts is None:
        return _lstm(graph, i, x)
    every = graph.add("Greater", graph.add("ReduceMin", counts, keepdims=0), graph.constant(0.0))
    then_branch = graph.within(lambda: [_lstm(graph, i, x)], [], f"every{i.out}")
    else_branch = graph.within(lambda: [_gates(graph, i, x, counts)], [], f"some{i.out}")
    return graph.add("If", every, then_branch=then_branch, else_branch=else_branch)


def _lstm(graph: Graph, i: Instruction, x: str) -> str:
    """ONNX' own LSTM; in (hours, stays, inputs)."""
    units, (kernel, recurrent, bias) = i.facts["units"], (graph.program.constant(index) for index in i.constants)
    matrices = [graph.constant(_in_order(array, units).T[None]) for array in (kernel, recurrent)]
    biases = np.concatenate([_in_order(bias[None], units)[0], np.zeros(4 * units)])
    sequence = graph.add("Transpose", x, perm=[1, 0, 2])
    how = {"hidden_size": units, "direction": "reverse" if i.facts["backwards"] else "forward"}
    steps, last = graph.add("LSTM", sequence, *matrices, graph.constant(biases[None]), outputs=2, **how)
    if not i.facts["sequences"]:
        return graph.add("Squeeze", last, graph.integers(0))
    return graph.add("Transpose", graph.add("Squeeze", steps, graph.integers(1)), perm=[1, 0, 2])


def _in_order(array: np.ndarray, units: int) -> np.ndarray:
    """Return (rows, 4 * units) with the gates in ONNX' order."""
    return np.concatenate([array[:, gate * units : (gate + 1) * units] for gate in GATE_ORDER], axis=1)


def _gates(graph: Graph, i: Instruction, x: str, counts: str) -> str:
    """The same step by step, skipping hours."""
    units, (kernel, recurrent, bias) = i.facts["units"], (graph.weight(index) for index in i.constants)

    def step(z: str, h: str, c: str) -> list[str]:
        sums = graph.add("Add", graph.add("Add", z, graph.add("MatMul", h, recurrent)), bias)
        *gates, g = graph.add("Split", sums, graph.integers(*[units] * 4), outputs=4, axis=LAST)
        i_gate, f_gate, o_gate = (graph.add("Sigmoid", gate) for gate in gates)
        kept = graph.add("Mul", f_gate, c)
        c = graph.add("Add", kept, graph.add("Mul", i_gate, graph.add("Tanh", g)))
        return [graph.add("Mul", o_gate, graph.add("Tanh", c)), c]

    after = _stepped(graph, step, graph.add("MatMul", x, kernel), [units, units], counts, i.facts["backwards"])
    if i.facts["sequences"]:
        return after
    return graph.add("Gather", after, graph.constant(0 if i.facts["backwards"] else -1, np.int64), axis=HOURS)


OPERATIONS: dict[str, Callable[..., str]] = {
    "linear": _linear,
    "sum": _sum,
    "deviation": _deviation,
    "concatenate": _concatenate,
    "columns": _columns,
    "choose": _choose,
    "positive": _positive,
    "hour": _hour,
    "flatten": _flatten,
    "differs": _differs,
    "scan": _scan,
    "gated": _gated,
    **dict.fromkeys(OF_ONE, _of_one),
    **dict.fromkeys(OF_TWO, _of_two),
    **dict.fromkeys(OVER_HOURS, _over_hours),
}


if __name__ == "__main__":
    from mortcond.deploy.directory import load_network
    from mortcond.deploy.kept import convert

    convert(lambda directory, target: target.write_bytes(to_onnx(load_network(directory))))
