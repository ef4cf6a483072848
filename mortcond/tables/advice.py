"""What a source is that is of no known form, and what to do. Comes in: a path. Goes out: the error that says so."""

from collections.abc import Callable
from pathlib import Path

from mortcond.core.errors import InputError
from mortcond.tables import scan
from mortcond.tables.members import is_archive

KNOWN = "MIMIC-III or MIMIC-IV tables, PhysioNet 2012, the public benchmark's folder, MEDS, or events with stays"
MIMIC = ("ICUSTAYS", "CHARTEVENTS", "PATIENTS", "ADMISSIONS", "LABEVENTS", "OUTPUTEVENTS", "DIAGNOSES_ICD")
NEEDED = ("ICUSTAYS", "CHARTEVENTS")
MOST_FOLDERS = 50  # that are looked into
ABOVE = "Name the folder above, which holds hosp/ and icu/."


def unknown(source: Path, detect: Callable[[Path], str | None]) -> InputError:
    """Return the error of a source that no form takes; detect: a path -> the name of its form, or None."""
    problem, remedy = _of_folder(source, detect) if source.is_dir() else _of_file(source)
    return InputError(problem, remedy)


def _of_file(source: Path) -> tuple[str, str]:
    if source.suffix == ".npz":
        return f"{source} is a data set already, no raw records.", "Give it to mortcond train, bench or predict."
    if is_archive(source):
        return f"{source} is an archive without records such as 132539.txt.", "Unpack it, and name the folder."
    return f"{source} is a file of no known form ({KNOWN}).", "Name the folder of the records, or give --format."


def _of_folder(source: Path, detect: Callable[[Path], str | None]) -> tuple[str, str]:
    here = [name for name in MIMIC if any(scan.table_files(source, name))]
    missing = [name for name in NEEDED if name not in here]
    if source.name.lower() in ("icu", "hosp") and here:
        return f"{source} is one of the folders of MIMIC-IV.", ABOVE
    if here and missing:
        problem = f"{source} holds tables of MIMIC ({', '.join(here)}), but no {' and no '.join(missing)}."
        return problem, f"Add {' and '.join(missing)}, as .csv, .csv.gz or .parquet."
    if any(scan.table_files(source, "stays")):
        return (
            f"{source} holds a table of stays, but none of events.",
            "Add events.csv: stay_id, hours, variable, value.",
        )
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    inside = next(((folder, form) for folder in folders[:MOST_FOLDERS] if (form := detect(folder))), None)
    if inside:
        return f"{source} holds no records itself, but {inside[0].name}/ does ({inside[1]}).", f"Name {inside[0]}."
    if not any(source.iterdir()):
        return f"{source} is empty.", "Check the path."
    return f"{source} holds no records of a known form ({KNOWN}).", "Check the path, or give --format."
