"""The options of run: those of its steps that a first look needs. None stands for the step's own default."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import Backend, Preset
from mortcond.core.options import Options, argument, option


@dataclass(frozen=True)
class Run(Options):
    """What the chain starts from, and how it trains and prunes."""

    source: Path | None = argument(None, "Records; without it, the bundled sample.")
    epochs: int | None = option(None, "Epochs of training (20).", min=2)
    quantile: float | None = option(None, "Share of units to prune (0.5).", min=0, max=0.99)
    preset: Preset | None = option(None, "Training preset (paper).")
    backend: Backend | None = option(None, "What trains: TensorFlow, or numpy, which runs on every processor (auto).")
    variables: str | None = option(None, "paper76, extended, or a CSV of your own (paper76).")
    validate: bool = option(False, "Cross-validate the chain by patient as well, and put what it says first.")
    outcomes: Path | None = option(None, "File with the outcomes, where the source needs one.")
