"""Calls: what every command's function has around it, whether the command line, Python or another command calls it.

Comes in: the function's body, which takes a session and checked options. Goes out: a function that takes a session and
the options by name, with signature and documentation made of the options' dataclass.
"""

import functools
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import MISSING, Field, fields
from typing import Any

from mortcond.core import locks
from mortcond.core.options import Options, about, kind, plain
from mortcond.core.session import Session


def takes(options: type[Options]) -> Callable:
    """Return a decorator for a command's function; `body(session, options)` becomes `call(session, name=value, ...)`.

    The body gets the options checked and filled, and a session whose manifests record them.
    """

    def decorate(body: Callable[[Session, Any], Any]) -> Callable:
        command = body.__name__.strip("_").replace("_", "-")
        names = [entry.name for entry in fields(options) if about(entry).positional]

        @functools.wraps(body)
        def call(session: Session, *positional: Any, **named: Any) -> Any:
            if len(positional) > len(names):
                raise TypeError(f"{body.__name__} takes {len(names)} arguments by position, not {len(positional)}")
            checked = options(*positional, **named)
            own = session.of(command, checked)
            _tell_options(own)
            with locks.claims():
                result = body(own, checked.filled())
            _tell_cost(own)
            return result

        call.__signature__ = signature(options, inspect.Parameter("session", _POSITION, annotation=Session))
        call.__doc__ = documentation(body.__doc__ or "", options)
        return call

    return decorate


_POSITION, _NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


def signature(options: type[Options], *first: inspect.Parameter, also: Any = ()) -> inspect.Signature:
    """Return the signature of a function that takes options, after some other parameters."""
    shown = [entry for entry in (*fields(options), *also) if about(entry).python]
    return inspect.Signature([*first, *map(_parameter, shown)])


def _parameter(entry: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if entry.default is MISSING else entry.default
    place = _POSITION if about(entry).positional else _NAME
    return inspect.Parameter(entry.name, place, annotation=entry.type, default=default)


def documentation(text: str, options: type[Options], also: Any = ()) -> str:
    """Return a docstring with the options as its section Parameters, after the first paragraphs."""
    text = inspect.cleandoc(text)
    head, line, rest = text.partition("\n\nReturns\n")
    shown = (entry for entry in (*fields(options), *also) if about(entry).python)
    listed = "\n".join(row for entry in shown for row in _described(entry))
    return f"{head}\n\nParameters\n----------\n{listed}{line}{rest}"


def _described(entry: Field) -> Iterator[str]:
    known, of = about(entry), kind(entry.type)
    words = list(of.element) if hasattr(of.element, "__members__") else [of.element.__name__]
    facts = [" | ".join(words) + (", one or several" if of.several else ""), known.unit, known.range]
    if entry.default is not None:
        facts.append("required" if entry.default is MISSING else f"default {plain(entry.default)}")
    yield f"{entry.name} : {', '.join(fact for fact in facts if fact)}"
    yield f"    {known.help}"


def _tell_options(session: Session) -> None:
    """Say, with --verbose, what was asked for and where each option came from."""
    for name, entry in session.options.items():
        if entry["source"] != "default":
            session.console.detail(f"{session.command}: {name} = {entry['value']} ({entry['source']})")


def _tell_cost(session: Session) -> None:
    text = f"{session.command}: {time.monotonic() - session.started:.1f} s"
    with suppress(ImportError):  # Windows has no such module
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        text += f", at most {peak:,.0f} MB of memory"
    session.console.detail(text)
