"""The options of inspect."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.options import Options, argument


@dataclass(frozen=True)
class Inspect(Options):
    """What to look at."""

    artifact: Path = argument(
        ..., "A data set, model directory, .tflite file or bench folder, or its name in the workspace."
    )
