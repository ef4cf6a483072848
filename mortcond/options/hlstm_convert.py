"""The options of hlstm-convert."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import Backend, Init
from mortcond.core.options import Options, argument, option


@dataclass(frozen=True)
class HlstmConvert(Options):
    """What to convert, into what shape, and how it is trained."""

    model: Path | None = argument(None, "Directory of an lstm; without it, the newest that is not condensed.")
    init: Init = option(Init.scratch, "First weights: drawn anew (the paper), or as near the parent as they allow.")
    hidden_width: int | None = option(None, "Hidden neurons in each gate (as many as units).", min=1)
    hidden_depth: int = option(1, "Hidden layers in each gate.", min=1)
    distil: bool = option(False, "Learn from the parent's predictions as well as from the outcomes.")
    epochs: int | None = option(None, "Epochs of training (the parent's).", min=1)
    backend: Backend = option(Backend.auto, "What trains: TensorFlow, or numpy, which runs on every processor.")
    dataset: Path | None = option(None, "The data set that the parent was trained on (where its manifest says).")
    out: Path | None = option(None, "Name of the result.", flags="-o --out")
