"""Settings of training. Comes in: options. Goes out: one frozen object, kept in the manifest of what it trained."""

from dataclasses import dataclass
from typing import Any

from mortcond.archs import PRESETS, known
from mortcond.core.errors import UsageError

SCHEDULES = ("constant", "cosine")
KEEP = ("last", "best")
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

    Raises UsageError where the preset is unknown or the settings contradict each other.
    """
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}.", f"Known are {', '.join(PRESETS)}.")
    own = known(arch).best if name == "best" else {}
    settings = TrainSettings(**({"preset": name} | own | given))
    faults = [text for fault, text in _faults(settings) if fault]
    if faults:
        raise UsageError(" ".join(faults), "Change or leave out these options.")
    return settings


def _faults(s: TrainSettings) -> list[tuple[bool, str]]:
    rates = ("input_dropout", "recurrent_dropout")
    return [
        (s.epochs < 1, f"--epochs is {s.epochs}, not at least 1."),
        (s.batch_size < 1, f"--batch-size is {s.batch_size}, not at least 1."),
        (not s.learning_rate > 0, f"--learning-rate is {s.learning_rate}, not above 0."),
        (s.schedule not in SCHEDULES, f"--schedule is {s.schedule!r}, not one of {', '.join(SCHEDULES)}."),
        (s.keep not in KEEP, f"--keep-epoch is {s.keep!r}, not one of {', '.join(KEEP)}."),
        (s.clip_norm is not None and not s.clip_norm > 0, f"--clip-norm is {s.clip_norm}, not above 0."),
        (s.average < 1, f"--average is {s.average}, not at least 1."),
        (not s.temperature > 0, f"--temperature is {s.temperature}, not above 0."),
        (not s.weight_decay >= 0, f"--weight-decay is {s.weight_decay}, not at least 0."),
        (s.patience is not None and s.patience < 1, f"--patience is {s.patience}, not at least 1."),
        (not 0 <= s.teacher_weight <= 1, f"--teacher-weight is {s.teacher_weight}, not in 0 to 1."),
        *((not 0 <= getattr(s, n) < 1, f"--{n.replace('_', '-')} is {getattr(s, n)}, not below 1.") for n in rates),
    ]
