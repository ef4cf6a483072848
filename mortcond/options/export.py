"""The options of export."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import ExportTo, Mode
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, argument, option, plain

ENDINGS = {"c": ".c", "html": ".html", "onnx": ".onnx", "keras": ".keras", "savedmodel": "-savedmodel"}
MODES = {to: (Mode.float32, Mode.int8) if to in ("c", "html") else (Mode.float32,) for to in ENDINGS}


@dataclass(frozen=True)
class Export(Options):
    """What to write, of which model, in how many bits."""

    model: Path | None = argument(None, "A model directory, or a .tflite file alone; without it, the newest.")
    to: ExportTo = option(
        ExportTo.c, "c: C99 source; html: a page that predicts offline; onnx; keras; savedmodel; tflite: as quantize."
    )
    mode: Mode | None = option(
        None, "c and html: float32 (the default; int8 where MODEL is a file of 8 bits) or int8; tflite: as quantize."
    )
    strings: Path | None = option(None, "html: a JSON file with the page's words in another language.")
    dataset: Path | None = option(
        None, "The data set that the model was trained on, to round by and to check on (where its manifest says)."
    )
    out: Path | None = option(None, "File to write (NAME.c, NAME.html, ...).", flags="-o --out")

    def refuse_contradictions(self) -> None:
        to = plain(self.to)
        if self.mode is not None and to in MODES and self.mode not in MODES[to]:
            words = " or ".join(plain(mode) for mode in MODES[to])
            raise UsageError(f"--to {to} has no mode {plain(self.mode)}.", f"Use {words}.")
        if self.strings is not None and to != "html":
            raise UsageError(f"--strings is of no use with --to {to}.", "Leave it out, or write --to html.")
        if to == "c" and self.out is not None and self.out.suffix != ".c":
            raise UsageError(f"--out {self.out} does not end in .c.", "The header goes beside it, ending in .h.")
