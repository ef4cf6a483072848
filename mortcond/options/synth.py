"""The options of synth."""

from dataclasses import dataclass
from pathlib import Path

from mortcond.core.choices import TableFormat
from mortcond.core.options import Options, option


@dataclass(frozen=True)
class Synth(Options):
    """How many stays to make up, how densely charted, in what form."""

    stays: int = option(1000, "ICU stays to make up; about half of them qualify for the task.", min=1)
    write_as: TableFormat = option(TableFormat.csv, "Form of the tables.")
    events_per_stay: int = option(400, "Rows of CHARTEVENTS a stay, about; MIMIC-III has 5400.", min=1)
    hours: int = option(720, "Charts end so many hours after admission to the unit.", unit="h", min=1)
    out: Path | None = option(None, "Folder to write (hospital).", flags="-o --out")
