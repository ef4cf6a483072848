"""The options of inspect."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.options import Options, argument


@dataclass(frozen=True)
class Inspect(Options):
    """What to look at."""

    artifact: Path | None = argument(
        None,
        "A data set, model directory, .tflite file or bench folder, by path or name; without it, the newest.",
    )
