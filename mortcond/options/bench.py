"""The options of bench."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import Runtime, SplitName
from mortcond.core.options import Options, argument, option

MEASURING, LIMITS, REPORT = "Measuring", "Limits: exit 4 where one is not met", "The report"


@dataclass(frozen=True)
class Bench(Options):
    """What to measure, on what, how, and what must be met."""

    artifacts: tuple[Path, ...] | None = argument(
        None, "Model directories and .tflite files, or their names in the workspace; without, all of the workspace."
    )
    dataset: Path | None = option(None, "Data set to measure on (the workspace's).")
    split: SplitName = option(SplitName.test, "Its split.")
    out: Path | None = option(None, "Folder of the report (bench); an older report is replaced.", flags="-o --out")

    runtime: tuple[Runtime, ...] = option(
        (Runtime.litert,), "What runs the artifacts; several are compared.", panel=MEASURING
    )
    batch: tuple[int, ...] = option((1, 64), "Stays a call at which time is taken.", min=1, panel=MEASURING)
    threads: int = option(1, "Threads of each runtime.", min=1, panel=MEASURING)
    rounds: int = option(7, "Rounds of timing that go round all artifacts.", min=1, panel=MEASURING)
    resamples: int = option(2000, "Bootstrap resamples of the patients.", min=100, panel=MEASURING)
    margin: float = option(0.01, "Loss of AUROC that would be accepted.", above=0, below=0.5, panel=MEASURING)
    threshold: float | None = option(None, "Risk at which a decision is taken.", above=0, below=1, panel=MEASURING)

    max_auroc_drop: float | None = option(None, "Largest loss of AUROC to the uncondensed model.", panel=LIMITS)
    max_bytes: int | None = option(None, "Largest file.", unit="bytes", panel=LIMITS)
    max_latency_us: float | None = option(
        None, "Longest median time of a stay at the first batch size.", unit="µs", panel=LIMITS
    )

    markdown: bool = option(False, "Write a model card as well.", panel=REPORT)
    wide: bool = option(False, "Show every column of the table.", panel=REPORT, python=False)
