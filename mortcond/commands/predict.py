"""predict: the risk of each stay, from a `.tflite` file, without TensorFlow.

Comes in: a `.tflite` file or model directory, and a data set or raw records, which are prepared by the file's own
metadata. Goes out: a row a stay, CSV or JSON lines, written as they are computed, so that memory stays the same however
many stays there are.
"""

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mortcond.core.artifacts import atomic_file, refuse_existing
from mortcond.core.calls import takes
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.deploy import stays as stays_room
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.stays import SPLITS, Stays, measured_hours
from mortcond.options.predict import Predict

COLUMNS = ("stay_id", "risk", "never_measured", "warning")
MOST_THREADS = 4  # beyond, reading the stays is what takes the time
BATCH_STAYS = 512  # read, predicted and written at a time


@dataclass(frozen=True)
class Source:
    """Stays to come, with the names of their features."""

    feature_names: tuple[str, ...]
    batches: Iterator[Stays]
    stays: int | None  # how many; None where that is not known before


@takes(Predict)
def predict(session: Session, options: Predict) -> dict[str, Any]:
    """Predict the risk of death in hospital of each stay.

    Returns
    -------
    path, model, stays, warnings (how many stays have one), and `predictions` where they go nowhere else.
    """
    out = options.out
    if out is not None:
        refuse_existing(out, session.overwrite)
    threads = options.threads or min(os.cpu_count() or 1, MOST_THREADS)
    predictor = Predictor(_model_path(session, options.model), threads, session.trust_changed)
    kept: list[dict[str, Any]] = []
    with (
        _source(session, options.data, predictor, options.split, options.format) as source,
        _sink(session, out, options.write_as, kept) as write,
    ):
        result = _predict(session, predictor, source, write)
    result |= {"path": str(out) if out else None, "model": str(predictor.path)}
    return result | ({"predictions": kept} if session.console.json and out is None else {})


def _model_path(session: Session, model: Path) -> Path:
    if model.exists():
        return model
    named = session.workspace / model
    if not named.exists():
        raise InputError(f"There is no model {model}, and none of that name in {session.workspace}.", "Check the path.")
    return named


def _predict(session: Session, predictor: Predictor, source: Source, write) -> dict[str, int]:
    done = warned = 0
    with session.console.progress("Predicting", total=source.stays) as bar:
        for batch in source.batches:
            rows = list(_rows(batch, predictor.predict(batch.x), source.feature_names))
            write(rows)
            done += len(rows)
            warned += sum(bool(row["warning"]) for row in rows)
            bar.advance(len(rows), note=f"{done:,} stays")
    return {"stays": done, "warnings": warned}


def _rows(batch: Stays, risks: np.ndarray, feature_names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    names, measured = measured_hours(batch.x, feature_names)
    for index, (stay_id, risk) in enumerate(zip(batch.stay_id, risks, strict=True)):
        row = {"stay_id": int(stay_id), "risk": round(float(risk), 6), "never_measured": [], "warning": ""}
        if measured is not None:
            ever = measured[index].any(axis=0)
            row["never_measured"] = [name for name, known in zip(names, ever, strict=True) if not known]
            row["warning"] = _warning(measured[index].any(axis=1))
        yield row


def _warning(hours: np.ndarray) -> str:
    missing = int(np.sum(~hours))
    return f"nothing was measured in {missing} of {len(hours)} hours" if 2 * missing > len(hours) else ""


# Where the stays come from.


@contextmanager
def _source(session: Session, data: Path, predictor: Predictor, split: str, format: str | None) -> Iterator[Source]:
    if not data.exists():
        raise InputError(f"There is no {data}.", "Name a data set (.npz), or a folder or file of records.")
    if data.suffix == ".npz":
        with stays_room.opened(data) as file:
            splits = SPLITS if split == "all" else (split,)
            header = stays_room.header(file, splits)
            _check_inputs(session, predictor, data, header)
            yield Source(header.feature_names, stays_room.batches(file, splits, BATCH_STAYS), header.stays)
    else:
        yield _raw(session, data, predictor, format)


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


def _raw(session: Session, data: Path, predictor: Predictor, format: str | None) -> Source:
    inputs = (predictor.metadata or {}).get("inputs")
    if not inputs:
        raise InputError(
            f"{predictor.path} carries no metadata on its inputs, so raw records cannot be prepared for it.",
            "Give it a dataset.npz, or make the file again with mortcond quantize.",
        )
    from mortcond.dataset import InputSpec
    from mortcond.dataset import batches as raw_batches

    spec = InputSpec.from_dict(inputs)
    found = raw_batches(data, spec, session, format=format, batch_stays=BATCH_STAYS)
    return Source(spec.feature_names, (Stays(batch.stay_id, batch.X) for batch in found), None)


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
        yield f"{result['path']}: {result['stays']:,} stays{warned}"
