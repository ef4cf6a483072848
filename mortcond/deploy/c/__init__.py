"""A network as C99: one source and one header that need nothing but the C math library.

Comes in: a Network, how its input is prepared, and what the file says of itself. Goes out: the two texts. The source
holds the network twice, once for processors with AVX2 and once for any, and chooses when it is called; no memory is
asked for and nothing global changes, so that several threads may call it.
"""

import re
import textwrap
from collections.abc import Iterator
from importlib import resources
from types import SimpleNamespace

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined

from mortcond.deploy.about import About
from mortcond.deploy.c.forward import Body, number
from mortcond.deploy.eight_bits import EightBits
from mortcond.deploy.preparation import RULES, Preparation
from mortcond.deploy.program import Instruction, Program, trace
from mortcond.network import Network
from mortcond.variables import DERIVED

PARTS = ("value", "mask", *DERIVED, "static")
KEYWORDS = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
        "main",
    ]
)
WIDTH = 116  # of a line of numbers


def write(
    network: Network,
    preparation: Preparation,
    about: About,
    file: str,
    eight_bits: EightBits | None = None,
) -> tuple[str, str]:
    """Return the source and the header.

    Parameters
    ----------
    file
        The files' name without its ending; all public names begin with what C can have of it, see `identifier`.
    eight_bits
        What rounds matrices to 8 bits, with a scale an output; None: 32 bits.

    Raises
    ------
    InputError
        The network holds something that cannot be said in C.
    """
    name = identifier(file)
    program = trace(network, gated=lambda gates: True)
    bodies = {wide: Body(program, "_wide" if wide else "", eight_bits is not None) for wide in (False, True)}
    lines = {wide: body.lines() for wide, body in bodies.items()}
    layers = {wide: _layers(body) for wide, body in bodies.items()}
    facts = {"name": name, "NAME": name.upper(), "about": about, "p": _prepared(preparation)}
    facts |= {"file": file}
    facts |= {"eight_bits": eight_bits is not None}
    facts |= {"hours": network.hours, "features": network.features}
    facts |= {
        "constants": list(_constants(program, eight_bits)),
        "lines": lines,
        "layers": layers,
        "uses": {wide: _uses("\n".join(lines[wide]), layers[wide], eight_bits is not None, wide) for wide in bodies},
        "memory": max(bodies[False].size, 1),
        "most_inputs": max((layer.inputs for layer in layers[False]), default=1),
        "whole_window": program.whole_window,
    }
    facts |= {"total": preparation.total, "uses_limit": any(m.rule == "limit" for m in preparation.measures)}
    facts |= {"facts": facts["p"].facts}
    return tuple(_tidy(_ENVIRONMENT.get_template(part).render(facts)) for part in ("library.c", "library.h"))


def identifier(name: str) -> str:
    """Return a name as C can have it."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    return f"model_{plain}" if not plain or plain[0].isdigit() or plain in KEYWORDS else plain


def _layers(body: Body) -> list[SimpleNamespace]:
    return [_recurrent(body, i) for i in body.program.instructions if i.operation == "gated"]


def _uses(lines: str, layers: list[SimpleNamespace], eight_bits: bool, wide: bool) -> SimpleNamespace:
    """Return which kernels one half calls: a compiler warns of one that nothing calls."""
    widened = eight_bits and wide and bool(layers)
    return SimpleNamespace(
        recurrent=bool(layers),
        renewed=any(layer.renewed for layer in layers),
        sigmoid=bool(layers) or "all_sigmoid" in lines,
        tanh=bool(layers) or "all_tanh" in lines,
        exponential="exponential(" in lines,
        product=widened or (not eight_bits and (bool(layers) or "product" in lines)),
        product8=eight_bits and ("product8" in lines or (bool(layers) and not wide)),
        widened=widened,
    )


def _recurrent(body: Body, i: Instruction) -> SimpleNamespace:
    """Return what `recurrent.c` says of one instruction."""
    program, facts = body.program, i.facts
    kernel, recurrent, *chain, bias = i.constants
    starts = np.cumsum([0, *facts["widths"]]).tolist()
    gates = [
        SimpleNamespace(index=gate, start=starts[gate], links=[_link(program, c) for c in chain[gate::4]])
        for gate in range(4)
    ]
    return SimpleNamespace(
        out=i.out,
        inputs=body.width(i.inputs[0]),
        units=facts["units"],
        widths=facts["widths"],
        chain=bool(chain),
        gates=gates,
        most_hidden=max((link.outputs for gate in gates for link in gate.links), default=1),
        sequences=facts["sequences"],
        backwards=facts["backwards"],
        renewed=_seldom_changes(program, i.inputs[0]),
        kernel=kernel,
        recurrent=recurrent,
        bias=bias,
        matrices=[_link(program, constant) for constant in dict.fromkeys((kernel, recurrent, *chain))],
    )


def _link(program: Program, constant: int) -> SimpleNamespace:
    inputs, outputs = program.constant(constant).shape
    return SimpleNamespace(inputs=inputs, outputs=outputs, constant=constant)


def _seldom_changes(program: Program, value: int) -> bool:
    """Say whether a value is measurements, most of which are carried forward from hour to hour."""
    if value == 0:
        return True
    made = next((i for i in program.instructions if i.out == value), None)
    return made is not None and made.operation == "columns" and _seldom_changes(program, made.inputs[0])


# Constants.


def _constants(program: Program, eight_bits: EightBits | None) -> Iterator[SimpleNamespace]:
    for index, constant in enumerate(program.constants):
        array = constant.array
        if eight_bits and constant.matrix:
            stored, steps = eight_bits.of(array)
            what = f"{constant.name}, a step an output"
            yield _constant(f"w{index}", constant.name, "signed char", array.shape, map(str, stored.ravel().tolist()))
            yield _constant(f"w{index}_scale", what, "float", array.shape[1:], map(number, steps.tolist()))
        else:
            yield _constant(f"w{index}", constant.name, "float", array.shape, map(number, array.ravel().tolist()))


def _constant(name: str, what: str, kind: str, shape: tuple[int, ...], numbers) -> SimpleNamespace:
    body = textwrap.fill(", ".join(numbers), WIDTH, initial_indent="    ", subsequent_indent="    ")
    return SimpleNamespace(name=name, what=f"{what} {list(shape)}", kind=kind, size=int(np.prod(shape)), numbers=body)


# The preparation.


def _prepared(preparation: Preparation) -> SimpleNamespace:
    """Return the tables of the preparation, with C's own spelling of everything."""
    texts, numbers, measures = [], [], []
    total = preparation.total
    components = {variable: place + 1 for place, variable in enumerate(total.components)} if total else {}
    for index, m in enumerate(preparation.measures):
        measures.append(
            SimpleNamespace(
                name=m.name,
                comment=m.name.replace("*/", "* /"),
                enum=identifier(m.name).upper(),
                unit=m.unit,
                rule=RULES.index(m.rule),
                low="-DBL_MAX" if m.low is None else repr(float(m.low)),
                high="DBL_MAX" if m.high is None else repr(float(m.high)),
                normal="0.0" if m.normal is None else repr(float(m.normal)),
                summed=int(m.summed),
                categories=len(m.categories),
                first_text=len(texts),
                texts=len(m.texts),
                first_number=len(numbers),
                numbers=len(m.numbers),
                component=components.get(index, 0),
            )
        )
        texts += [(literal(text), category, tier) for text, category, tier in m.texts]
        numbers += [(repr(float(value)), category, tier) for value, category, tier in m.numbers]
    features = [
        SimpleNamespace(
            part=PARTS.index(f.part),
            variable=f.variable,
            category=f.category,
            log=int(f.log),
            mean=repr(f.mean),
            std=repr(f.std),
            comment=f.name.replace("*/", "* /"),
        )
        for f in preparation.features
    ]
    return SimpleNamespace(
        hours=preparation.hours,
        tolerance=repr(preparation.tolerance_hours),
        largest=repr(preparation.largest),
        missing=[literal(text) for text in preparation.missing],
        measures=measures,
        measured=sum(not m.static for m in preparation.measures),
        facts=[m.name for m in preparation.measures if m.static],
        sources=sorted((s.name.encode(), literal(s.name), s.variable, s.place) for s in preparation.sources),
        texts=texts,
        numbers=numbers,
        features=features,
        total=total,
    )


def literal(text: str) -> str:
    """Return a text as a string of C, in UTF-8."""
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode()
    )
    return f'"{plain}"'


def _paragraph(text: str, indent: str = "   ") -> str:
    """Return a text as lines of a comment."""
    plain = "\n".join(
        textwrap.fill(line, 110, initial_indent=indent, subsequent_indent=indent) for line in text.splitlines()
    )
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?").lstrip()


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


_ENVIRONMENT = Environment(  # C, not markup: what comes from data goes through `literal` and `_paragraph`
    loader=FunctionLoader(lambda name: (resources.files(__package__) / name).read_text(encoding="utf-8")),
    autoescape=False,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"literal": literal, "paragraph": _paragraph, "c_float": number}
