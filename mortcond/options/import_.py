"""The options of import."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import KerasArch, NetworkOutput
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, argument, option

SHAPE, DATA, PROOF = "What the file does not say", "Its data", "Proof"


@dataclass(frozen=True)
class Import(Options):
    """What somebody else trained, and what its file does not say of it."""

    file: Path = argument(..., "A .keras, HDF5 (.h5, .hdf5, .state) or .onnx file, or a SavedModel of Keras 2.")
    window: int | None = option(
        None, "Hours, where the network takes any number (48), or all in one row.", min=1, panel=SHAPE
    )
    output: NetworkOutput = option(
        NetworkOutput.auto, "What the last layer gives, risk or logit, where neither file nor loss say.", panel=SHAPE
    )
    model_config: Path | None = option(
        None, "JSON of the layers (model.to_json()), for a file with weights alone.", panel=SHAPE
    )
    arch: KerasArch | None = option(
        None,
        "The same for an architecture of train: Masking, its layers, a sigmoid; sizes as the weights.",
        panel=SHAPE,
    )
    variables: str | None = option(None, "Its table of variables: paper76, extended, or a CSV.", panel=DATA)
    scaling: Path | None = option(None, "CSV of its columns: column, mean, std, scaled (0 or 1).", panel=DATA)
    normalizer: Path | None = option(None, "The public benchmark's normaliser, read without unpickling.", panel=DATA)
    check: Path | None = option(None, "Data set with stays whose risks are known; see --risks.", panel=PROOF)
    risks: Path | None = option(None, "CSV of stay_id and risk that the network is known to give.", panel=PROOF)
    tolerance: float = option(1e-6, "Farthest that such a risk may be off.", above=0, panel=PROOF)
    compare: bool = option(
        True,
        "Compare with the file's own framework, where it is installed.",
        flags="--compare/--no-compare",
        panel=PROOF,
    )
    out: Path | None = option(None, "Directory to write (the file's name, in the workspace).", flags="-o --out")

    def refuse_contradictions(self) -> None:
        if self.model_config and self.arch:
            raise UsageError("--model-config and --arch say the same.", "Leave out one of them.")
        if self.scaling and self.normalizer:
            raise UsageError("--scaling and --normalizer say the same.", "Leave out one of them.")
        if bool(self.check) != bool(self.risks):
            raise UsageError("--check and --risks need each other.", "Name the data set and the CSV of its risks.")
