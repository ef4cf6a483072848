"""Forms: JSON that came from a file has the form that its reader counts on, or is refused where it is read.

Comes in: text, or what json made of it, and a form in Python's own type annotations. Goes out: the same, or Misfit that
names the first part that does not fit, so that nothing further on has to be prepared for anything.
"""

import json
import math
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


class Misfit(ValueError):
    """A part that has not the form it should have."""


def parsed(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object that a text is; Misfit where it is none. NaN and Infinity are no JSON."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except Misfit:
        raise
    except (ValueError, RecursionError) as error:
        raise Misfit(f"it is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise Misfit("it is no JSON object")
    return value


def fit(value: Any, form: Any, where: str = "it") -> None:
    """Raise Misfit where a value has not the form of an annotation: `int`, `list[str]`, `dict[str, float | None]` ...

    A whole number is a float too, a list a tuple; true and false are no numbers; no number is infinite.
    """
    wanted, arguments = get_origin(form) or form, get_args(form)
    if wanted is Any:
        return
    if wanted in (Union, UnionType):
        _fit_any(value, arguments, where)
    elif wanted is Literal:
        _expect(value in arguments, value, form, where)
    elif wanted in (list, tuple):
        _expect(isinstance(value, list | tuple), value, form, where)
        for index, part in enumerate(value) if arguments else ():
            fit(part, arguments[0], f"{where}[{index}]")
    elif wanted is dict:
        _expect(isinstance(value, dict), value, form, where)
        for name, part in value.items() if arguments else ():
            fit(part, arguments[1], f"{where}.{name}")
    elif wanted is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), value, form, where)
        _expect(abs(value) < 2**1000 and math.isfinite(value), value, form, where)
    elif wanted is int:
        _expect(isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63, value, form, where)
    else:
        _expect(isinstance(value, NoneType if wanted is None else wanted), value, form, where)


def fit_fields(record: dict[str, Any], kind: type, where: str = "it") -> None:
    """Raise Misfit where a dict lacks a field of a dataclass, or has one of another form; further keys do not count."""
    hints = get_type_hints(kind)
    for entry in fields(kind):
        if entry.name in record:
            fit(record[entry.name], hints[entry.name], f"{where}.{entry.name}" if where != "it" else entry.name)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise Misfit(f"{where} has no {entry.name}")


def fit_keys(record: Any, required: dict[str, Any], where: str = "it", optional: dict[str, Any] | None = None) -> None:
    """Raise Misfit where a value is no dict, lacks a key, or has one of another form; further keys do not count."""
    fit(record, dict, where)
    for name, form in (required | (optional or {})).items():
        if name in record:
            fit(record[name], form, f"{where}.{name}" if where != "it" else name)
        elif name in required:
            raise Misfit(f"{where} has no {name}")


def _fit_any(value: Any, forms: tuple[Any, ...], where: str) -> None:
    faults = []
    for form in forms:
        try:
            return fit(value, form, where)
        except Misfit as fault:
            faults.append(fault)
    raise max(faults, key=lambda fault: len(str(fault)))  # the one that came furthest


def _expect(true: bool, value: Any, form: Any, where: str) -> None:
    if not true:
        name = form.__name__ if isinstance(form, type) and not get_args(form) else str(form)
        raise Misfit(f"{where} is {repr(value)[:60]}, not {name}")


def _refuse(constant: str) -> None:
    raise Misfit(f"it is no JSON (it holds {constant})")
