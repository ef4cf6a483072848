"""The options of predict."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import Format, PredictSplit, RowFormat, ScoringEngine
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, argument, flag, option


@dataclass(frozen=True)
class Predict(Options):
    """By what, of whom, and how it is written."""

    model: Path = argument(..., "A .tflite file or a model directory, by path or by its name in the workspace.")
    data: Path = argument(..., "A dataset.npz, or raw records of any form that preprocess reads.")
    split: PredictSplit = option(PredictSplit.test, "Split of a data set.")
    write_as: RowFormat = option(RowFormat.csv, "A CSV row, or a JSON object, a stay.")
    format: Format | None = option(None, "Form of raw records; told by their files.")
    strict: bool = option(False, "Refuse raw records with text where a number belongs; else it is left out.")
    threads: int | None = option(None, "Calls side by side (one a processor, at most 4).", min=1)
    engine: ScoringEngine = option(ScoringEngine.local, "Where stays are scored; spark: DATA is a table of events.")
    spark_master: str | None = option(None, "local[2], spark://host:7077 or sc://host:15002 (local[2]).")
    out: Path | None = option(None, "File to write; without it, stdout.", flags="-o --out")

    def refuse_contradictions(self) -> None:
        if self.spark_master and self.engine != ScoringEngine.spark:
            raise UsageError("--spark-master is for --engine spark only.", "Add --engine spark.")
        clashing = self.given("split", "format", "threads") if self.engine == ScoringEngine.spark else []
        if clashing:
            names = ", ".join(map(flag, clashing))
            raise UsageError(f"--engine spark reads a table of events, all of it: {names}.", "Leave them out.")
