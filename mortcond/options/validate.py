"""The options of validate."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.archs import ARCHS
from mortcond.core.choices import Backend, Parallel, Preset
from mortcond.core.options import Options, argument, option

TRAINING, PLAN, VERDICTS = "Training", "How often everything is trained", "The verdicts"


@dataclass(frozen=True)
class Validate(Options):
    """What to validate, how it is trained, how often, and by what it is judged."""

    dataset: Path | None = argument(None, "The data set, all splits of it together (the workspace's).")
    forms: tuple[str, ...] | None = option(
        None,
        f"What to validate, by the names of artifacts: {', '.join(ARCHS)}, and lstm-pruned50-int8, lstm-hlstm ...; "
        "what a form is made of, the linear floor and boosted trees come with it (the paper's chain in 32 and 8 bits).",
    )
    out: Path | None = option(
        None, "Folder (validate); what it holds of the same validation is not computed again.", flags="-o --out"
    )

    preset: Preset = option(Preset.paper, "Training preset.", panel=TRAINING)
    epochs: int | None = option(None, "Epochs (the preset's).", min=1, panel=TRAINING)
    calibrate: bool = option(False, "Fit temperature and bias on validation.", panel=TRAINING)

    folds: int = option(5, "Parts of the patients.", min=2, panel=PLAN)
    repeats: int = option(1, "How often they are dealt out anew.", min=1, panel=PLAN)
    seeds: int = option(1, "Trainings of each, from other random numbers.", min=1, panel=PLAN)
    jobs: int = option(1, "Trainings side by side.", min=1, panel=PLAN)
    backend: Backend = option(
        Backend.auto, "What trains: TensorFlow, or numpy, which runs on every processor.", panel=TRAINING
    )
    jobs_by: Parallel = option(
        Parallel.loky,
        "joblib's backend: processes of this machine, or dask or ray where their cluster is set up and sees the same "
        "paths.",
        panel=PLAN,
    )

    margin: float = option(0.01, "Loss of AUROC that would be accepted.", above=0, below=0.5, panel=VERDICTS)
    resamples: int = option(2000, "Bootstrap resamples of the patients.", min=100, panel=VERDICTS)
