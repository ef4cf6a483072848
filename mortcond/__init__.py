"""mortcond: small, fast and honestly measured networks for in-hospital mortality in intensive care.

A function for every command: `mortcond.preprocess`, `train`, `prune`, `hlstm_convert`, `quantize`, `condense`, `bench`,
`run`, `predict`, `inspect`, `fetch`, `synth`; `load` opens what they wrote, `dataset` takes arrays of one's own,
`load_network` (the command import) a network that somebody else trained.
Importing mortcond costs nothing: each function is made when it is first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.2.0"
ROOMS = ("dataset", "condense", "synth")  # functions whose name is a room's as well


class _CallableRoom(ModuleType):
    """A room that bears the name of a function (`mortcond.dataset`, `condense`, `synth`): called, it is that one."""

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return _library().function(self.__name__.rpartition(".")[2])(*positional, **named)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(_library().function(self.__name__.rpartition(".")[2]))


class _Package(ModuleType):
    """mortcond itself, which makes a room callable when Python binds it to its name here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ROOMS and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def _library() -> ModuleType:
    return import_module("mortcond.library")


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in _library().names():
        raise AttributeError(f"module 'mortcond' has no attribute {name!r}")
    return import_module(f"mortcond.{name}") if name in ROOMS else _library().function(name)


def __dir__() -> list[str]:
    return ["__version__", *sorted(_library().names())]
