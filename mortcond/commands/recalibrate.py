"""recalibrate: the same network, its risks brought to the level of a new hospital.

Comes in: a model directory and a labelled data set of the hospital, made with `preprocess --apply`. Goes out: a model
directory whose last layer holds the new level, with the scores of the risks before and after, cross-validated. The data
that the network learned from are not needed.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond.core.artifacts import refuse_existing, sha256
from mortcond.core.calls import takes
from mortcond.core.choices import Level
from mortcond.core.errors import InputError
from mortcond.core.libraries import require
from mortcond.core.manifest import Manifest, rounded
from mortcond.core.options import plain
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.dataset import Dataset, Split
from mortcond.deploy.directory import HISTORY, TFLITE
from mortcond.measure import recalibration, records
from mortcond.measure.candidates import read_history
from mortcond.measure.recalibration import Fit
from mortcond.measure.tables import number
from mortcond.options.recalibrate import Recalibrate

WHAT = "a trained model directory"
SUFFIX = "-recalibrated"


@takes(Recalibrate)
def recalibrate(session: Session, options: Recalibrate) -> dict[str, Any]:
    """Recalibrate a network on a hospital's own stays.

    Returns
    -------
    `path`, `fit` (level, intercept, slope), `figures` (before and after), `stays`, `deaths`.

    Raises
    ------
    LimitError
        Too few deaths or survivors.
    InputError
        The data do not fit the network, or its risks do not rise with mortality there.
    """
    require("tensorflow", "recalibrate")  # it reads and writes model.keras
    path, manifest = choose_model(session, options.model, lambda found: found.kind == "model", WHAT)
    target = options.out or session.workspace / f"{path.name}{SUFFIX}"
    refuse_existing(target, session.overwrite)
    data, split = options.data, plain(options.split)
    found = datasets.load(data, splits=(split,))
    stays = found.split(split)
    allowed = recalibration.level_for(stays.y)
    with session.console.progress(f"Recalibrating {path.name}", total=3) as bar:
        network, facts = _network(path, found, data)
        risk = np.clip(network.predict(stays.X), 0.0, 1.0)
        bar.advance(note="fitted")
        level = allowed if options.level == Level.auto else plain(options.level)
        fitted, figures = _fitted(stays, risk, level, session.seed)
        bar.advance(note="written")
        _write(session, target, path, manifest, network, facts, data, split, fitted, figures)
        bar.advance()
    result = {"path": str(target), "model": str(path), "data": str(data), "split": split, "allowed": allowed}
    result |= {"stays": len(stays), "deaths": int(stays.y.sum()), "fit": asdict(fitted), "figures": figures}
    return records.plain(result)


def _network(path: Path, data: Dataset, source: Path) -> tuple[Any, dict[str, Any]]:
    """Return the network of a model directory and what its `.tflite` says of itself.

    Raises InputError where the data are not prepared as the network's own were.
    """
    from mortcond.commands.children import OWN_METADATA
    from mortcond.deploy import metadata
    from mortcond.deploy.directory import load_network

    embedded = metadata.read(path / TFLITE) or {}
    inputs, given = embedded.get("inputs") or {}, data.meta.get("inputs") or {}
    differing = [name for name in ("feature_names", "mean", "std", "normals") if inputs.get(name) != given.get(name)]
    if inputs and given and differing:
        raise InputError(
            f"{source} is not prepared as the data that {path} learned from (other {', '.join(differing)}).",
            "Make it with preprocess --apply and the data set that the network was trained on.",
        )
    network = load_network(path)
    if network.features != len(data.feature_names):
        raise InputError(
            f"{path} reads {network.features} features, {source} has {len(data.feature_names)}.",
            "Make it with preprocess --apply and the data set that the network was trained on.",
        )
    return network, {name: value for name, value in embedded.items() if name not in OWN_METADATA}


def _fitted(stays: Split, risk: np.ndarray, level: str, seed: int) -> tuple[Fit, dict[str, Any]]:
    fitted = recalibration.fit(stays.y, risk, level)
    after = recalibration.cross_fitted(stays.y, risk, stays.subject_id, level, seed)
    return fitted, records.plain(recalibration.figures(stays.y, risk, after, stays.subject_id, seed))


def _write(
    session: Session,
    target: Path,
    path: Path,
    parent: Manifest,
    network: Any,
    facts: dict[str, Any],
    data: Path,
    split: str,
    fitted: Fit,
    figures: dict[str, Any],
) -> None:
    """Write the recalibrated network as a model directory; its data set stays the one that it learned from."""
    from mortcond.deploy.directory import write_model
    from mortcond.training.calibration import folded

    moved = folded(network, fitted.slope, fitted.intercept)
    inputs = {"dataset": parent.inputs["dataset"]} if "dataset" in parent.inputs else {}
    inputs |= {"model": {"path": str(path), "sha256": parent.sha256}}
    inputs |= {"recalibration": {"path": str(data), "sha256": sha256(data), "split": split}}
    manifest = session.manifest(
        "model",
        target.name,
        inputs,
        arch=parent.arch,
        parameters=network.parameters,
        quantization="float32",
        parent={"name": parent.name, "kind": parent.kind, **inputs["model"]},
        lineage=[*parent.lineage, parent.as_ancestor()],
        metrics={name: value for name, value in parent.metrics.items() if name.startswith("auroc")},
        extra={"recalibration": rounded(asdict(fitted) | figures)},
    )
    with scratch_folder() as empty:
        history = read_history(path / HISTORY)
        write_model(target, moved, manifest, history, empty, facts | {"parameters": network.parameters})


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show what was fitted, and the scores before and after."""
    from rich.table import Table

    fitted, figures = result["fit"], result["figures"]
    moved = f"new risk = sigmoid({fitted['intercept']:+.3f} + {fitted['slope']:.3f} logit(risk))"
    stays = f"{result['stays']:,} stays ({result['deaths']:,} deaths) of {result['data']}"
    yield f"{result['path']}: {result['model']} on {stays}"
    yield f"Level: {fitted['level']}. {moved}"
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("before", "after, each stay by the others"):
        table.add_column(heading, justify="right")
    names = {"mean_risk": "mean risk", "death_rate": "deaths, share", "intercept": "intercept (right: 0)"}
    names |= {"slope": "slope (right: 1)", "brier": "Brier score", "ece": "ECE", "auroc": "AUROC"}
    for name, title in names.items():
        table.add_row(title, *(_cell(figures[when], name) for when in ("before", "after")))
    yield table
    difference = figures["brier_difference"]
    low, high = difference["ci95"] or (None, None)
    yield f"Brier score: {difference['value']:+.4f} [{number(low, '+.4f')}, {number(high, '+.4f')}]; less is better."


def _cell(own: dict[str, Any], name: str) -> str:
    value, ends = number(own[name], ".3f"), own.get(f"{name}_ci95")
    return value + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")
