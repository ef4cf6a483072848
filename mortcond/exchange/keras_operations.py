"""Functions of keras.ops in a functional graph: hours picked, sequences turned, sums, and how Masking makes its mask.

Comes in: a function's name, its values and keywords. Goes out: a value or a mask; what is not known is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mortcond.exchange.builder import Builder, Value
from mortcond.layers import Activation, Concatenate, Merge
from mortcond.layers.keras_fields import refusal

NOTHING = ""  # the mask that adds nothing to another: false everywhere
ALL = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}


@dataclass(frozen=True)
class Mask:
    """A mask, or what is on the way to one."""

    node: str | None  # that makes it; NOTHING; None: `source` is compared with `missing`, and `any` is still to come
    source: Value | None = None
    missing: float = 0.0


def operation(
    builder: Builder, entry: dict[str, Any], kind: str, values: list[Any], keywords: dict[str, Any]
) -> Value | Mask:
    """Return what a function makes of its values.

    Raises InputError where it is not known, or is not known to do what a layer here does.
    """
    name, config = str(entry["name"]), entry["config"]
    keywords = {key: value for key, value in keywords.items() if value not in (None, False)}
    call = _Call(builder, name, kind, values, {**keywords, **{k: v for k, v in config.items() if k != "name"}})
    made = FUNCTIONS[kind](call) if kind in FUNCTIONS else None
    if made is None:
        raise refusal(name, f"keras.ops, {kind}", "is not supported in this place")
    return made


@dataclass(frozen=True)
class _Call:
    builder: Builder
    name: str
    kind: str
    values: list[Any]
    given: dict[str, Any]

    @property
    def plain(self) -> bool:
        """Say whether there is a first value, and it is no mask."""
        return bool(self.values) and isinstance(self.values[0], Value) and not self.values[0].softmax


def _not_equal(call: _Call) -> Mask | None:
    value, missing = call.values
    usable = call.plain and isinstance(missing, int | float) and value.hours and value.exact
    return Mask(None, value, float(missing)) if usable else None


def _any(call: _Call) -> Mask | None:
    mask = call.values[0]
    if not isinstance(mask, Mask) or call.given.get("axis") not in (-1, 2):
        return None
    if mask.node is None and not call.given.get("keepdims"):
        return Mask(call.builder.masked("masking", mask.source.node, mask.missing))
    return mask if mask.node else None


def _same_mask(call: _Call) -> Mask | None:
    """Return the one mask among several that are joined, of which the others add nothing."""
    masks = {mask.node for mask in call.values if isinstance(mask, Mask)}
    real = masks - {NOTHING}
    usable = len(real) == 1 and None not in real and all(isinstance(value, Mask) for value in call.values)
    return Mask(next(iter(real))) if usable else None


def _expanded(call: _Call) -> Mask | None:
    mask = call.values[0]
    return mask if isinstance(mask, Mask) and call.given.get("axis") in (-1, 2) else None


def _zeros(call: _Call) -> Mask | None:
    return Mask(NOTHING) if call.given.get("dtype") == "bool" else None


def _item(call: _Call) -> Value | None:
    """Return what `x[:, -1]` or `x[:, -1, :]` takes."""
    if not call.plain or len(call.values) != 2:
        return None
    value, key = call.values
    usable = value.hours and isinstance(key, list) and len(key) in (2, 3)
    usable = usable and all(part == ALL for part in (key[0], *key[2:])) and type(key[1]) is int
    return call.builder.hour(call.name, value, key[1]) if usable else None


def _flip(call: _Call) -> Value | None:
    value = call.values[0]
    if not call.plain or not value.hours or call.given.get("axis") not in (1, [1]):
        return None
    call.builder.refuse_unlike(call.name, value)
    return replace(value, reversed=not value.reversed, mask=None)


def _merged(how: str) -> Callable[[_Call], Value | None]:
    def merged(call: _Call) -> Value | None:
        if not call.plain or not all(isinstance(value, Value) for value in call.values):
            return None
        if any(not value.exact for value in call.values):
            call.builder.refuse_unlike(call.name, next(value for value in call.values if not value.exact))
        return call.builder.join(call.name, Merge(how), call.values, None)

    return merged


def _concatenated(call: _Call) -> Value | Mask | None:
    if isinstance(call.values[0], Mask):
        return _same_mask(call)
    if not call.plain or call.given.get("axis") not in (-1, 2 if call.values[0].hours else 1):
        return None
    if any(not value.exact for value in call.values):
        call.builder.refuse_unlike(call.name, next(value for value in call.values if not value.exact))
    return call.builder.join(call.name, Concatenate(), call.values, None)


def _activated(call: _Call) -> Value | None:
    if not call.plain:
        return None
    return call.builder.apply(call.name, Activation(call.kind.lower()), call.values[0], mask=None)


FUNCTIONS: dict[str, Callable[[_Call], Value | Mask | None]] = {
    "NotEqual": _not_equal,
    "Any": _any,
    "All": _any,
    "ExpandDims": _expanded,
    "ZerosLike": _zeros,
    "LogicalOr": _same_mask,
    "GetItem": _item,
    "Flip": _flip,
    "Add": _merged("sum"),
    "Multiply": _merged("product"),
    "Concatenate": _concatenated,
    **dict.fromkeys(("Sigmoid", "Tanh", "Relu"), _activated),
}
