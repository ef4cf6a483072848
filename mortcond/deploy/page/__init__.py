"""A network as one web page that predicts in any browser, without a network connection.

Comes in: a Network, how its input is prepared, what the page says of itself, and its words. Goes out: the page. Script
and style stand in it, and a policy that allows these two and nothing else: no request, no other script, no form.
"""

import base64
import csv
import hashlib
import io
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined

from mortcond.core.errors import InputError
from mortcond.deploy.about import About
from mortcond.deploy.eight_bits import EightBits
from mortcond.deploy.preparation import Measure, Preparation
from mortcond.deploy.program import Constant, Instruction, Program, trace
from mortcond.network import Network

SCRIPTS = ("program.js", "prepare.js", "table.js", "chart.js", "typing.js", "view.js")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LABELS = "labels"  # of the strings: other words for variables, units and categories


def write(
    network: Network,
    preparation: Preparation,
    about: About,
    strings: dict[str, Any],
    eight_bits: EightBits | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    strings
        Every text of the page by its key, see `read_strings`.
    eight_bits
        What rounds matrices to 8 bits, with a step an output; None: 32 bits.

    Raises
    ------
    InputError
        The network holds something that cannot be said in instructions.
    """
    model = {"program": as_json(trace(network), eight_bits), "preparation": preparation.to_dict()}
    model |= {"strings": strings, "example": example(preparation)}
    model |= {"prevalence": about.prevalence, "threshold": about.threshold, "title": about.title}
    script = "\n".join(["'use strict';", *(part(name) for name in SCRIPTS)])
    style = part("page.css")
    facts = {"t": strings, "about": about, "script": script, "style": style, "model": _data(model)}
    facts |= {"script_hash": _hash(script), "style_hash": _hash(style), "facts": _facts(preparation)}
    facts |= {"ranges": any(m.low is not None or m.high is not None for m in preparation.measures)}
    return _ENVIRONMENT.get_template("page.html").render(facts)


def read_strings(path: Path | None = None) -> dict[str, Any]:
    """Return the page's words: the English ones, with those of a JSON file in their place.

    Raises InputError that names every fault of the file.
    """
    strings = json.loads(part("strings.json"))
    if path is None:
        return strings
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file of strings {path}.", "Check the path given to --strings.") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}).", "Mend the file.") from None
    faults = list(_faults(own, strings)) if isinstance(own, dict) else ["it is no JSON object"]
    if faults:
        remedy = "Take mortcond's own deploy/page/strings.json as the pattern."
        raise InputError(f"{path} cannot be used: {'; '.join(faults)}.", remedy)
    return strings | own


def _faults(own: dict[str, Any], strings: dict[str, Any]):
    for key, text in own.items():
        if key not in strings:
            yield f"{key!r} is no text of the page"
        elif key == LABELS:
            if not isinstance(text, dict) or not all(isinstance(label, str) for label in text.values()):
                yield f"{key!r} is no object of texts"
        elif not isinstance(text, str) or not text.strip():
            yield f"{key!r} is no text"
        elif set(PLACEHOLDER.findall(text)) != set(PLACEHOLDER.findall(strings[key])):
            wanted = ", ".join(f"{{{name}}}" for name in PLACEHOLDER.findall(strings[key])) or "none"
            yield f"{key!r} has other places for numbers than {wanted}"


def as_json(program: Program, eight_bits: EightBits | None) -> dict[str, Any]:
    """Return a program as the page's script reads it; weights are base64."""
    return {
        "hours": program.hours,
        "shapes": program.shapes,
        "output": program.output,
        "constants": [_constant(constant, eight_bits) for constant in program.constants],
        "instructions": [_instruction(instruction) for instruction in program.instructions],
    }


def _constant(constant: Constant, eight_bits: EightBits | None) -> dict[str, str]:
    if not (eight_bits and constant.matrix):
        return {"data": _base64(constant.array.astype("<f4"))}
    stored, steps = eight_bits.of(constant.array)
    return {"data": _base64(stored.astype("i1")), "steps": _base64(steps.astype("<f4"))}


def _instruction(instruction: Instruction) -> dict[str, Any]:
    record = {"operation": instruction.operation, "out": instruction.out, "inputs": instruction.inputs}
    record |= {"constants": instruction.constants, "facts": instruction.facts}
    return record | {"block": [_instruction(inner) for inner in instruction.block]}


def example(preparation: Preparation) -> list[tuple[int, int, str]]:
    """Return a made-up patient, who has pneumonia and recovers: (hour, variable, text) of what would be typed.

    Of `example.csv`, which follows no real patient, what the network has variables for.
    """
    names = {source.name: source.variable for source in preparation.sources}
    found = []
    for row in csv.DictReader(io.StringIO(part("example.csv"))):
        variable = names.get(row["variable"])
        text = None if variable is None else _typed(preparation.measures[variable], row["value"])
        if text is not None and int(row["hour"]) <= preparation.hours:
            found.append((int(row["hour"]) - 1, variable, text))
    return found


def _typed(measure: Measure, text: str) -> str | None:
    """Return a value as the hourly table has it: of a category its name; None where there is no such category."""
    if not measure.categories:
        return text
    known = {written: category for written, category, _ in measure.texts}
    return measure.categories[known[text]] if text in known else None


def _facts(preparation: Preparation) -> list[dict[str, Any]]:
    return [
        {"index": index, "name": m.name, "unit": m.unit, "categories": m.categories}
        for index, m in enumerate(preparation.measures)
        if m.static
    ]


def part(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8").strip("\n")


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _data(record: dict[str, Any]) -> str:
    """Return JSON that cannot end the element it stands in."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


_ENVIRONMENT = Environment(
    loader=FunctionLoader(part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
