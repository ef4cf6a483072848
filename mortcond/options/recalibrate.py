"""The options of recalibrate."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import Level, SplitName
from mortcond.core.options import Options, argument, option


@dataclass(frozen=True)
class Recalibrate(Options):
    """Which network, on whose stays, and how much of it is fitted."""

    model: Path = argument(..., "A model directory or a .tflite file, by path or by its name in the workspace.")
    data: Path = argument(..., "The hospital's labelled data set, made with preprocess --apply.")
    split: SplitName = option(SplitName.test, "Its split with the stays to use.")
    level: Level = option(
        Level.auto,
        "intercept: makes the mean risk right; slope: intercept and slope; auto: by the number of deaths and "
        "survivors, from 10 of each the intercept, from 100 of each the slope as well.",
    )
    out: Path | None = option(None, "The new model directory or file (NAME-recalibrated).", flags="-o --out")
