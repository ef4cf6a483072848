"""predict: the risk of each stay, from a `.tflite` file, without TensorFlow.

Comes in: a `.tflite` file or model directory, and a data set or raw records, which are prepared by the file's own
metadata. Goes out: a row a stay, CSV or JSON lines, written as they are computed, so that memory stays the same however
many stays there are.
"""

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mortcond.core.artifacts import atomic_file, refuse_existing
from mortcond.core.calls import takes
from mortcond.core.choices import ScoringEngine
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.deploy import stays as stays_room
from mortcond.deploy.risk_rows import COLUMNS, doubts_of, of_batch, with_dropped
from mortcond.deploy.runtime import Predictor, tflite_path
from mortcond.deploy.stays import SPLITS, Stays
from mortcond.options.predict import Predict
from mortcond.variables.plausible import Doubts

MOST_THREADS = 4  # beyond, reading the stays is what takes the time
PREPARED_MARGIN = 100.0  # ranges: preprocess has told of what lies outside; told again is what lies far outside
BATCH_STAYS = 512  # read, predicted and written at a time


@dataclass(frozen=True)
class Source:
    """Stays to come, with the names of their features."""

    feature_names: tuple[str, ...]
    batches: Iterator[Stays]
    stays: int  # how many
    doubts: Doubts | None = None  # what of them can be compared with plausible ranges
    dropped: dict[int, str] = field(default_factory=dict)  # further stays that get no risk, and why
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@takes(Predict)
def predict(session: Session, options: Predict) -> dict[str, Any]:
    """Predict the risk of death in hospital of each stay.

    Returns
    -------
    path, model, stays, predicted, without_risk (how many for each reason), warnings (how many stays have one), notes
    (what was left out), and `predictions` where they go nowhere else.
    """
    out = options.out
    if out is not None:
        refuse_existing(out, session.overwrite)
    threads = options.threads or min(os.cpu_count() or 1, MOST_THREADS)
    if options.engine == ScoringEngine.spark:
        return _on_spark(session, options)
    predictor = Predictor(_model_path(session, options.model), threads, session.trust_changed)
    kept: list[dict[str, Any]] = []
    with (
        _source(session, predictor, options) as source,
        _sink(session, out, options.write_as, kept) as write,
    ):
        result = _predict(session, predictor, source, write)
        _tell(session, source, result)
    result |= {"path": str(out) if out else None, "model": str(predictor.path)}
    return result | ({"predictions": kept} if session.console.json and out is None else {})


def _on_spark(session: Session, options: Predict) -> dict[str, Any]:
    """Score a table of events on a cluster; the rows come back sorted and are written as they come."""
    from mortcond.deploy import spark
    from mortcond.tables.engines import address

    model = tflite_path(_model_path(session, options.model))
    kept: list[dict[str, Any]] = []
    done, warned, without = 0, 0, Counter()
    place = address(options.data)
    with _sink(session, options.out, options.write_as, kept) as write:
        for row in spark.scored(options.spark_master, place, model, session.console, strict=options.strict):
            write([row | {"never_measured": [name for name in row["never_measured"].split(";") if name]}])
            done += 1
            warned += bool(row["warning"])
            without.update([row["reason"]] if row["reason"] else [])
    counts = {"stays": done, "predicted": done - without.total(), "without_risk": dict(without.most_common())}
    _tell_without(session, counts)
    result = counts | {"warnings": warned, "notes": []}
    result |= {"path": str(options.out) if options.out else None, "model": str(model)}
    return result | ({"predictions": kept} if session.console.json and options.out is None else {})


def _model_path(session: Session, model: Path) -> Path:
    if model.exists():
        return model
    named = session.workspace / model
    if not named.exists():
        raise InputError(f"There is no model {model}, and none of that name in {session.workspace}.", "Check the path.")
    return named


def _predict(session: Session, predictor: Predictor, source: Source, write) -> dict[str, Any]:
    done, warned, without = 0, 0, Counter()
    with session.console.progress("Predicting", total=source.stays) as bar:
        found = (
            list(of_batch(batch, predictor.predict(batch.x), source.feature_names, source.doubts))
            for batch in source.batches
        )
        for rows in with_dropped(found, source.dropped):
            write(rows)
            done += len(rows)
            warned += sum(bool(row["warning"]) for row in rows)
            without.update(row["reason"] for row in rows if row["reason"])
            bar.advance(len(rows), note=f"{done:,} stays")
    counts = {"stays": done, "predicted": done - without.total(), "without_risk": dict(without.most_common())}
    return counts | {"warnings": warned, "notes": [*source.warnings, *source.notes]}


def _tell(session: Session, source: Source, result: dict[str, Any]) -> None:
    """Say on stderr what was left out, of the records and of the stays."""
    for text in source.warnings:
        session.console.warn(text)
    for text in source.notes:
        session.console.note(text)
    _tell_without(session, result)


def _tell_without(session: Session, result: dict[str, Any]) -> None:
    without = ", ".join(f"{reason}: {count:,}" for reason, count in result["without_risk"].items())
    if without:
        session.console.warn(f"{result['predicted']:,} of {result['stays']:,} stays have a risk; none for {without}.")


# Where the stays come from.


@contextmanager
def _source(session: Session, predictor: Predictor, options: Predict) -> Iterator[Source]:
    data, split = options.data, options.split
    if not data.exists():
        raise InputError(f"There is no {data}.", "Name a data set (.npz), or a folder or file of records.")
    if data.suffix == ".npz":
        with stays_room.opened(data) as file:
            splits = SPLITS if split == "all" else (split,)
            header = stays_room.header(file, splits)
            _check_inputs(session, predictor, data, header)
            batches = stays_room.batches(file, splits, BATCH_STAYS)
            yield Source(header.feature_names, batches, header.stays, doubts_of(predictor.metadata, PREPARED_MARGIN))
    else:
        with _raw(session, predictor, options) as source:
            yield source


def _check_inputs(session: Session, predictor: Predictor, data: Path, header: stays_room.Header) -> None:
    """See that a data set is what the model was trained on; where the model does not say, say so."""
    inputs = (predictor.metadata or {}).get("inputs")
    if not inputs:
        session.console.warn(
            f"{predictor.path} carries no metadata on its inputs: no variables, no scaling, no threshold, no origin. "
            f"{data} is taken to be prepared as the model needs it."
        )
        return
    remedy = "Prepare these records for this model with mortcond preprocess --apply and its own data set."
    if tuple(inputs.get("feature_names", ())) != header.feature_names:
        raise InputError(f"{data} has other features than {predictor.path} was trained on.", remedy)
    for name, own in (("mean", header.mean), ("std", header.std)):
        if name in inputs and not np.allclose(np.asarray(inputs[name], float), own, rtol=1e-5, atol=1e-6):
            raise InputError(f"{data} is scaled in another way than {predictor.path} was trained on ({name}).", remedy)


@contextmanager
def _raw(session: Session, predictor: Predictor, options: Predict) -> Iterator[Source]:
    inputs = (predictor.metadata or {}).get("inputs")
    if not inputs:
        raise InputError(
            f"{predictor.path} carries no metadata on its inputs, so raw records cannot be prepared for it.",
            "Give it a dataset.npz, or make the file again with mortcond quantize.",
        )
    from mortcond.dataset import InputSpec, raw_stays

    spec = InputSpec.from_dict(inputs)
    how = {"format": options.format, "strict": options.strict, "batch_stays": BATCH_STAYS}
    with raw_stays(options.data, spec, session, **how) as raw:
        batches = (Stays(batch.stay_id, batch.X) for batch in raw.batches)
        listed = raw.stays + len(raw.dropped)
        yield Source(
            spec.feature_names, batches, listed, doubts_of(predictor.metadata), raw.dropped, raw.notes, raw.warnings
        )


# Where the rows go.


@contextmanager
def _sink(session: Session, out: Path | None, write_as: str, kept: list[dict[str, Any]]) -> Iterator[Any]:
    if out is None and session.console.json:
        yield kept.extend
        return
    with (
        atomic_file(out) if out else nullcontext() as partial,
        partial.open("w", newline="", encoding="utf-8") if partial else nullcontext(sys.stdout) as file,
    ):
        yield _csv_writer(file) if write_as == "csv" else _lines_writer(file)


def _csv_writer(file: TextIO):
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()

    def write(rows: list[dict[str, Any]]) -> None:
        writer.writerows(row | {"never_measured": ";".join(row["never_measured"])} for row in rows)

    return write


def _lines_writer(file: TextIO):
    def write(rows: list[dict[str, Any]]) -> None:
        file.writelines(json.dumps(row) + "\n" for row in rows)

    return write


def render(result: dict[str, Any]) -> Iterator[str]:
    """Yield what there is to say where the rows went to a file; on stdout they are the result."""
    if result["path"]:
        warned = f", {result['warnings']:,} with a warning" if result["warnings"] else ""
        warned += f", {result['stays'] - result['predicted']:,} without a risk" if result["without_risk"] else ""
        yield f"{result['path']}: {result['stays']:,} stays{warned}"
