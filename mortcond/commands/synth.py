"""The synth command: a synthetic hospital in the form of MIMIC-III tables.

Comes in: how many stays, how densely charted. Goes out: a folder of tables that `preprocess` reads, with a README that
says how it was made and that no patient is in it.
"""

import time
from collections.abc import Iterator
from typing import Any

from mortcond import __version__
from mortcond.core.artifacts import atomic_directory, refuse_existing, size_bytes
from mortcond.core.calls import takes
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.options.synth import Synth
from mortcond.synth import Hospital, write


@takes(Synth)
def synth(session: Session, options: Synth) -> dict[str, Any]:
    """Write a synthetic hospital.

    Returns
    -------
    path, stays, patients, admissions, deaths, rows by table, bytes, seconds and rows_per_second.
    """
    target = options.out or session.workspace / "hospital"
    refuse_existing(target, session.overwrite)
    how = (options.events_per_stay, options.hours, plain(options.write_as))
    hospital = Hospital(options.stays, session.seed, *how)
    with (
        atomic_directory(target) as partial,
        session.console.progress(f"Writing {target}", total=options.stays, unit="stays") as bar,
    ):
        made = write(partial, hospital, lambda done, rows: bar.advance(done))
        (partial / "README.md").write_text(readme(hospital, made), encoding="utf-8")
    seconds = time.monotonic() - session.started
    rows = sum(made["rows"].values())
    speed = {"seconds": round(seconds, 2), "rows_per_second": round(rows / max(seconds, 1e-9))}
    return {"path": str(target)} | made | {"bytes": size_bytes(target)} | speed


def readme(hospital: Hospital, made: dict[str, Any]) -> str:
    """Return what stands beside the tables: that they are made up, and the command that makes them again."""
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in sorted(made["rows"].items()))
    options = f"--stays {hospital.stays} --events-per-stay {hospital.events_per_stay} --hours {hospital.hours}"
    return f"""# A synthetic hospital

**No patient is in these tables.** Every person, date, measurement and death was drawn at random by `mortcond synth`
(mortcond {__version__}). Only the form is real: names of tables and columns, item ids, labels and wordings are those of
MIMIC-III, so that programs for MIMIC-III read them. Nothing medical can be learnt from them, and a score
reached on them says nothing about any patient.

Made by

    mortcond synth {options} --write-as {hospital.form} --seed {hospital.seed} -o DIRECTORY

which writes the same tables again, byte for byte once unpacked. Faults of real records are in on purpose: missing ids,
rows twice, rows outside the stay or under another one, mixed units, texts in the place of numbers, slips of the decimal
point, transfers, children, several stays and admissions of one patient, stays without events or diagnosis.

{made["stays"]:,} ICU stays, {made["admissions"]:,} admissions, {made["patients"]:,} persons, {made["deaths"]:,} deaths
in the hospital.

| table | rows |
| --- | --- |
{rows}
"""


def render(result: dict[str, Any]) -> Iterator[str]:
    """Say what was made, and what to do with it."""
    rows = result["rows"]
    yield f"{result['path']}: a synthetic hospital; no patient is in it."
    yield (
        f"{result['stays']:,} stays, {result['admissions']:,} admissions, {result['patients']:,} persons, "
        f"{result['deaths']:,} deaths in the hospital."
    )
    yield (
        f"{rows['CHARTEVENTS']:,} chart, {rows['LABEVENTS']:,} laboratory and {rows['OUTPUTEVENTS']:,} output events; "
        f"{result['bytes'] / 1e6:,.1f} MB in {result['seconds']:.1f} s."
    )
    yield f"Next: mortcond preprocess {result['path']}"
