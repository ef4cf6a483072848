"""The options of prune."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mortcond.core.choices import Axis, Backend, Method, PruneSchedule, Scope
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, argument, option

WHAT, WHEN = "What is cut", "When, and what follows"


@dataclass(frozen=True)
class Prune(Options):
    """What to cut, when, and how the rest is trained."""

    model: Path | None = argument(None, "A model directory; without it, the newest that is not pruned.")
    dataset: Path | None = option(None, "The data set that the parent was trained on (where its manifest says).")
    out: Path | None = option(
        None, "Name of the result; of the figure's folder with several quantiles.", flags="-o --out"
    )

    quantile: tuple[float, ...] | None = option(
        None,
        "Channels whose score lies below this quantile go: 0.5 takes 8 of 16. Several (0.1,0.5,0.9) make as many "
        "models, and a figure of their learning curves (0.5).",
        min=0,
        below=1,
        panel=WHAT,
    )
    keep: tuple[int, ...] | None = option(
        None, "Channels to keep instead: 8 of each layer, or 8,4: a number a layer.", min=1, repeats=True, panel=WHAT
    )
    method: Method = option(Method.mean, "What a channel is worth.", panel=WHAT)
    scope: Scope = option(Scope.layer, "Quantile of each layer, or of all layers together.", panel=WHAT)
    axis: Axis = option(Axis.both, "Units, the hidden neurons inside gates, or both.", panel=WHAT)

    schedule: PruneSchedule = option(
        PruneSchedule.epoch, "After an early epoch, at the end, in steps, or back to early weights.", panel=WHEN
    )
    after_epoch: int = option(1, "Prune the model as it was after this epoch.", min=1, panel=WHEN)
    steps: int = option(4, "Cuts of the gradual schedule.", min=1, panel=WHEN)
    epochs: int | None = option(
        None, "Epochs in all, the parent's before the cut included (the parent's).", min=1, panel=WHEN
    )
    backend: Backend = option(
        Backend.auto, "What trains: TensorFlow, or numpy, which runs on every processor.", panel=WHEN
    )
    distil: bool = option(False, "Learn from the parent's predictions as well as from the outcomes.", panel=WHEN)

    def refuse_contradictions(self) -> None:
        if self.keep is not None and self.quantile is not None:
            raise UsageError("--keep and --quantile both say how much to cut.", "Give one of them.")

    def filled(self) -> Self:
        return self if self.keep or self.quantile else replace(self, quantile=(0.5,))
