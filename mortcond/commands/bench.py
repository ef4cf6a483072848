"""bench: measure artifacts on the stays of a data set: accuracy, cost, and what condensation changed.

Comes in: artifacts (every one of the workspace by default) and a data set. Goes out: the folder bench/ with
results.json, results.csv, plots with their data, and report.html. No TensorFlow unless --runtime asks for it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond.core.artifacts import atomic_directory, refuse_existing, sha256
from mortcond.core.calls import takes
from mortcond.core.errors import ChangedError, InputError, LimitError
from mortcond.core.libraries import how_to_install
from mortcond.core.session import Session
from mortcond.core.workspace import dataset_path
from mortcond.dataset import Dataset
from mortcond.measure import drift as drifting
from mortcond.measure import latency, machine, simultaneous, tables, validation
from mortcond.measure.answer import answer, cautions
from mortcond.measure.candidates import Candidate, find, read, resolve, told_apart
from mortcond.measure.evaluate import CONDENSED, Question, Stays, decision_references, evaluate
from mortcond.measure.intervals import too_few
from mortcond.measure.records import plain
from mortcond.options.bench import Bench

RESULTS = "results.json"


@takes(Bench)
def bench(session: Session, options: Bench) -> dict[str, Any]:
    """Measure artifacts and write the report.

    Returns
    -------
    What results.json holds, and `path`, the folder.

    Raises
    ------
    InputError
        An artifact or the data set cannot be used.
    LimitError
        A limit was not met; everything is written, and the result travels with the error.
    """
    target = options.out or session.workspace / "bench"
    refuse_existing(target, session.overwrite or (target / RESULTS).is_file())
    plan = latency.Plan(options.batch, options.threads, options.rounds, session.seed)
    data = _load_split(dataset_path(session, options.dataset), options.split)
    prevalence = data.meta.get("prevalence")
    question = Question(options.margin, options.threshold, prevalence, options.resamples, session.seed)
    candidates, left_out = _candidates(session, options.artifacts, options.runtime, data)
    measured = _measure(session, candidates, data, options.split.value, plan, question, bool(options.artifacts))
    result = {"path": str(target), "measured_at": datetime.now(UTC).isoformat(timespec="seconds")} | measured
    result["left_out"] = left_out + result["left_out"]
    _write(session, target, result, options.markdown)
    _check_limits(result, options)
    return result


def _measure(
    session: Session,
    candidates: list[Candidate],
    data: Dataset,
    split: str,
    plan: latency.Plan,
    question: Question,
    explicit: bool,
) -> dict[str, Any]:
    """Run, time and score the candidates; return what results.json says of them, of the stays and of the machine."""
    part = data.split(split)
    costs, noise = latency.measure(candidates, part.X, plan, session.console)
    ran, failed = _those_that_ran(session, candidates, costs, explicit)
    stays = Stays(part.y, part.subject_id, part.age, part.sex, part.icu_type)
    with session.console.progress("Scoring", total=None):
        models = evaluate([one for one, _ in ran], [cost for _, cost in ran], stays, question)
    described = _describe(data, split, stays)
    described["external"] = _external(data, described, candidates)
    described["recalibrated_here"] = [c.label for c in candidates if described["sha256"] in c.recalibrated_on]
    drift = drifting.shifts(data, part, _learned_from(data)) if described["external"] else []
    result = {"machine": machine.describe(), "dataset": described, "models": models, "drift": drift, "left_out": failed}
    result |= {
        "settings": _settings(question, plan, models),
        "noise": noise,
        "decision": decision_references(stays.died),
    }
    result |= {"validation": validation.read(session.workspace / validation.FOLDER, described["sha256"])}
    result |= {"paper": tables.published(), "answer": answer(models, described, result["validation"])}
    return plain(result)


def _load_split(source: Path, split: str) -> Dataset:
    data = datasets.load(source, splits=(split,))
    if not len(data.split(split).y):
        raise InputError(f"{source} has no stays in its {split} split.", "Use another --split, or more stays.")
    return data


def _candidates(
    session: Session, artifacts: Sequence[Path] | None, runtimes: Sequence[str], data: Dataset
) -> tuple[list[Candidate], list[dict[str, str]]]:
    """Return what to measure, and what of the workspace cannot be; what the user named must be measurable."""
    paths = [resolve(path, session.workspace) for path in artifacts or ()]
    found, left_out = [], []
    for path in paths or find(session.workspace):
        try:
            found += _readable(session, path, runtimes, data, explicit=bool(paths))
        except InputError as error:
            if paths or isinstance(error, ChangedError):  # a table without the changed one would hide the change
                raise
            left_out.append(_leave_out(session, path.name, error.problem))
    if not found:
        raise InputError(f"{session.workspace} holds nothing to measure.", "Train a model first, or name artifacts.")
    return told_apart(found), left_out


def _readable(session: Session, path: Path, runtimes: Sequence[str], data: Dataset, explicit: bool) -> list[Candidate]:
    """Return the candidates of one artifact; a discovered .tflite is left out of the runtimes that cannot run it."""
    able = runtimes if path.is_dir() or explicit else [name for name in runtimes if name == "litert"]
    found = [read(path, name, session.trust_changed) for name in able]
    for candidate in found:
        features = candidate.features
        if features is not None and list(features) != list(data.feature_names):
            raise InputError(
                f"{path} was trained on other features ({len(features)}) than the data set has "
                f"({len(data.feature_names)}).",
                "Use the data set it was trained on, or one made with preprocess --apply.",
            )
        _refuse_learnt_from(candidate, data)
        _refuse_scaled_otherwise(candidate, data)
    return found


def _refuse_learnt_from(candidate: Candidate, data: Dataset) -> None:
    """Refuse to judge a model on a data set of which every stay was learnt from (train --all-stays)."""
    whole_of = candidate.ancestral_datasets - {candidate.dataset_sha256}
    if whole_of and sha256(data.path) in whole_of:
        raise InputError(
            f"{candidate.path} was trained on every stay of {data.path}: none is left to judge it by.",
            f"Use other stays, made with preprocess --for {candidate.path} RECORDS.",
        )


def _refuse_scaled_otherwise(candidate: Candidate, data: Dataset) -> None:
    inputs = candidate.metadata.get("inputs") or {}
    known = [part for part in ("mean", "std") if part in inputs]
    if not all(np.allclose(inputs[part], getattr(data, part), rtol=1e-5, atol=1e-8) for part in known):
        raise InputError(
            f"{data.path} is scaled otherwise than the stays that {candidate.path} learnt from.",
            f"Make it with preprocess --for {candidate.path} RECORDS, or --apply and the data set of the model.",
        )


def _leave_out(session: Session, name: str, why: str) -> dict[str, str]:
    session.console.warn(f"{name} is left out: {why}")
    return {"name": name, "why": why}


def _those_that_ran(
    session: Session, found: list[Candidate], costs: list[latency.Cost], explicit: bool
) -> tuple[list[tuple[Candidate, latency.Cost]], list[dict[str, str]]]:
    """Keep what could be run, and say what could not; a named artifact that could not is an error."""
    failed = []
    for candidate, cost in zip(found, costs, strict=True):
        cost.error = cost.error or _no_numbers(cost.risks)
        if cost.error and explicit:
            problem = f"{candidate.path} cannot be run by {candidate.runtime}: {cost.error.rstrip('.')}."
            absent = re.search(r"No module named '(\w+)", cost.error)
            raise InputError(
                problem, how_to_install(absent[1]) if absent else "Make it again, or use another --runtime."
            )
        if cost.error:
            failed.append(_leave_out(session, candidate.label, cost.error))
    kept = [(candidate, cost) for candidate, cost in zip(found, costs, strict=True) if not cost.error]
    if not kept:
        raise InputError(f"None of the {len(found)} artifacts could be run: {costs[0].error}.", "Make them again.")
    return kept, failed


def _no_numbers(risks: np.ndarray) -> str | None:
    """Say that some stays get no risk, or one outside 0 to 1; None where all is well."""
    wrong = int((~((risks >= 0) & (risks <= 1))).sum())
    return f"{wrong:,} of {len(risks):,} stays get a risk that is no number from 0 to 1" if wrong else None


def _describe(data: Dataset, split: str, stays: Stays) -> dict[str, Any]:
    events, meta = int(stays.died.sum()), data.meta
    facts = {
        "path": str(data.path),
        "sha256": sha256(data.path),
        "split": split,
        "n": len(stays.died),
        "events": events,
    }
    facts |= {"patients": len(np.unique(stays.subject_id)), "prevalence": events / len(stays.died)}
    facts |= {"training_prevalence": meta.get("prevalence"), "source": meta.get("source")}
    facts |= {"split_rule": meta.get("split_rule"), "attrition": meta.get("attrition")}
    return facts | {"caution": too_few(stays.died)}


def _external(data: Dataset, described: dict[str, Any], candidates: list[Candidate]) -> str | None:
    """Say that these stays are of another data set than the networks learned from; None where they are not."""
    apply = _applied(data)
    if apply is None or any(candidate.dataset_sha256 == described["sha256"] for candidate in candidates):
        return None
    alike = f"prepared with the variables and scaling of {Path(apply['path']).name}"
    strangers = [c.label for c in candidates if c.dataset_sha256 not in (None, apply["sha256"])]
    told = f" ({', '.join(strangers)}: trained on other data than that)" if strangers else ""
    return f"External validation: {described['n']:,} stays of {described['source']}, {alike}{told}."


def _applied(data: Dataset) -> dict[str, str] | None:
    """Return path and SHA-256 of the data set whose preparation this one was given with --apply."""
    return ((data.meta.get("manifest") or {}).get("inputs") or {}).get("apply")


def _learned_from(data: Dataset) -> datasets.Split | None:
    """Return the training stays of the data set that this one was prepared as, where that is still at hand."""
    apply = _applied(data)
    path = Path(apply["path"])
    if not path.is_file() or sha256(path) != apply["sha256"]:
        return None
    return datasets.load(path, splits=("train",)).train


def _settings(question: Question, plan: latency.Plan, models: list[dict[str, Any]]) -> dict[str, Any]:
    facts = {"batches": list(plan.batches), "threads": plan.threads, "rounds": plan.rounds, "seed": plan.seed}
    facts |= {"margin": question.margin, "threshold": question.threshold, "resamples": question.resamples}
    facts["simultaneous"] = simultaneous.told(sum(record[key] is not None for record in models for key in CONDENSED))
    return facts | {"interval": "95 %, percentile bootstrap by patient", "load_ms": "without the import of the runtime"}


def _write(session: Session, target: Path, result: dict[str, Any], markdown: bool) -> None:
    """Write the folder of the report; the names of its plots are put into the result."""
    from mortcond.measure import report
    from mortcond.measure.plots import figures

    with atomic_directory(target) as folder:
        tables.write_csv(folder / "results.csv", result)
        with session.console.progress("Drawing", total=None):
            result["plots"], missing = figures.write_all(folder / "plots", result)
        if missing:
            session.console.warn(missing)
        (folder / "report.html").write_text(report.html(result, folder / "plots"), encoding="utf-8")
        if markdown:
            (folder / "model-card.md").write_text(report.model_card(result), encoding="utf-8")
        (folder / RESULTS).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _check_limits(result: dict[str, Any], limits: Bench) -> None:
    """Raise LimitError, naming every artifact that misses a limit and by how much."""
    missed = []
    first = str(result["settings"]["batches"][0])
    for record in result["models"]:
        label, compared = record["label"], record["delta_auroc_baseline"] or record["delta_auroc"]
        if limits.max_auroc_drop is not None and compared is not None:
            if compared["value"] is None:
                missed.append(f"{label}: its AUROC is not defined on these stays")
            elif -compared["value"] > limits.max_auroc_drop:
                drop = f"{-compared['value']:.4f} of AUROC below {compared['vs']}"
                missed.append(f"{label}: {drop}, more than {limits.max_auroc_drop}")
        if limits.max_bytes is not None and record["size_bytes"] > limits.max_bytes:
            missed.append(f"{label}: {record['size_bytes']:,} bytes, more than {limits.max_bytes:,}")
        time_us = record["latency_us_per_stay"][first]["p50"]
        if limits.max_latency_us is not None and time_us > limits.max_latency_us:
            missed.append(f"{label}: {time_us:.1f} µs a stay, more than {limits.max_latency_us:g}")
    if missed:
        problem = f"A limit was not met by {'; '.join(missed)}."
        raise LimitError(problem, f"The report is in {result['path']}.", result, render)


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show the answer, the table, and what a reader must know of it."""
    if result["dataset"]["external"]:
        yield result["dataset"]["external"]
        yield ""
    yield tables.ResultTable(result)
    yield ""
    yield from filter(None, (result["answer"]["validated"], result["answer"]["sentence"]))
    yield from cautions(result)
    yield f"Report: {Path(result['path']) / 'report.html'}"
