"""The options of train. None stands for the preset's value, or the architecture's own."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.archs import Name, known
from mortcond.core.choices import Backend, KeepEpoch, LearningRate, Preset, Summary
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, flag, option

OF_ALL = ("arch", "preset", "all_stays", "calibrate", "backend", "threads", "dataset", "out")  # others are for networks
NETWORK, TRAINING, TEACHER = "The network", "Training", "Learning from another model as well"


@dataclass(frozen=True)
class Train(Options):
    """What to train, how, and on what."""

    arch: Name = option(Name.lstm, "Architecture.")
    preset: Preset = option(
        Preset.paper, "The paper's settings, or the best known: regularised, taught by an ensemble."
    )
    all_stays: bool = option(
        False,
        "Learn from every stay, none kept back: to be judged elsewhere. Writes DATASET-all.npz as well.",
    )
    calibrate: bool = option(False, "Fit temperature and bias on validation, and fold them into the last layer.")
    resume: bool = option(False, "Go on with an interrupted training.")
    backend: Backend = option(Backend.auto, "What trains: TensorFlow, or numpy, which runs on every processor.")
    threads: int = option(1, "Threads of TensorFlow; these networks are so small that more mostly cost.", min=1)
    dataset: Path | None = option(None, "The data set (the workspace's).")
    out: Path | None = option(None, "The model directory to write (named after the architecture).", flags="-o --out")

    width: int | None = option(None, "Units of a layer (16; dnn 256, then halved).", min=1, panel=NETWORK)
    layers: int | None = option(None, "Layers (lstm 2, hlstm 1, dnn 3).", min=1, panel=NETWORK)
    hidden_width: int | None = option(None, "hlstm: hidden units of a gate (as wide as it).", min=1, panel=NETWORK)
    hidden_depth: int | None = option(None, "hlstm: hidden layers of a gate (1).", min=1, panel=NETWORK)
    summary: Summary | None = option(
        None,
        "dnn, linear: mean; full: mean, last, min, max, std, change; or measured: over measured hours.",
        panel=NETWORK,
    )
    dropout: float | None = option(None, "Before the output (lstm, hlstm 0.3; dnn 0.5).", min=0, below=1, panel=NETWORK)

    epochs: int | None = option(None, "Epochs (20).", min=1, panel=TRAINING)
    batch_size: int | None = option(None, "Stays in a batch (8).", min=1, panel=TRAINING)
    learning_rate: float | None = option(None, "Of Adam (0.001).", above=0, panel=TRAINING)
    schedule: LearningRate | None = option(
        None, "Learning rate: constant, or cosine: it falls to 0 over all epochs.", panel=TRAINING
    )
    weight_decay: float | None = option(None, "Decoupled, as in AdamW (0).", min=0, panel=TRAINING)
    clip_norm: float | None = option(None, "Largest norm of the whole gradient.", above=0, panel=TRAINING)
    input_dropout: float | None = option(
        None, "Share of the features dropped from a stay, for all its hours (0).", min=0, below=1, panel=TRAINING
    )
    recurrent_dropout: float | None = option(None, "Of an LSTM's own state (0).", min=0, below=1, panel=TRAINING)
    patience: int | None = option(
        None, "Epochs without a better validation AUROC before training ends.", min=1, panel=TRAINING
    )
    keep_epoch: KeepEpoch | None = option(
        None, "Which epoch counts: the last, or the best by validation AUROC (last).", panel=TRAINING
    )
    average: int | None = option(None, "Epochs whose weights are averaged (1).", min=1, panel=TRAINING)

    teacher: str | None = option(None, "A model directory, or ensemble.", panel=TEACHER)
    teacher_weight: float | None = option(None, "Of the teacher in the loss (0.5).", min=0, max=1, panel=TEACHER)
    temperature: float | None = option(None, "That softens the teacher's risks (1).", above=0, panel=TEACHER)

    def refuse_contradictions(self) -> None:
        arch = known(self.arch)
        strange = [] if arch.trainable else [name for name in self.given() if name not in (*OF_ALL, *arch.shape)]
        if strange:
            options = ", ".join(map(flag, strange))
            raise UsageError(f"{options} is no option of {arch.name}.", "Its penalty is chosen by cross-validation.")
        self._refuse_choosing_without_validation()
        lesson = self.given("teacher_weight", "temperature")
        if lesson and self.teacher is None and self.preset != Preset.best:
            raise UsageError(
                "--teacher-weight and --temperature need a --teacher.", "Name the model to learn from, or ensemble."
            )

    def _refuse_choosing_without_validation(self) -> None:
        """Refuse what is chosen by the validation split, where every stay is learnt from."""
        by_validation = self.given("calibrate", "patience")
        by_validation += ["keep_epoch"] if self.keep_epoch == KeepEpoch.best else []
        if self.all_stays and by_validation:
            options = ", ".join(map(flag, by_validation))
            raise UsageError(f"{options} needs validation stays, --all-stays leaves none.", "Leave out one of them.")
