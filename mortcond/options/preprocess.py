"""The options of preprocess."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mortcond.core.choices import Derived, Format
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, argument, flag, option


@dataclass(frozen=True)
class Preprocess(Options):
    """What to read, what to make of it, and within what limits."""

    source: Path | None = argument(None, "Folder or archive of records; without it, the bundled sample.")
    variables: str | None = option(None, "paper76, extended, or a CSV of your own (paper76).")
    format: Format | None = option(None, "Form of the records; told by their files.")
    strict: bool = option(False, "Refuse text where a number or category belongs; else it is left out and counted.")
    outcomes: Path | None = option(None, "File with the outcomes, where the source needs one.")
    split_file: Path | None = option(None, "CSV of patient and 0 or 1 (1: test).")
    scale: bool | None = option(
        None,
        "Standardise by the training split; otherwise in the variables' units (scale).",
        flags="--scale/--no-scale",
    )
    derive: tuple[Derived, ...] | None = option(None, "More columns a number, of its own past.")
    apply: Path | None = option(None, "Data set whose variables and scaling to use; all stays to test.")
    memory_limit: str = option("1GB", "Memory of the scan, such as 500MB.")
    threads: int = option(2, "Threads of the scan.", min=1)
    out: Path | None = option(None, "File to write (dataset.npz).", flags="-o --out")

    def refuse_contradictions(self) -> None:
        clashing = self.given("variables", "derive", "scale", "split_file") if self.apply else []
        if clashing:
            names = ", ".join(map(flag, clashing))
            raise UsageError(f"--apply takes these from the old data set: {names}.", "Leave them out.")

    def filled(self) -> Self:
        if self.apply:
            return self
        return replace(self, variables=self.variables or "paper76", scale=self.scale is not False)
