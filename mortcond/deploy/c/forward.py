"""A program's instructions as lines of C. Comes in: a Program. Goes out: the body of the function that runs it.

Each value is a stretch of one array of floats, (width) or (hours, width); a stretch is used again when what it held is
no longer read. One function an operation, in one table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mortcond.core.errors import InputError
from mortcond.deploy.program import Instruction, Program

SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
EACH = {  # C for one number
    "relu": "{0} > 0.0f ? {0} : {0} != {0} ? {0} : 0.0f",
    "exp": "exponential({0})",
    "log": "(float)log({0})",
    "sqrt": "(float)sqrt({0})",
    "absolute": "{0} < 0.0f ? -{0} : {0}",
    "positive": "{0} > 0.0f",
}


@dataclass
class Body:
    """The lines of the function, and what they need."""

    program: Program
    suffix: str  # of the kernels of this half of the file
    eight_bits: bool
    places: dict[int, int] = field(default_factory=dict)  # value -> where it begins in the array `at`
    last_read: dict[int, int] = field(default_factory=dict)
    size: int = 0  # of the array
    free: list[tuple[int, int]] = field(default_factory=list)  # stretches that can be used again: start, length
    most_inputs: int = 1  # of what is renewed hour by hour

    def lines(self) -> list[str]:
        found = []
        self._note_reads(self.program.instructions)
        for place, instruction in enumerate(self.program.instructions):
            found += [f"/* {place + 1}: {instruction.operation} */", *self.of(instruction)]
            self._release(place)
        return [*found, f"return {self.at(self.program.output)}[0];"]

    def of(self, instruction: Instruction) -> Iterator[str]:
        self.reserve(instruction.out)
        write = OPERATIONS.get(instruction.operation)
        if write is None:
            raise InputError(f"There is no C for the operation {instruction.operation}.", "Export it as onnx or keras.")
        return write(self, instruction)

    # Values.

    def at(self, value: int) -> str:
        if value == 0:
            return "x"
        return f"(at + {self.places[value]})" if self.places[value] else "at"

    def width(self, value: int) -> int:
        return self.program.shapes[value][0]

    def has_hours(self, value: int) -> bool:
        return self.program.shapes[value][1]

    def rows(self, value: int) -> str:
        return "hours" if self.has_hours(value) else "1"

    def reserve(self, value: int) -> None:
        """Find a stretch for a value: the first that is free and long enough, else one at the end."""
        length = self.width(value) * (self.program.hours if self.has_hours(value) else 1)
        for index, (start, free) in enumerate(self.free):
            if free >= length:
                self.free[index] = (start + length, free - length)
                self.places[value] = start
                return
        self.places[value] = self.size
        self.size += length

    def _note_reads(self, instructions) -> None:
        for place, instruction in enumerate(instructions):
            for value in instruction.inputs:
                self.last_read[value] = place

    def _release(self, place: int) -> None:
        for value, last in self.last_read.items():
            if last == place and value in self.places and value != self.program.output:
                rows = self.program.hours if self.has_hours(value) else 1
                self.free.append((self.places[value], self.width(value) * rows))

    # Constants.

    def eight(self, index: int) -> bool:
        return self.eight_bits and self.program.constants[index].matrix

    def product(self, inputs: int, outputs: int, x: str, constant: int, total: str) -> str:
        """Return the line that adds a product to `total`."""
        scale = f"w{constant}_scale, " if self.eight(constant) else ""
        kernel = f"product{'8' if scale else ''}{self.suffix}"
        return f"{kernel}({inputs}, {outputs}, {x}, w{constant}, {scale}{total});"


def _linear(body: Body, i: Instruction) -> Iterator[str]:
    inputs, outputs = body.width(i.inputs[0]), body.width(i.out)
    kernel, *bias = i.constants
    start = f"memcpy(to, w{bias[0]}" if bias else "memset(to, 0"
    yield f"for (r = 0; r < {body.rows(i.out)}; r++) {{"
    yield f"    float *to = {body.at(i.out)} + r * {outputs};"
    yield f"    {start}, {outputs} * sizeof *to);"
    yield "    " + body.product(inputs, outputs, f"{body.at(i.inputs[0])} + r * {inputs}", kernel, "to")
    yield "}"


def _numbers(body: Body, i: Instruction) -> Iterator[str]:
    """One number from one number."""
    count = f"{body.rows(i.out)} * {body.width(i.out)}" if body.has_hours(i.out) else f"{body.width(i.out)}"
    value = EACH[i.operation].format(f"{body.at(i.inputs[0])}[j]")
    yield f"for (j = 0; j < {count}; j++)"
    yield f"    {body.at(i.out)}[j] = {value};"


def _squashed(body: Body, i: Instruction) -> Iterator[str]:
    count = f"{body.rows(i.out)} * {body.width(i.out)}"
    yield f"memcpy({body.at(i.out)}, {body.at(i.inputs[0])}, (size_t)({count}) * sizeof *at);"
    yield f"all_{i.operation}{body.suffix}({count}, {body.at(i.out)});"


def _binary(body: Body, i: Instruction) -> Iterator[str]:
    values, constants = iter(i.inputs), iter(i.constants)
    sides = []
    for side in i.facts["sides"]:
        if side == "value":
            sides.append(_operand(body, next(values), i.out))
        elif side == "constant":
            sides.append(f"w{next(constants)}[j]")
        elif side == "hourly":
            index = next(constants)
            width = body.program.constant(index).shape[1]
            sides.append(f"w{index}[r]" if width == 1 else f"w{index}[r * {width} + j]")
        else:
            sides.append(number(side))
    yield f"for (r = 0; r < {body.rows(i.out)}; r++)"
    yield f"    for (j = 0; j < {body.width(i.out)}; j++) {{"
    yield f"        float a = {sides[0]}, b = {sides[1]};"
    sign = SIGNS.get(i.operation)
    compare = ">" if i.operation == "maximum" else "<"
    chosen = f"a {sign} b" if sign else f"a {compare} b || a != a ? a : b"
    yield f"        {body.at(i.out)}[r * {body.width(i.out)} + j] = {chosen};"
    yield "    }"


def _operand(body: Body, value: int, out: int) -> str:
    """Return one number of a value in the loop over rows r and columns j of `out`."""
    width = body.width(value)
    column = "0" if width == 1 else "j"
    row = f"r * {width} + " if body.has_hours(value) else ""
    return f"{body.at(value)}[{row}{column}]"


def _choose(body: Body, i: Instruction) -> Iterator[str]:
    condition, x, other = (_operand(body, value, i.out) for value in i.inputs)
    yield f"for (r = 0; r < {body.rows(i.out)}; r++)"
    yield f"    for (j = 0; j < {body.width(i.out)}; j++)"
    yield f"        {body.at(i.out)}[r * {body.width(i.out)} + j] = {condition} > 0.0f ? {x} : {other};"


def _concatenate(body: Body, i: Instruction) -> Iterator[str]:
    start = 0
    yield f"for (r = 0; r < {body.rows(i.out)}; r++) {{"
    for value in i.inputs:
        width = body.width(value)
        to = f"{body.at(i.out)} + r * {body.width(i.out)} + {start}"
        yield f"    memcpy({to}, {body.at(value)} + r * {width}, {width} * sizeof *at);"
        start += width
    yield "}"


def _columns(body: Body, i: Instruction) -> Iterator[str]:
    columns, source = i.facts["columns"], i.inputs[0]
    to, start = f"{body.at(i.out)}[r * {len(columns)} + j]", f"{body.at(source)}[r * {body.width(source)} + "
    yield f"for (r = 0; r < {body.rows(i.out)}; r++) {{"
    if columns == list(range(columns[0], columns[0] + len(columns))):
        yield f"    for (j = 0; j < {len(columns)}; j++)"
        yield f"        {to} = {start}{columns[0]} + j];"
    else:
        yield f"    static const short column[] = {{{', '.join(map(str, columns))}}};"
        yield f"    for (j = 0; j < {len(columns)}; j++)"
        yield f"        {to} = {start}column[j]];"
    yield "}"


def _over_hours(body: Body, i: Instruction) -> Iterator[str]:
    width, x, out = body.width(i.out), body.at(i.inputs[0]), body.at(i.out)
    yield f"for (j = 0; j < {width}; j++) {{"
    yield f"    float total = {x}[j];"
    yield "    for (r = 1; r < hours; r++) {"
    yield f"        float a = {x}[r * {width} + j];"
    if i.operation in ("least", "largest"):
        yield f"        total = a {'<' if i.operation == 'least' else '>'} total || a != a ? a : total;"
    else:
        yield "        total += a;"
    yield "    }"
    if i.operation == "deviation":
        yield from _spread(width, x)
    ending = {"mean": "total / (float)hours", "deviation": "(float)sqrt(spread / (float)hours)"}
    yield f"    {out}[j] = {ending.get(i.operation, 'total')};"
    yield "}"


def _spread(width: int, x: str) -> Iterator[str]:
    """The sum of squares about the mean."""
    yield "    float spread = 0.0f;"
    yield "    for (r = 0; r < hours; r++) {"
    yield f"        float a = {x}[r * {width} + j] - total / (float)hours;"
    yield "        spread += a * a;"
    yield "    }"


def _hour(body: Body, i: Instruction) -> Iterator[str]:
    width, index = body.width(i.out), i.facts["index"]
    row = str(index) if index >= 0 else f"(hours - {-index})"
    yield f"memcpy({body.at(i.out)}, {body.at(i.inputs[0])} + {row} * {width}, {width} * sizeof *at);"


def _flatten(body: Body, i: Instruction) -> Iterator[str]:
    yield f"memcpy({body.at(i.out)}, {body.at(i.inputs[0])}, {body.width(i.out)} * sizeof *at);"


def _differs(body: Body, i: Instruction) -> Iterator[str]:
    width, out = body.width(i.inputs[0]), body.at(i.out)
    yield "for (r = 0; r < hours; r++) {"
    yield f"    {out}[r] = 0.0f;"
    yield f"    for (j = 0; j < {width}; j++)"
    yield f"        if ({body.at(i.inputs[0])}[r * {width} + j] != {number(i.facts['value'])})"
    yield f"            {out}[r] = 1.0f;"
    yield "}"


def _gated(body: Body, i: Instruction) -> Iterator[str]:
    counts = body.at(i.inputs[1]) if len(i.inputs) > 1 else "NULL"
    yield f"recurrent_{i.out}{body.suffix}({body.at(i.inputs[0])}, hours, {counts}, {body.at(i.out)});"


def _scan(body: Body, i: Instruction) -> Iterator[str]:
    """Any other step from hour to hour, instruction by instruction."""
    inner = [i.facts["hour"], *i.facts["states"]]
    for value in inner:
        body.reserve(value)
    states, after = i.facts["states"], i.facts["next"]
    width, source = body.width(i.inputs[0]), body.at(i.inputs[0])
    for state in states:
        yield f"memset({body.at(state)}, 0, {body.width(state)} * sizeof *at);"
    yield "for (step = 0; step < hours; step++) {"
    yield f"    int hour = {'hours - 1 - step' if i.facts['backwards'] else 'step'};"
    if len(i.inputs) > 1:
        yield f"    if ({body.at(i.inputs[1])}[hour] > 0.0f) {{"
    yield f"    memcpy({body.at(inner[0])}, {source} + hour * {width}, {width} * sizeof *at);"
    for instruction in i.block:
        yield from (f"    {line}" for line in body.of(instruction))
    for state, new in zip(states, after, strict=True):
        yield f"    memcpy({body.at(state)}, {body.at(new)}, {body.width(state)} * sizeof *at);"
    if len(i.inputs) > 1:
        yield "    }"
    out = f"{body.at(i.out)} + hour * {body.width(i.out)}"
    yield f"    memcpy({out}, {body.at(states[0])}, {body.width(i.out)} * sizeof *at);"
    yield "}"


OPERATIONS: dict[str, Callable[[Body, Instruction], Iterator[str]]] = {
    "linear": _linear,
    "concatenate": _concatenate,
    "columns": _columns,
    "choose": _choose,
    "hour": _hour,
    "flatten": _flatten,
    "differs": _differs,
    "scan": _scan,
    "gated": _gated,
    **dict.fromkeys(("sigmoid", "tanh"), _squashed),
    **dict.fromkeys(EACH, _numbers),
    **dict.fromkeys((*SIGNS, "maximum", "minimum"), _binary),
    **dict.fromkeys(("mean", "sum", "least", "largest", "deviation"), _over_hours),
}


def number(value: float) -> str:
    """Return a number as a float of C."""
    text = f"{value:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")
