"""The options of quantize."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import Mode
from mortcond.core.options import Options, argument, option


@dataclass(frozen=True)
class Quantize(Options):
    """What to write, in how many bits, and how near to its parent it must be."""

    model: Path | None = argument(None, "A model directory; without it, the newest.")
    mode: Mode = option(
        Mode.int8,
        "int8: weights of 8 bits, products in float; dynamic: products in 8 bits too; integer: activations too (dnn).",
    )
    tolerance: float | None = option(
        None,
        "Largest change of a risk, on all training and validation stays and on randomly changed ones; a tenth of it in "
        "the mean of the validation stays (by mode).",
        min=0,
    )
    dataset: Path | None = option(None, "The data set that the model was trained on (where its manifest says).")
    out: Path | None = option(None, "File to write (NAME-MODE.tflite).", flags="-o --out")
