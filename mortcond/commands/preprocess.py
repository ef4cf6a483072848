"""preprocess: raw records of any source -> dataset.npz.

Comes in: a folder or archive of records, the bundled sample by default. Goes out: the data set in the workspace, with
its cohort's attrition table, its splits and everything that prepares other records in the same way.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import cohort, dataset, tables
from mortcond.core.artifacts import refuse_existing, sha256
from mortcond.core.errors import InputError, UsageError
from mortcond.core.manifest import library_versions
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import DATASET
from mortcond.dataset import InputSpec, build
from mortcond.tables import Records, Request
from mortcond.variables import DERIVED, load

MOST_FILES_NAMED = 50  # in the manifest, one by one


def preprocess(
    session: Session,
    source: Path | None = None,
    *,
    variables: str = "paper76",
    format: str | None = None,
    outcomes: Path | None = None,
    split_file: Path | None = None,
    scale: bool = True,
    derive: str = "",
    apply: Path | None = None,
    memory_limit: str = "1GB",
    threads: int = 2,
    out: Path | None = None,
) -> dict[str, Any]:
    """Make a data set of raw records.

    Parameters
    ----------
    source
        A folder or archive of records; None: the bundled sample.
    variables
        "paper76", "extended", or the path of a CSV.
    format
        One of tables.FORMATS; None: told by what the source holds.
    outcomes
        A file with the outcomes, where the source keeps them apart.
    split_file
        Which patients test; see `cohort.assign`.
    scale
        Whether to standardise; otherwise X is in the units of the variables.
    derive
        Comma-separated derived columns: delta, min, max, mean.
    apply
        An existing data set whose variables, normal values and scaling are used; all stays go to test.
    memory_limit, threads
        Of DuckDB.
    out
        The file to write; None: dataset.npz in the workspace.

    Returns
    -------
    path, source, features, splits, attrition, never_measured, warnings, notes and seconds.
    """
    target = out or session.workspace / DATASET
    refuse_existing(target, session.overwrite)
    parts = _derived(derive)
    old = _old_spec(session, apply)
    if source is None:
        source = tables.bundled_sample()
        session.console.note(f"No SOURCE given: using the bundled sample, a synthetic hospital ({source}).")
    chosen = old.variables if old else load(variables)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(_near(target)) as scratch:
        limits = {"memory_limit": memory_limit, "threads": threads, "console": session.console}
        records = tables.read(source, chosen, Request(scratch, outcomes, **limits), format)
        _refuse_empty(source, records)
        if old:
            split, rule = np.full(len(records.stays), "test"), f"all in test, prepared as {apply.name}"
        else:
            split, rule = cohort.assign(records.stays, session.seed, split_file)
        spec = old or build.fit_spec(records, split == "train", chosen, parts, scale, session.console)
        result = _result(target, source, records, split, rule, spec)
        _write(session, target, source, records, split, spec, result, {"apply": apply, "split_file": split_file})
    _report(session, result)
    return result


def _near(target: Path) -> Path | None:
    """Return the folder for scratch files: the target's, unless its name is no UTF-8, which DuckDB cannot write to."""
    try:
        str(target.absolute()).encode()
    except UnicodeEncodeError:
        return None
    return target.parent


def _derived(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [part for part in parts if part not in DERIVED]
    if unknown or len(set(parts)) < len(parts):
        raise UsageError(f"--derive {text}: cannot be derived, or twice.", f"Choose of {', '.join(DERIVED)}.")
    return parts


def _old_spec(session: Session, path: Path | None) -> InputSpec | None:
    if path is None:
        return None
    clashing = [name for name in ("variables", "derive", "scale", "split_file") if session.given(name)]
    if clashing:
        names = ", ".join("--" + name.replace("_", "-") for name in clashing)
        raise UsageError(f"--apply takes these from the old data set: {names}.", "Leave them out.")
    record = dataset.load(path, splits=()).meta.get("inputs")
    if not record:
        raise InputError(f"{path} does not say how it was prepared.", "Make it again with mortcond preprocess.")
    return InputSpec.from_dict(record)


def _refuse_empty(source: Path, records: Records) -> None:
    if records.stays.empty:
        steps = ", ".join(f"{step.step} {step.dropped}" for step in records.attrition if step.dropped)
        raise InputError(
            f"No stay of {source} is in the cohort; dropped: {steps}.", "Check the tables and their times."
        )


def _result(target: Path, source: Path, records: Records, split, rule: str, spec: InputSpec) -> dict[str, Any]:
    splits = cohort.summary(records.stays, split)
    return {
        "path": str(target),
        "source": str(source),
        "format": records.source,
        "variables": spec.variables.name,
        "features": len(spec.feature_names),
        "window_hours": spec.window_hours,
        "scaled": spec.scaled,
        "split_rule": rule,
        "splits": splits,
        "attrition": [asdict(step) for step in records.attrition],
        "warnings": cohort.warnings(splits),
        "notes": list(records.notes),
    }


def _write(session: Session, target: Path, source: Path, records, split, spec, result, inputs) -> None:
    """Write the data set; what only the writing tells (variables never measured) is added to `result`."""
    used = {name: {"path": str(path), "sha256": sha256(path)} for name, path in inputs.items() if path is not None}
    used |= _source_inputs(source, records)

    def meta(measured: np.ndarray) -> dict[str, Any]:
        names = spec.variables.names
        result["never_measured"] = [names[i] for i in spec.variables.measured if measured[i] == 0]
        manifest = session.manifest("dataset", target.stem, used)
        result["seconds"] = manifest.wall_seconds
        kept = {key: value for key, value in result.items() if key not in ("path", "seconds")}
        kept |= {"variables_sha256": spec.variables.sha256, "prevalence": spec.prevalence}
        return kept | {"inputs": spec.to_dict(), "manifest": asdict(manifest), "versions": library_versions()}

    build.write(target, records, split, spec, session.console, meta)


def _source_inputs(source: Path, records: Records) -> dict[str, dict[str, str]]:
    """Return the manifest's record of what was read: file by file where the source says which and they are few."""
    hashes = {path: sha256(path) for path in sorted(records.files)}
    listed = "".join(f"{path.name}\0{digest}\n" for path, digest in hashes.items())
    listed = listed.encode(errors="surrogateescape")  # names need not be UTF-8
    whole = hashlib.sha256(listed).hexdigest() if hashes else sha256(source)
    files = hashes if len(hashes) <= MOST_FILES_NAMED else {}
    named = {f"source/{path.name}": {"path": str(path), "sha256": digest} for path, digest in files.items()}
    return {"source": {"path": str(source), "sha256": whole}} | named


def _report(session: Session, result: dict[str, Any]) -> None:
    for text in result["warnings"]:
        session.console.warn(text)
    for text in result["notes"]:
        session.console.note(text)


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show the cohort's attrition, the splits, and what is never measured."""
    from rich.table import Table

    features = f"{result['features']} features of {result['variables']}"
    yield f"{result['path']}: {features} over {result['window_hours']} hours"
    table = Table("left are stays with", title=f"Cohort ({result['format']})", title_justify="left")
    for name in ("stays", "admissions", "patients", "dropped"):
        table.add_column(name, justify="right")
    for step in result["attrition"]:
        counts = (step[name] for name in ("stays", "admissions", "patients", "dropped"))
        table.add_row(step["rule"], *("–" if count is None else f"{count:,}" for count in counts))
    yield table
    yield _splits_table(result)
    if result["never_measured"]:
        yield f"Never measured: {', '.join(result['never_measured'])}"


def _splits_table(result: dict[str, Any]):
    from rich.table import Table

    table = Table(title=f"Splits ({result['split_rule']})", title_justify="left")
    table.add_column("split")
    for name in ("stays", "patients", "deaths", "mortality"):
        table.add_column(name, justify="right")
    for name, count in result["splits"].items():
        share = f"{count['deaths'] / count['stays']:.1%}" if count["stays"] else "–"
        table.add_row(name, f"{count['stays']:,}", f"{count['patients']:,}", f"{count['deaths']:,}", share)
    return table
