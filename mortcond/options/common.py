"""The options that every command has."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.options import LARGEST_SEED, Options, option

PANEL = "Common options"


@dataclass(frozen=True)
class Common(Options):
    """Where a command works, how it speaks, and what its random numbers start from."""

    workspace: Path = option(
        Path("artifacts"), "Where artifacts are read and written.", flags="-w --workspace", panel=PANEL
    )
    seed: int = option(0, "Seed of everything random.", min=0, max=LARGEST_SEED, panel=PANEL)
    overwrite: bool = option(False, "Replace an existing output.", panel=PANEL)
    trust_changed: bool = option(
        False, "Use artifacts that were changed after they were written; what is made of them records it.", panel=PANEL
    )
    json: bool = option(False, "Print the result as one JSON object.", panel=PANEL, python=False)
    quiet: bool = option(False, "No progress, no notes.", flags="-q --quiet", panel=PANEL)
    verbose: bool = option(False, "Say more: options, inputs, time and memory.", flags="-v --verbose", panel=PANEL)
    config: Path | None = option(None, "TOML file with options.", flags="-c --config", panel=PANEL, python=False)
