"""What the `.tflite` of a model directory says of its inputs; and a directory in another form, by a process of its own.

Comes in: a directory that was opened and found whole. Goes out: its metadata, or a file.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mortcond.core.errors import InputError
from mortcond.deploy import metadata
from mortcond.deploy.directory import TFLITE


def record_of(directory: Path) -> dict[str, Any]:
    """Return the metadata of its `.tflite`, {} where there is none."""
    file = directory / TFLITE
    return (metadata.read(file) or {}) if file.is_file() else {}


def convert(write: Callable[[Path, Path], None]) -> None:
    """Be a program: `python -m MODULE DIRECTORY TARGET` writes a model directory in another form.

    In a process of its own it leaves the memory of the one that measures as it was.
    """
    directory, target = (Path(argument) for argument in sys.argv[1:3])
    try:
        write(directory, target)
    except (InputError, ModuleNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
