"""Options: each stands once, as a field of a frozen dataclass that says type, default, help, unit, range and panel.

Comes in: such a dataclass (one a command, in `mortcond.options`). Goes out: what the command line, the TOML file, the
MORTCOND_ variables, the manifest and the Python function know of its options. Only the standard library is imported.
"""

import math
import operator
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin

from mortcond.core.errors import UsageError

LARGEST_SEED = 2**31 - 1  # numpy's and scikit-learn's generators end at 2^32, and steps add to the seed


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


@dataclass(frozen=True)
class About:
    """What is said of an option beside its type and default."""

    help: str
    unit: str | None = None
    min: float | None = None  # the value may be this or more
    max: float | None = None  # this or less
    above: float | None = None  # more than this
    below: float | None = None  # less than this
    panel: str | None = None  # of --help
    flags: str | None = None  # on the command line, with spaces between; None: made of the name
    repeats: bool = False  # of several values, whether one may come twice
    positional: bool = False
    python: bool = True  # whether the Python function has it too
    secret: bool = False  # whether it may hold a password: its value is then in no manifest and no message

    @property
    def range(self) -> str:
        """The range in words: "at least 0 and below 1"; empty where every value goes."""
        bounds = {"at least": self.min, "above": self.above, "at most": self.max, "below": self.below}
        return " and ".join(f"{word} {_shown(bound)}" for word, bound in bounds.items() if bound is not None)

    def holds(self, number: float) -> bool:
        """Say whether a number lies in the range; what is no number does not, where there is a range."""
        return (
            (self.min is None or number >= self.min)
            and (self.max is None or number <= self.max)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )


def option(default: Any, help: str, **facts: Any) -> Any:
    """Return a dataclass field that is an option; None as default stands for "not given". See `About` for `facts`."""
    return field(default=default, metadata={"about": About(help, **facts)})


def argument(default: Any, help: str, **facts: Any) -> Any:
    """Return a dataclass field that is given by its position; `...` as default: it must be given."""
    return field(
        default=MISSING if default is ... else default, metadata={"about": About(help, positional=True, **facts)}
    )


def about(entry: Field) -> About:
    """Return what is said of a field."""
    return entry.metadata["about"]


@dataclass(frozen=True)
class Kind:
    """The type of an option: an element of it, whether there may be several, whether None is a value."""

    element: type  # bool, int, float, str, Path or a StrEnum
    several: bool
    optional: bool


@cache
def kind(annotation: Any) -> Kind:
    """Return what an annotation such as `tuple[float, ...] | None` says."""
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    optional = NoneType in parts
    (main,) = (part for part in parts if part is not NoneType)
    several = get_origin(main) is tuple
    return Kind(get_args(main)[0] if several else main, several, optional)


@dataclass(frozen=True)
class Options:
    """The options of a command, each of its type and within its range.

    Words become members of their enumeration, text becomes a path, and "0.1,0.5" becomes several numbers. All faults
    are told at once.

    Raises
    ------
    UsageError
        A value is of another type, out of range, or no word that is known.
    """

    def __post_init__(self):
        faults = []
        for entry in fields(self):
            try:
                object.__setattr__(self, entry.name, _checked(entry, getattr(self, entry.name)))
            except UsageError as error:
                faults.append(error)
        if faults:
            problems, remedies = zip(*((error.problem, error.remedy) for error in faults), strict=True)
            raise UsageError(" ".join(problems), " ".join(dict.fromkeys(remedies)))
        self.refuse_contradictions()

    def refuse_contradictions(self) -> None:
        """Raise UsageError where options do not fit together; a command that has such says so here."""

    def filled(self) -> Self:
        """Return the options with the defaults that depend on other options in the place of None."""
        return self

    def given(self, *names: str) -> list[str]:
        """Return those of the names (all, where none is named) that have another value than by default."""
        return [e.name for e in fields(self) if e.name in (names or (e.name,)) and getattr(self, e.name) != e.default]

    def secret(self, name: str) -> bool:
        """Say whether an option may hold a password."""
        return about(self.__dataclass_fields__[name]).secret


def flag(name: str) -> str:
    """Return how an option is written on the command line."""
    return f"--{name.replace('_', '-')}"


def plain(value: Any) -> Any:
    """Return an option's value as JSON has it; one of several stands for itself."""
    if isinstance(value, tuple):
        return plain(value[0]) if len(value) == 1 else [plain(part) for part in value]
    if isinstance(value, StrEnum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _checked(entry: Field, value: Any) -> Any:
    wanted = kind(entry.type)
    if value is None and wanted.optional:
        return None
    if not wanted.several:
        return _element(entry, wanted.element, value)
    parts = list(value) if isinstance(value, list | tuple) else [value]
    if wanted.optional and not parts:
        return None  # typer's word for "not given"
    if wanted.element is not Path:
        parts = [piece for part in parts for piece in (_pieces(part) if isinstance(part, str) else [part])]
    values = [_element(entry, wanted.element, part) for part in parts]
    return tuple(values if about(entry).repeats else dict.fromkeys(values))


def _pieces(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _element(entry: Field, element: type, value: Any) -> Any:
    known = about(entry)
    try:
        found = _MAKE.get(element, element)(value)
    except (ValueError, TypeError):
        what = f"one of {', '.join(element)}" if issubclass(element, StrEnum) else WORDS.get(element, element.__name__)
        raise UsageError(f"{flag(entry.name)} {value} is unknown.", f"Use {what}.") from None
    if element in (int, float) and known.range and not known.holds(found):
        raise UsageError(f"{flag(entry.name)} is {found:g}, not {known.range}.", "Change it or leave it out.")
    return found


def _bool(value: Any) -> bool:
    if value not in (True, False):
        raise ValueError
    return bool(value)


def _int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    return int(value) if isinstance(value, str) else operator.index(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or math.isnan(float(value)):
        raise ValueError
    return float(value)


def _path(value: Any) -> Path:
    return Path(value).expanduser() if str(value).startswith("~") else Path(value)


_MAKE = {bool: _bool, int: _int, float: _float, str: str, Path: _path}
WORDS = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
