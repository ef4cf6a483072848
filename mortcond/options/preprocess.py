"""The options of preprocess."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mortcond.core.choices import Derived, Dialect, Engine, Format
from mortcond.core.errors import UsageError
from mortcond.core.options import Options, argument, flag, option

ELSEWHERE = "Tables elsewhere"


@dataclass(frozen=True)
class Preprocess(Options):
    """What to read, what to make of it, and within what limits."""

    source: Path | None = argument(
        None,
        "Folder or archive of records, or an npz of X and y; without it, the bundled sample. Of an engine: path, "
        "catalog.schema, schemas.",
    )
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
    for_model: Path | None = option(
        None, "Model whose variables and scaling to use, such as an imported one.", flags="--for"
    )
    engine: Engine = option(Engine.duckdb, "What scans the tables of MIMIC.", panel=ELSEWHERE)
    spark_master: str | None = option(
        None, "local[2], spark://host:7077 or sc://host:15002 (local[2]).", panel=ELSEWHERE
    )
    dsn: str | None = option(
        None, "PostgreSQL's connection string; the password rather in PGPASSWORD.", panel=ELSEWHERE, secret=True
    )
    print_scan: Dialect | None = option(None, "Print the scan as SQL for others to run, and end.", panel=ELSEWHERE)
    schema: str | None = option(None, "Of --print-scan: where the big tables are, comma-separated.", panel=ELSEWHERE)
    scanned: Path | None = option(None, "Folder with the rows that the printed scan gave.", panel=ELSEWHERE)
    memory_limit: str = option("1GB", "Memory of the scan, such as 500MB.")
    threads: int = option(2, "Threads of the scan.", min=1)
    out: Path | None = option(None, "File to write (dataset.npz).", flags="-o --out")

    def refuse_contradictions(self) -> None:
        self._refuse_engines()
        if self.apply and self.for_model:
            raise UsageError("--apply and --for both say how to prepare.", "Leave out one of them.")
        fixed = ("variables", "derive", "scale", "split_file") if self.apply else ("variables", "derive", "scale")
        clashing = self.given(*fixed) if self.apply or self.for_model else []
        if clashing:
            names, of = ", ".join(map(flag, clashing)), "--apply" if self.apply else "--for"
            raise UsageError(f"{of} takes these from the old data set or model: {names}.", "Leave them out.")

    def _refuse_engines(self) -> None:
        """Refuse what belongs to another engine, and ways of getting the rows that exclude each other."""
        own = {"spark_master": Engine.spark, "dsn": Engine.postgres}
        for name, engine in own.items():
            if self.given(name) and self.engine != engine:
                raise UsageError(f"{flag(name)} is for --engine {engine} only.", f"Add --engine {engine}.")
        elsewhere = self.given("engine", "print_scan", "scanned")
        if len(elsewhere) > 1:
            both = " and ".join(map(flag, elsewhere))
            raise UsageError(f"{both} cannot go together.", "Choose one of them.")
        if self.schema and not self.print_scan:
            raise UsageError("--schema is for --print-scan only.", "With --engine postgres, name schemas as SOURCE.")
        if elsewhere and self.source is None and self.engine != Engine.postgres:
            raise UsageError(f"{flag(elsewhere[0])} needs a SOURCE.", "Name where the tables are.")

    def filled(self) -> Self:
        if self.apply or self.for_model:
            return self
        return replace(self, variables=self.variables or "paper76", scale=self.scale is not False)
