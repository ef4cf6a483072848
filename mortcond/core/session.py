"""The session: what one call of a command knows beside its own options.

Comes in: the resolved common options. Goes out: one frozen object that every command function takes first.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mortcond.core.console import Console
from mortcond.core.manifest import Manifest, library_versions, platform_record, rounded


@dataclass(frozen=True)
class Session:
    """One call of one command."""

    command: str  # train, prune, ...
    workspace: Path = Path("artifacts")
    seed: int = 0
    overwrite: bool = False
    console: Console = field(default_factory=Console)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # every resolved option and where it came from
    started: float = field(default_factory=time.monotonic)

    def given(self, option: str) -> bool:
        """Say whether the user gave `option` (command line, environment or TOML), so that it is no default."""
        return self.options.get(option, {}).get("source", "default") != "default"

    def manifest(self, kind: str, name: str, inputs: dict[str, dict[str, str]], **facts) -> Manifest:
        """Return a manifest with what the session knows filled in: command, options, seed, versions, wall time."""
        known = {"command": self.command, "options": self.options, "seed": self.seed}
        known |= {"versions": library_versions(), "platform": platform_record()}
        known["wall_seconds"] = round(time.monotonic() - self.started, 3)
        known["metrics"] = rounded(facts.pop("metrics", {}))
        return Manifest(kind=kind, name=name, inputs=inputs, **(known | facts))
