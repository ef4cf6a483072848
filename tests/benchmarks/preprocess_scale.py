"""How long `mortcond preprocess` takes, and how much memory, on synthetic hospitals of several sizes.

Run it by hand, on a machine that does nothing else:

    python tests/benchmarks/preprocess_scale.py --rows 3 30 --format csv csv.gz

Each hospital is charted as densely as MIMIC-III (5,400 chart rows a stay) and made by `mortcond synth`; each run of
`preprocess` is a process of its own, and its wall time, processor time and peak resident memory are the kernel's. The
files are read once before the first run is timed; medians over the repeats are shown.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CHART_ROWS_A_STAY = 5400
MORTCOND = (sys.executable, "-m", "mortcond.cli")
COLUMNS = ("form", "chart rows", "MB", "seconds", "min-max", "rows/s", "processor s", "peak RSS MB", "load")


@dataclass(frozen=True)
class Run:
    """One process: what the kernel says of it."""

    seconds: float
    processor_seconds: float
    peak_rss_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[3, 30], help="millions of chart rows")
    parser.add_argument("--format", nargs="+", default=["csv"], choices=["csv", "csv.gz", "parquet"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the hospitals here, and use those that are there")
    arguments, options = parser.parse_known_args()  # the rest goes to preprocess, such as --threads 1
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="mortcond-scale-"))
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS))
    try:
        for form in arguments.format:
            for millions in arguments.rows:
                hospital = make_hospital(folder, millions, form)
                print("| " + " | ".join(measure(hospital, form, arguments.repeats, options)) + " |", flush=True)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder)


def make_hospital(folder: Path, millions: float, form: str) -> Path:
    """Return the folder of a hospital with about so many million chart rows."""
    stays = max(1, round(millions * 1e6 / CHART_ROWS_A_STAY))
    hospital = folder / f"{form}-{millions:g}M"
    if not hospital.exists():
        options = ["--stays", str(stays), "--events-per-stay", str(CHART_ROWS_A_STAY), "--write-as", form]
        subprocess.run([*MORTCOND, "synth", "-q", *options, "-o", str(hospital)], check=True, stdout=subprocess.DEVNULL)
    return hospital


def measure(hospital: Path, form: str, repeats: int, options: list[str]) -> list[str]:
    """Return one row of the table: `repeats` runs of preprocess on a hospital."""
    size = sum(len(block) for path in hospital.glob(f"*.{form}") for block in blocks(path))
    runs = [run([*MORTCOND, "preprocess", str(hospital), "-q", *options], hospital) for _ in range(repeats)]
    rows, seconds = chart_rows(hospital), median(run.seconds for run in runs)
    return [
        form,
        f"{rows:,}",
        f"{size / 1e6:,.0f}",
        f"{seconds:.1f}",
        f"{min(run.seconds for run in runs):.1f}-{max(run.seconds for run in runs):.1f}",
        f"{rows / seconds:,.0f}",
        f"{median(run.processor_seconds for run in runs):.1f}",
        f"{max(run.peak_rss_mb for run in runs):,.0f}",
        f"{os.getloadavg()[0]:.1f}",
    ]


def run(command: list[str], hospital: Path) -> Run:
    """Preprocess a hospital and return what it cost."""
    return cost([*command, "--overwrite", "-o", str(hospital.parent / f"{hospital.name}.npz")])


def cost(command: list[str]) -> Run:
    """Run a command to its end and return what it cost."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)  # unlike wait(): with what the kernel counted of this one process
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {said.read().decode()}")
    unit = 1e6 if sys.platform == "darwin" else 1e3  # ru_maxrss is in bytes there, else in KiB
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def chart_rows(hospital: Path) -> int:
    """Return the number of chart rows that the hospital's README states."""
    lines = (hospital / "README.md").read_text(encoding="utf-8").splitlines()
    stated = next(line for line in lines if line.startswith("| CHARTEVENTS |"))
    return int(stated.split("|")[2].replace(",", ""))


def blocks(path: Path):
    """Yield the content of a file, which also puts it into the system's cache."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


if __name__ == "__main__":
    main()
