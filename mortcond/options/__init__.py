"""The commands: name, options, one sentence. The command line and the Python library are made of this table.

A new command is a dataclass in a module here, a function of its name in `mortcond.commands`, and a row below.
"""

import keyword
from dataclasses import dataclass

from mortcond.core.options import Options
from mortcond.options.bench import Bench
from mortcond.options.common import Common
from mortcond.options.condense import Condense
from mortcond.options.export import Export
from mortcond.options.fetch import Fetch
from mortcond.options.hlstm_convert import HlstmConvert
from mortcond.options.import_ import Import
from mortcond.options.inspect import Inspect
from mortcond.options.predict import Predict
from mortcond.options.preprocess import Preprocess
from mortcond.options.prune import Prune
from mortcond.options.quantize import Quantize
from mortcond.options.recalibrate import Recalibrate
from mortcond.options.run import Run
from mortcond.options.synth import Synth
from mortcond.options.train import Train
from mortcond.options.validate import Validate

__all__ = ["COMMANDS", "Command", "Common"]


@dataclass(frozen=True)
class Command:
    """A command; `mortcond.commands.IDENTIFIER` holds the function IDENTIFIER and `render`, which shows its result."""

    name: str
    options: type[Options]
    help: str
    examples: tuple[str, ...] = ()  # what follows its name; shown at the end of its help

    @property
    def identifier(self) -> str:
        """Its name in Python: hlstm_convert, import_."""
        name = self.name.replace("-", "_")
        return f"{name}_" if keyword.iskeyword(name) else name


COMMANDS = {  # in the order of their use
    command.name: command
    for command in (
        Command(
            "preprocess",
            Preprocess,
            "Turn the records of a hospital into a data set.",
            ("my-hospital/", "--apply dataset.npz other-hospital/ -o other.npz"),
        ),
        Command(
            "train",
            Train,
            "Train a network or the linear floor on a data set.",
            ("--arch lstm", "--arch wide --preset best"),
        ),
        Command(
            "import",
            Import,
            "Take up a network that somebody else trained, of Keras 1 to 3 or ONNX.",
            ("theirs.onnx --output logit", "theirs.h5 --scaling scaling.csv --check raw.npz --risks known.csv"),
        ),
        Command(
            "prune",
            Prune,
            "Cut the weakest channels out of a trained network, and train what is left.",
            ("artifacts/lstm --quantile 0.5", "artifacts/lstm --keep 8"),
        ),
        Command(
            "hlstm-convert",
            HlstmConvert,
            "Put one hidden-layer LSTM in the place of a trained LSTM's layers, and train it.",
            ("artifacts/lstm", "artifacts/lstm --init parent --distil"),
        ),
        Command(
            "condense",
            Condense,
            "Search for the smallest model, within limits, that is not inferior to a baseline.",
            ("--max-bytes 16000", "--max-auroc-drop 0.02 --whole-curve"),
        ),
        Command(
            "bench",
            Bench,
            "Measure accuracy, size, time and memory of artifacts, with intervals; write table, plots and report.",
            ("", "artifacts/lstm artifacts/lstm-int8.tflite --dataset other.npz"),
        ),
        Command(
            "quantize",
            Quantize,
            "Write a model as one .tflite file of 8, 16 or 32 bits, checked against its parent.",
            ("artifacts/lstm", "artifacts/dnn --mode dynamic"),
        ),
        Command(
            "export", Export, "Write a model as C99, as a web page that predicts offline, as ONNX, Keras or SavedModel."
        ),
        Command(
            "predict",
            Predict,
            "Predict the risk of each stay, without TensorFlow.",
            ("artifacts/lstm-int8.tflite my-hospital/ -o risks.csv",),
        ),
        Command(
            "inspect",
            Inspect,
            "Say what an artifact is, how it was made, and whether it is as it was written.",
            ("artifacts/lstm-int8.tflite",),
        ),
        Command(
            "run",
            Run,
            "Run the whole chain of the paper: preprocess, train, prune, hlstm-convert, quantize, bench.",
            ("", "my-hospital/ --variables extended --preset best"),
        ),
        Command(
            "validate", Validate, "Cross-validate the whole chain by patient: what condensation costs, by all stays."
        ),
        Command(
            "recalibrate", Recalibrate, "Bring a network's risks to the level of a new hospital, by its own stays."
        ),
        Command(
            "fetch",
            Fetch,
            "Download an open data set from PhysioNet, check it, unpack it.",
            ("physionet2012 -o physionet2012",),
        ),
        Command(
            "synth",
            Synth,
            "Write a synthetic hospital in the form of MIMIC-III tables; no patient is in it.",
            ("--stays 2000 -o hospital",),
        ),
    )
}
