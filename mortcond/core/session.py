"""The session: what one call of a command knows beside its own options.

Comes in: the common options. Goes out: one frozen object that every command's function takes first.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mortcond.core.choices import Backend
from mortcond.core.console import Console
from mortcond.core.errors import UsageError
from mortcond.core.manifest import Manifest, library_versions, platform_record, rounded
from mortcond.core.options import LARGEST_SEED, Options, plain

HIDDEN = "(not recorded)"  # in the place of a value that may hold a password


@dataclass(frozen=True)
class Session:
    """Where a command works, how it speaks, what its random numbers start from; and, set by the command, its record."""

    workspace: Path = Path("artifacts")
    seed: int = 0
    overwrite: bool = False
    trust_changed: bool = False  # artifacts whose hash is not the recorded one are used, and that is recorded
    console: Console = field(default_factory=Console)
    caller: str = "python"  # where options come from that `options` does not say of: python, or run
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # every resolved option and where it came from
    command: str = ""  # train, prune, ...
    backend: str = Backend.auto  # what trains
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self):
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"--seed is {self.seed}.", f"Give --seed a whole number of 0 to {LARGEST_SEED}.")

    def of(self, command: str, options: Options) -> Self:
        """Return the session of a command, with the record of its options: value, and where it came from."""
        common = {"workspace": self.workspace, "seed": self.seed, "overwrite": self.overwrite}
        common |= {"trust_changed": self.trust_changed} if self.trust_changed else {}
        record = {name: {"value": plain(value), "source": "default"} for name, value in common.items()}
        given, filled = options.given(), options.filled()
        for name in options.__dataclass_fields__:
            source = self.caller if name in given else "default"
            value = plain(getattr(filled, name))
            record[name] = {"value": value if value is None or not options.secret(name) else HIDDEN, "source": source}
        for name, entry in self.options.items():
            record.setdefault(name, entry)
            record[name]["source"] = entry["source"]
        backend = getattr(options, "backend", None) or self.backend
        return replace(self, command=command, options=record, backend=backend)

    def step(self, console: Console) -> Self:
        """Return the session for a command that this one calls, and which replaces what is there."""
        return replace(self, caller=self.command, options={}, overwrite=True, console=console, started=time.monotonic())

    def manifest(self, kind: str, name: str, inputs: dict[str, dict[str, str]], **facts) -> Manifest:
        """Return a manifest with what the session knows filled in: command, options, seed, versions, wall time."""
        known = {"command": self.command, "options": self.options, "seed": self.seed, "caller": self.caller}
        known |= {"versions": library_versions(), "platform": platform_record()}
        known["wall_seconds"] = round(time.monotonic() - self.started, 3)
        known["metrics"] = rounded(facts.pop("metrics", {}))
        for role, source in inputs.items():
            self.console.detail(f"Read as {role}: {source['path']}, SHA-256 {source['sha256'][:12]}")
        return Manifest(kind=kind, name=name, inputs=inputs, **(known | facts))
