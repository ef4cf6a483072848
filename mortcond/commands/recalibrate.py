"""recalibrate: the same network, its risks brought to the level of a new hospital.

Comes in: a model directory or a `.tflite` file of ours, and a labelled data set of the hospital, made with `preprocess
--apply`. Goes out: one of the same kind that holds the new level, with the scores of the risks before and after,
cross-validated. The data that the network learned from are not needed. In a directory the last layer takes the level
in; a file keeps its weights, which may be rounded, and gets one more layer (`deploy.level`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond import scores
from mortcond.commands.children import OWN_METADATA
from mortcond.core.artifacts import atomic_file, refuse_existing, sha256
from mortcond.core.calls import takes
from mortcond.core.choices import Level
from mortcond.core.errors import InputError
from mortcond.core.manifest import Manifest, rounded
from mortcond.core.options import plain
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.dataset import Dataset, Split
from mortcond.deploy import known, level, metadata
from mortcond.deploy.directory import HISTORY, TFLITE, load_network, write_model
from mortcond.deploy.runtime import Predictor
from mortcond.measure import recalibration, records
from mortcond.measure.candidates import read_history, resolve
from mortcond.measure.recalibration import Fit
from mortcond.measure.tables import number
from mortcond.network import Network
from mortcond.options.recalibrate import Recalibrate

WHAT = "a trained model directory or a .tflite file"
SUFFIX = "-recalibrated"
REMEDY = "Make it with preprocess --apply and the data set that the network was trained on."
SAME = 1e-5  # by which a file's risks may lie beside those that the fit gives


@dataclass(frozen=True)
class Source:
    """What is recalibrated."""

    path: Path
    manifest: Manifest
    told: dict[str, Any]  # metadata of its `.tflite` file
    network: Network | None  # of a directory
    file: Predictor | None  # of a `.tflite` file

    @property
    def digest(self) -> str:
        return self.manifest.sha256 if self.network else sha256(self.path)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the risk of each stay, (stays,)."""
        return np.clip((self.network or self.file).predict(X).astype(np.float64), 0.0, 1.0)


@dataclass(frozen=True)
class Fitted:
    """What came out, and of which stays."""

    fit: Fit
    figures: dict[str, Any]
    data: Path
    split: str


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
    source = _source(session, resolve(options.model, session.workspace))
    target = _target(session, options.out, source)
    data, split = options.data, plain(options.split)
    found = datasets.load(data, splits=(split,))
    _refuse_other_preparation(source, found, data)
    stays = found.split(split)
    allowed = recalibration.level_for(stays.y)
    with session.console.progress(f"Recalibrating {source.path.name}", total=3) as bar:
        risk = source.predict(stays.X)
        bar.advance(note="fitted")
        how = allowed if options.level == Level.auto else plain(options.level)
        fitted = Fitted(*_fitted(stays, risk, how, session.seed), data, split)
        bar.advance(note="written")
        (_write_directory if source.network else _write_file)(session, target, source, fitted, stays.X, risk)
        bar.advance()
    result = {"path": str(target), "model": str(source.path), "data": str(data), "split": split, "allowed": allowed}
    result |= {"stays": len(stays), "deaths": int(stays.y.sum())}
    return records.plain(result | {"fit": asdict(fitted.fit), "figures": fitted.figures})


def _source(session: Session, path: Path) -> Source:
    """Return what a model directory or a `.tflite` file holds.

    Raises InputError where it is neither, or a file that does not say what it reads.
    """
    if path.is_dir():
        path, manifest = choose_model(session, path, lambda found: found.kind == "model", "a trained model directory")
        told = metadata.read(path / TFLITE, session.trust_changed) or {}
        return Source(path, manifest, told, load_network(path), None)
    file = Predictor(path, trust_changed=session.trust_changed)
    told = file.metadata or {}
    if not told.get("manifest"):
        raise InputError(f"{path} carries no metadata of mortcond.", f"Name {WHAT} that mortcond wrote.")
    return Source(path, Manifest.from_dict(told["manifest"]), told, None, file)


def _target(session: Session, out: Path | None, source: Source) -> Path:
    """Return where the result goes.

    Raises UsageError where something stands there.
    """
    name = f"{source.path.stem}{SUFFIX}.tflite" if source.file else f"{source.path.name}{SUFFIX}"
    target = out or session.workspace / name
    refuse_existing(target, session.overwrite)
    return target


def _refuse_other_preparation(source: Source, data: Dataset, path: Path) -> None:
    """Raise InputError where data are not prepared as the network's own were."""
    inputs, given = source.told.get("inputs") or {}, data.meta.get("inputs") or {}
    differing = [name for name in ("feature_names", "mean", "std", "normals") if inputs.get(name) != given.get(name)]
    if inputs and given and differing:
        raise InputError(
            f"{path} is not prepared as the data that {source.path} learned from (other {', '.join(differing)}).",
            REMEDY,
        )
    features = (source.network or source.file).features
    if features != len(data.feature_names):
        raise InputError(f"{source.path} reads {features} features, {path} has {len(data.feature_names)}.", REMEDY)


def _fitted(stays: Split, risk: np.ndarray, how: str, seed: int) -> tuple[Fit, dict[str, Any]]:
    fitted = recalibration.fit(stays.y, risk, how)
    after = recalibration.cross_fitted(stays.y, risk, stays.subject_id, how, seed)
    return fitted, records.plain(recalibration.figures(stays.y, risk, after, stays.subject_id, seed))


def _write_directory(
    session: Session, target: Path, source: Source, fitted: Fitted, X: np.ndarray, risk: np.ndarray
) -> None:
    """Write the network with the level in its last layer; its data set stays the one that it learned from."""
    from mortcond.training.calibration import folded

    moved = folded(source.network, fitted.fit.slope, fitted.fit.intercept)
    facts = {name: value for name, value in source.told.items() if name not in OWN_METADATA} | _threshold(
        source, fitted
    )
    manifest = _manifest(session, target.name, source, fitted, moved.parameters)
    with scratch_folder() as empty:
        history = read_history(source.path / HISTORY)
        write_model(target, moved, manifest, history, empty, facts | {"parameters": moved.parameters})


def _write_file(
    session: Session, target: Path, source: Source, fitted: Fitted, X: np.ndarray, risk: np.ndarray
) -> None:
    """Write the file with one more layer, where its risks are what the fit says."""
    fit, expected = fitted.fit, scores.recalibrated(risk, fitted.fit.intercept, fitted.fit.slope)
    content, outline = level.moved(
        source.file.content, fit.intercept, fit.slope, source.told.get("network"), str(source.path)
    )
    parameters = source.manifest.parameters
    manifest = _manifest(session, target.stem, source, fitted, parameters)
    facts = source.told | _threshold(source, fitted) | {"manifest": manifest}
    facts |= {"network": outline} if outline else {}
    with atomic_file(target) as partial:
        partial.write_bytes(metadata.attach(content, facts))
        known.remember(partial.read_bytes())
        off = np.abs(Predictor(partial).predict(X) - expected).max()
        if not off <= SAME:
            raise InputError(
                f"{source.path} with the new level gives risks that are off by up to {off:.2g}.",
                "Recalibrate the model directory that it was made of, and report this file.",
            )


def _threshold(source: Source, fitted: Fitted) -> dict[str, float]:
    """Return the model's own threshold where it lies by the new level: the same stays are beyond it."""
    own = source.told.get("threshold")
    if own is None:
        return {}
    return {"threshold": float(scores.recalibrated(np.array([own]), fitted.fit.intercept, fitted.fit.slope)[0])}


def _manifest(session: Session, name: str, source: Source, fitted: Fitted, parameters: int | None) -> Manifest:
    parent = source.manifest
    inputs = {"dataset": parent.inputs["dataset"]} if "dataset" in parent.inputs else {}
    inputs |= {"model": {"path": str(source.path), "sha256": source.digest}}
    inputs |= {"recalibration": {"path": str(fitted.data), "sha256": sha256(fitted.data), "split": fitted.split}}
    return session.manifest(
        parent.kind,
        name,
        inputs,
        arch=parent.arch,
        parameters=parameters,
        quantization=parent.quantization or "float32",
        parent={"name": parent.name, "kind": parent.kind, **inputs["model"]},
        lineage=[*parent.lineage, parent.as_ancestor(source.digest)],
        metrics={name: value for name, value in parent.metrics.items() if name.startswith("auroc")},
        extra={"recalibration": rounded(asdict(fitted.fit) | fitted.figures)},
    )


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
