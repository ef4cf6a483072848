"""preprocess: raw records of any source -> dataset.npz.

Comes in: a folder or archive of records, the bundled sample by default. Goes out: the data set in the workspace, with
its cohort's attrition table, its splits and everything that prepares other records in the same way.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import cohort, dataset, tables
from mortcond.core.artifacts import atomic_file, names_digest, refuse_existing, sha256
from mortcond.core.calls import takes
from mortcond.core.choices import Engine
from mortcond.core.errors import InputError, UsageError
from mortcond.core.manifest import OF_THE_CALL, Manifest, library_versions
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import DATASET
from mortcond.dataset import InputSpec, arrays, arrays_file, build
from mortcond.options.preprocess import Preprocess
from mortcond.tables import Records, Request
from mortcond.tables.engines import address, opened
from mortcond.variables import Variables, load

OF_THE_MACHINE = (*OF_THE_CALL, "workspace", "out", "threads", "memory_limit")  # no option of these changes the data
MOST_FILES_NAMED = 50  # in the manifest, one by one


@takes(Preprocess)
def preprocess(session: Session, options: Preprocess) -> dict[str, Any]:
    """Make a data set of raw records.

    Returns
    -------
    path, source, features, splits, attrition, never_measured, warnings, notes and seconds.
    """
    if options.print_scan:
        return _printed(session, options)
    target = options.out or session.workspace / DATASET
    refuse_existing(target, session.overwrite)
    if options.source is not None and arrays_file.is_arrays(options.source):
        return _of_arrays(session, options, options.source, target)
    old = _old_spec(options.apply) or _spec_of_model(session, options.for_model)
    source = _source(session, options)
    chosen = old.variables if old else load(options.variables)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(_near(target)) as scratch:
        records = _read(session, options, source, chosen, scratch, old.window_hours if old else build.WINDOW_HOURS)
        _refuse_empty(source, records)
        if options.apply:
            split, rule = np.full(len(records.stays), "test"), f"all in test, prepared as {options.apply.name}"
        else:
            split, rule = cohort.assign(records.stays, session.seed, options.split_file)
        derive = options.derive or ()
        if options.for_model:
            died = records.stays.died[split == "train"]
            old = replace(old, prevalence=float(died.mean()) if len(died) else old.prevalence)
        spec = old or build.fit_spec(records, split == "train", chosen, derive, options.scale, session.console)
        result = _result(target, source, records, split, rule, spec)
        _write(session, target, source, records, split, spec, result, _inputs(options))
    _report(session, result)
    return result


def _source(session: Session, options: Preprocess) -> Path:
    """Return where the records are; of an engine, what names the place there."""
    if options.source is not None or options.engine != Engine.duckdb:
        return options.source or Path()
    sample = tables.bundled_sample()
    session.console.note(f"No SOURCE given: using the bundled sample, a synthetic hospital ({sample}).")
    return sample


def _read(
    session: Session, options: Preprocess, source: Path, chosen: Variables, scratch: Path, window_hours: int
) -> Records:
    place = None if options.source is None else address(options.source)
    with opened(options.engine, place, master=options.spark_master, dsn=options.dsn) as engine:
        more = {"engine": engine, "scanned": options.scanned, "window_hours": window_hours}
        request = _request(session, options, scratch, **more)
        return tables.read(source, chosen, request, options.format)


def _request(session: Session, options: Preprocess, scratch: Path, **more: Any) -> Request:
    limits = {"memory_limit": options.memory_limit, "threads": options.threads, "console": session.console}
    return Request(scratch, options.outcomes, strict=options.strict, **limits, **more)


def _printed(session: Session, options: Preprocess) -> dict[str, Any]:
    """Return the scan as SQL, for the cohort of the small tables."""
    schemas = tuple(part.strip() for part in (options.schema or "").split(",") if part.strip())
    with scratch_folder() as scratch:
        request = _request(session, options, scratch)
        chosen = load(options.variables or "paper76")
        sql = tables.statement(options.source, chosen, request, options.print_scan, schemas, options.format)
    if options.out is not None:
        refuse_existing(options.out, session.overwrite)
        with atomic_file(options.out) as partial:
            partial.write_text(sql, encoding="utf-8")
    path = str(options.out) if options.out else None
    return {"path": path, "dialect": str(options.print_scan), "statement": sql}


def _near(target: Path) -> Path | None:
    """Return the folder for scratch files: the target's, unless its name is no UTF-8, which DuckDB cannot write to."""
    try:
        str(target.absolute()).encode()
    except UnicodeEncodeError:
        return None
    return target.parent


def _inputs(options: Preprocess) -> dict[str, Path | None]:
    """Return the files that the user named beside the records, by their role in the manifest."""
    named = {name: getattr(options, name) for name in ("apply", "for_model", "split_file", "outcomes")}
    table = Path(options.variables or "")
    return named | {"variables": table if table.is_file() else None}


def _old_spec(path: Path | None) -> InputSpec | None:
    if path is None:
        return None
    record = dataset.load(path, splits=()).meta.get("inputs")
    if not record:
        raise InputError(f"{path} does not say how it was prepared.", "Make it again with mortcond preprocess.")
    return InputSpec.from_dict(record)


def _spec_of_model(session: Session, model: Path | None) -> InputSpec | None:
    """Return how a model wants its records prepared.

    Raises InputError where it does not say.
    """
    if model is None:
        return None
    record = _metadata(session, model).get("inputs") or {}
    if "variables" not in record:
        raise InputError(
            f"{model} does not say how records are prepared for it.",
            "Import it with --scaling or --variables; or give arrays that are as it wants them.",
        )
    return InputSpec.from_dict(record)


def _metadata(session: Session, model: Path) -> dict[str, Any]:
    from mortcond.deploy import metadata
    from mortcond.deploy.directory import TFLITE

    path = model if model.exists() else session.workspace / model
    if not path.exists():
        raise InputError(f"There is no model {model}, and none of that name in {session.workspace}.", "Check the path.")
    return metadata.read(path / TFLITE if path.is_dir() else path) or {}


def _of_arrays(session: Session, options: Preprocess, source: Path, target: Path) -> dict[str, Any]:
    """Make a data set of arrays of one's own, scaled by its training split or as a model wants it."""
    if options.apply or options.derive or options.split_file:
        raise UsageError("Arrays take no --apply, --derive or --split-file.", "Put a split into the npz file.")
    given = arrays_file.read(source)
    scale = options.scale is not False
    moments = _moments_of_model(session, options.for_model, given)
    data = arrays.from_arrays(**given, moments=moments, scale=scale, seed=session.seed)
    splits = {name: _counts(data.split(name), data.labelled) for name in dataset.SPLITS}
    notes = [] if data.labelled else ["There is no y: its stays do to quantise, export and prune without training."]
    facts = {"path": str(target), "source": str(source), "format": "arrays", "variables": "its own names"}
    facts |= {"features": len(data.feature_names), "window_hours": given["X"].shape[1]}
    facts |= {"scaled": moments is not None or scale, "split_rule": data.meta["split_rule"], "splits": splits}
    result = facts | {
        "attrition": [],
        "warnings": cohort.warnings(splits) if data.labelled else [],
        "notes": notes,
        "never_measured": [],
    }
    used = {"source": {"path": str(source), "sha256": sha256(source)}}
    manifest = session.manifest("dataset", target.stem, used)
    meta = {"manifest": asdict(manifest), "versions": library_versions(), "attrition": []}
    dataset.save(target, replace(data, meta=data.meta | meta))
    _report(session, result)
    return result | {"seconds": manifest.wall_seconds}


def _counts(split: dataset.Split, labelled: bool) -> dict[str, int | None]:
    deaths = int(split.y.sum()) if labelled else None
    return {"stays": len(split), "patients": len(np.unique(split.subject_id)), "deaths": deaths}


def _moments_of_model(
    session: Session, model: Path | None, given: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return how a model scales its columns, whose names the arrays get where they have none."""
    if model is None:
        return None
    inputs = _metadata(session, model).get("inputs")
    if not inputs:
        raise InputError(f"{model} does not say how its arrays are scaled.", "Leave out --for, and give --no-scale.")
    names = list(inputs["feature_names"])
    if list(given.setdefault("feature_names", np.array(names))) != names:
        raise InputError(f"The arrays have other feature names than {model} reads.", "Give its columns in its order.")
    return np.array(inputs["mean"], float), np.array(inputs["std"], float)


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
        "warnings": [*records.warnings, *cohort.warnings(splits)],
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
        return kept | {"inputs": spec.to_dict(), "manifest": _timeless(manifest), "versions": library_versions()}

    build.write(target, records, split, spec, session.console, meta)


def _timeless(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest without what makes no difference to the data: the clock, where they go, on how many threads.

    The same records prepared in the same way are then the same bytes, by whose hash models know what they learnt from.
    """
    options = {name: entry for name, entry in manifest.options.items() if name not in OF_THE_MACHINE}
    return asdict(manifest) | {"wall_seconds": None, "options": options}


def _source_inputs(source: Path, records: Records) -> dict[str, dict[str, str]]:
    """Return the manifest's record of what was read: file by file where the source says which and they are few."""
    if records.origin:  # of a database: there is no file to hash, but the cohort that it gave
        listed = records.stays.to_csv(index=False).encode()
        return {"source": {"path": records.origin, "sha256": hashlib.sha256(listed).hexdigest()}}
    files = sorted(records.files) if len(records.files) <= MOST_FILES_NAMED else []
    named = {f"source/{path.name}": {"path": str(path), "sha256": sha256(path)} for path in files}
    listed = "".join(f"{path.name}\0{named[f'source/{path.name}']['sha256']}\n" for path in files)
    listed = listed.encode(errors="surrogateescape")  # names need not be UTF-8
    whole = hashlib.sha256(listed).hexdigest() if files else sha256(source)
    return {"source": {"path": str(source), "sha256": whole, "names": names_digest(source)}} | named


def _report(session: Session, result: dict[str, Any]) -> None:
    for text in result["warnings"]:
        session.console.warn(text)
    for text in result["notes"]:
        session.console.note(text)


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show the cohort's attrition, the splits, and what is never measured; or the scan that was asked for."""
    if "statement" in result:
        if not result["path"]:
            print(result["statement"], end="")  # as it is: rich would break its lines
        return
    from rich.table import Table

    features = f"{result['features']} features of {result['variables']}"
    yield f"{result['path']}: {features} over {result['window_hours']} hours"
    table = Table("left are stays with", title=f"Cohort ({result['format']})", title_justify="left")
    for name in ("stays", "admissions", "patients", "dropped"):
        table.add_column(name, justify="right")
    for step in result["attrition"]:
        counts = (step[name] for name in ("stays", "admissions", "patients", "dropped"))
        table.add_row(step["rule"], *("–" if count is None else f"{count:,}" for count in counts))
    if result["attrition"]:
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
        known = count["deaths"] is not None
        share = f"{count['deaths'] / count['stays']:.1%}" if known and count["stays"] else "–"
        deaths = f"{count['deaths']:,}" if known else "unknown"
        table.add_row(name, f"{count['stays']:,}", f"{count['patients']:,}", deaths, share)
    return table
