"""The options of fetch."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import OpenData
from mortcond.core.options import Options, argument, option


@dataclass(frozen=True)
class Fetch(Options):
    """What to download, from where, to where."""

    name: OpenData = argument(..., "The data set.")
    base_url: str | None = option(None, "Folder of a mirror with the same files (PhysioNet).")
    out: Path | None = option(None, "Folder to write (the data set's name).", flags="-o --out")
