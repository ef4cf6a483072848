"""Settings of training. Comes in: options. Goes out: one frozen object, kept in the manifest of what it trained."""

from dataclasses import dataclass
from typing import Any

from mortcond.archs import PRESETS, known
from mortcond.core.errors import UsageError

TEACHER_WEIGHT = 0.5  # of a teacher that is named, where nothing else is asked for


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained; the defaults are the paper's (sections II-E to II-G)."""

    preset: str = "paper"
    epochs: int = 20
    batch_size: int = 8
    learning_rate: float = 0.001
    schedule: str = "constant"  # constant, or cosine: the learning rate falls to 0 over all epochs
    weight_decay: float = 0.0  # decoupled (AdamW)
    clip_norm: float | None = None  # of the whole gradient
    input_dropout: float = 0.0  # share of the features dropped from a stay, for all its hours
    recurrent_dropout: float = 0.0  # of a recurrent layer's own state
    patience: int | None = None  # epochs without a better validation AUROC before training ends; None: never
    keep: str = "last"  # the weights that count: of the last epoch, or of the best by validation AUROC
    average: int = 1  # epochs whose weights are averaged: the last ones up to the epoch that counts
    teacher: str = ""  # archs.ENSEMBLE, or nothing; a model to learn from is no setting
    teacher_weight: float = 0.0  # of a teacher's risks in the loss, against the outcomes
    temperature: float = 1.0  # that softens a teacher's risks


def preset(name: str, arch: str = "lstm", **given: Any) -> TrainSettings:
    """Return a preset's settings for an architecture, with what was given explicitly in their place.

    What may be given, `options.train` says: the ranges stand there. Raises UsageError where the preset is unknown.
    """
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}.", f"Known are {', '.join(PRESETS)}.")
    own = known(arch).best if name == "best" else {}
    return TrainSettings(**({"preset": name} | own | given))
