"""The options of condense."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.archs import Name
from mortcond.core.choices import Backend
from mortcond.core.options import Options, option

LIMITS, SEARCH = "Limits", "The search"


@dataclass(frozen=True)
class Condense(Options):
    """What may be lost, what can be afforded, and how long to search."""

    baseline: Path | None = option(None, "A model directory; else the newest that is not condensed.")
    dataset: Path | None = option(None, "The data set that the baseline was trained on (where its manifest says).")
    out: Path | None = option(None, "File to write (condensed.tflite).", flags="-o --out")

    backend: Backend = option(Backend.auto, "What trains: TensorFlow, or numpy, which runs on every processor.")

    max_bytes: int | None = option(None, "Largest file.", unit="bytes", min=1, panel=LIMITS)
    max_latency_us: float | None = option(
        None, "Longest median time of one stay alone, on this machine.", unit="µs", above=0, panel=LIMITS
    )
    max_auroc_drop: float = option(
        0.01, "Loss of AUROC that is accepted: the margin.", above=0, below=0.5, panel=LIMITS
    )

    arch: tuple[Name, ...] = option(tuple(Name), "Architectures to consider.", panel=SEARCH)
    epochs: int | None = option(None, "Epochs of each candidate (the baseline's).", min=2, panel=SEARCH)
    budget_minutes: float | None = option(
        None,
        "Begin no candidate after this time; the same command goes on from there.",
        unit="min",
        min=0,
        panel=SEARCH,
    )
    whole_curve: bool = option(
        False, "Try larger ones than the answer too, for the whole trade-off curve.", panel=SEARCH
    )
    folds: int | None = option(
        None,
        "Repeat the whole search, choosing included, in so many folds by patient: then all stays decide, not the test "
        "split alone.",
        min=2,
        panel=SEARCH,
    )
    accept_undecided: bool = option(
        False, "Take a choice that the test split (or --folds) can neither confirm nor refute.", panel=SEARCH
    )
