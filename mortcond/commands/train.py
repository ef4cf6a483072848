"""train: a network of the paper, or the linear floor, from a data set.

Comes in: dataset.npz. Goes out: a model directory with the trained network, its history and the weights of every epoch.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import archs
from mortcond import dataset as datasets
from mortcond.core import forms
from mortcond.core.artifacts import atomic_file, refuse_existing, sha256
from mortcond.core.calls import takes
from mortcond.core.errors import InputError, Interrupted, UsageError
from mortcond.core.libraries import require
from mortcond.core.manifest import Manifest
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.core.signals import asked_to_stop
from mortcond.core.workspace import choose_model, dataset_path
from mortcond.dataset import Dataset, folds
from mortcond.network import Network
from mortcond.options.train import Train
from mortcond.training.settings import TEACHER_WEIGHT, TrainSettings, preset

ROW = {"epoch": int, "loss": float, "seconds": float, "auroc_val": float | None}  # what each row of a history says
HOW = (  # of training.settings.TrainSettings
    *("epochs", "batch_size", "learning_rate", "schedule", "weight_decay", "clip_norm", "input_dropout"),
    *("recurrent_dropout", "patience", "average"),
)


@dataclass(frozen=True)
class State:
    """Where a training that is under way keeps what it needs to go on."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def record(self) -> Path:
        return self.folder / "state.json"


@takes(Train)
def train(session: Session, options: Train) -> dict[str, Any]:
    """Train a network, under a preset's settings with what is given in their place.

    Returns
    -------
    `path`, `arch`, `parameters`, `epoch` (the one that counts), `metrics`, `history`.
    """
    path = dataset_path(session, options.dataset)
    target = options.out or session.workspace / options.arch
    refuse_existing(target, session.overwrite)
    data = datasets.load(path)
    if options.all_stays:
        path, data = _all_stays(session, path, data)
    how = {archs.LOGISTIC: _logistic, archs.GRADIENT: _by_epochs}[archs.known(options.arch).fitted]
    trained = how(session, options, data, target)
    if options.calibrate:
        trained = _calibrated(trained, data)
    manifest = _write(session, target, path, data, trained)
    facts = {"path": str(target), "arch": trained.network.arch, "parameters": trained.network.parameters}
    facts |= {"epoch": trained.epoch, "metrics": manifest.metrics, "extra": trained.extra}
    return facts | {"history": trained.history}


def _all_stays(session: Session, path: Path, data: Dataset) -> tuple[Path, Dataset]:
    """Write the data set in which every stay is in train, unless it is there; return its path and it.

    It is a file, so that whatever is made of the model, and whoever prepares other stays for it, has its scaling.
    """
    target, digest = session.workspace / f"{path.stem}-all.npz", sha256(path)
    source = {"dataset": {"path": str(path), "sha256": digest}}
    if target.is_file() and _is_of(target, digest):
        session.console.note(f"Using {target}: every stay of {path}.")
        return target, datasets.load(target)
    if target.exists() and not session.overwrite:
        raise UsageError(f"{target} is not of {path}.", "Pass --overwrite to replace it, or use another --workspace.")
    refuse_existing(target, session.overwrite)
    own = data.meta.get("manifest")
    lineage = [*own["lineage"], Manifest.from_dict(own).as_ancestor(digest)] if own else []
    whole = folds.all_stays(data)
    manifest = session.manifest("dataset", target.stem, source, lineage=lineage)
    record = asdict(manifest) | {"wall_seconds": None, "options": {"all_stays": manifest.options["all_stays"]}}
    datasets.save(target, replace(whole, meta=whole.meta | {"manifest": record}))
    session.console.note(f"{target}: every stay of {path}, scaled by all of them.")
    return target, datasets.load(target)


def _is_of(target: Path, digest: str) -> bool:
    """Say whether a data set holds every stay of the one of a hash."""
    record = datasets.load(target, splits=()).meta.get("manifest") or {}
    made_of = record.get("inputs", {}).get("dataset", {})
    return record.get("command") == "train" and made_of.get("sha256") == digest


@dataclass(frozen=True)
class Result:
    """What either way of training gives."""

    network: Network
    history: list[dict[str, Any]]
    epoch: int | None
    metrics: dict[str, Any]
    extra: dict[str, Any]
    state: State | None = None
    teacher: dict[str, str] | None = None


def _settings(options: Train) -> TrainSettings:
    """Return the preset's settings with what was given in their place."""
    given = {name: getattr(options, name) for name in HOW} | {"keep": options.keep_epoch}
    given |= {"teacher_weight": options.teacher_weight, "temperature": options.temperature}
    if options.teacher is not None:
        weight = TEACHER_WEIGHT if options.teacher_weight is None else options.teacher_weight
        given |= {"teacher": options.teacher if options.teacher == archs.ENSEMBLE else "", "teacher_weight": weight}
    return preset(plain(options.preset), options.arch, **{name: plain(v) for name, v in given.items() if v is not None})


def _shape(options: Train) -> archs.Shape:
    """Return the sizes of the preset with what was given in their place."""
    given = {entry.name: plain(getattr(options, entry.name)) for entry in fields(archs.Shape)}
    return archs.shaped(plain(options.arch), plain(options.preset), **given)


def _untrained(options: Train, data: Dataset) -> Network:
    """Return the network without weights, with the statistics that its layers take of the training stays."""
    from mortcond.training.training import check

    network = archs.untrained(plain(options.arch), _shape(options), archs.inputs_of(data))
    check(data, network)
    return network.fitted(data.train.X)


def _logistic(session: Session, options: Train, data: Dataset, target: Path) -> Result:
    require("scikit-learn", "train --arch linear")
    from mortcond.training.linear import fit_linear
    from mortcond.training.measuring import measure

    started = time.perf_counter()
    learnt = data.train
    network = _untrained(options, data)
    fitted = fit_linear(learnt.X, learnt.y, learnt.subject_id, session.seed, session.console, network)
    seconds = round(time.perf_counter() - started, 3)
    metrics = measure(lambda name: fitted.network.predict(data.split(name).X), data)
    row = {"epoch": 1, "loss": metrics.pop("train_loss"), **metrics, "seconds": seconds}
    extra = {
        "strength": fitted.strength,
        "auroc_by_strength": {f"{k:g}": v for k, v in fitted.auroc_by_strength.items()},
    }
    return Result(fitted.network, [row], None, row | {"training_seconds": seconds}, extra)


def _by_epochs(session: Session, options: Train, data: Dataset, target: Path) -> Result:
    from mortcond.training.backends import ready
    from mortcond.training.initial import initial
    from mortcond.training.training import fit

    backend = ready(session.backend, options.threads)
    settings, shape = _settings(options), _shape(options)
    network = initial(_untrained(options, data), session.seed, backend)
    teacher = options.teacher if options.teacher != archs.ENSEMBLE else None
    soft, teachers = _taught(session, Path(teacher) if teacher else None, data)
    state = State(target.with_name(f".{target.name}.training"))
    what = {"architecture": asdict(shape), "settings": asdict(settings), "seed": session.seed}
    what |= {"backend": backend, "threads": options.threads}  # their number decides in which order sums are taken
    what |= {"dataset": sha256(data.path), "teacher": teachers}
    _refuse_full_disk(target, network, settings.epochs)
    start = _begin(state, what, network, options.resume)
    with asked_to_stop(session.console.warn) as stop:
        try:
            trained = fit(
                start.network,
                data,
                settings,
                seed=session.seed,
                console=session.console,
                checkpoints=state.checkpoints,
                backend=backend,
                first_epoch=start.first_epoch,
                history=start.history,
                soft_targets=soft,
                stop=stop,
                state=state.folder,
                after_epoch=lambda rows: _remember(state, what, rows),
            )
        except Interrupted as stopped:
            raise Interrupted(stopped.problem, "Run the same command with --resume to go on.") from None
    metrics = trained.metrics | {
        "training_seconds": trained.training_seconds,
        "compile_seconds": trained.compile_seconds,
    }
    extra = {"settings": asdict(settings), "architecture": asdict(shape), "epoch": trained.epoch}
    return Result(trained.network, trained.history, trained.epoch, metrics, extra, state, teachers)


def _refuse_full_disk(target: Path, network: Network, epochs: int) -> None:
    """Raise InputError, before any work, where the disk cannot take what training and the model directory need."""
    kept = (2 * epochs + 3) * (4 * network.parameters + 4096)  # checkpoints twice while they are copied, the optimiser
    needed = kept + 4 * 4 * network.parameters + 4_000_000  # the forms of the model
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 1e6:.0f} MB free, training needs {needed / 1e6:.0f} MB.",
            "Make room, or name another place with -o/--out.",
        )


@dataclass(frozen=True)
class Start:
    """Where a training begins or goes on."""

    network: Network
    first_epoch: int
    history: list[dict[str, Any]]


def _begin(state: State, what: dict[str, Any], network: Network, resume: bool) -> Start:
    """Begin anew, or with --resume after the last complete epoch of the same training.

    Raises InputError where there is nothing to resume, or where it was another training.
    """
    if not resume:
        shutil.rmtree(state.folder, ignore_errors=True)
        state.checkpoints.mkdir(parents=True)
        return Start(network, 1, [])
    record = _recorded(state)
    differing = [name for name, value in what.items() if record["what"].get(name) != json.loads(json.dumps(value))]
    if differing:
        names = ", ".join(differing)
        raise UsageError(
            f"The interrupted training had another {names}.", "Give the same options, or leave out --resume."
        )
    history = record["history"]
    last = history[-1]["epoch"]
    return Start(Network.load(state.checkpoints / f"epoch-{last:03d}.npz"), last + 1, history)


def _recorded(state: State) -> dict[str, Any]:
    """Return what an interrupted training left: `what` it was, and the rows of its `history`, one at least."""
    try:
        record = forms.parsed(state.record.read_bytes())
        forms.fit_keys(record, {"what": dict, "history": list[dict]})
        for index, row in enumerate(record["history"]):
            forms.fit_keys(row, ROW, f"history[{index}]")
        if not record["history"]:
            raise forms.Misfit("no epoch is recorded")
    except OSError:
        raise InputError(f"There is no interrupted training in {state.folder}.", "Leave out --resume.") from None
    except forms.Misfit as fault:
        raise InputError(f"{state.record} is no record of a training: {fault}.", "Leave out --resume.") from None
    return record


def _remember(state: State, what: dict[str, Any], history: list[dict[str, Any]]) -> None:
    with atomic_file(state.record) as partial:
        partial.write_text(json.dumps({"what": what, "history": history}), encoding="utf-8")
    for older in sorted(state.folder.glob("optimizer-*.npz"))[:-1]:  # only now does the record name the newest
        older.unlink()


def _taught(session: Session, teacher: Path | None, data: Dataset) -> tuple[np.ndarray | None, dict[str, str] | None]:
    """Return a teacher's risks of the training stays, and what the manifest says of it."""
    if teacher is None:
        return None, None
    from mortcond.condense.distil import soft_targets
    from mortcond.deploy.directory import load_network

    path, manifest = choose_model(session, teacher, lambda found: found.kind == "model", "a trained model directory")
    network = load_network(path)
    if network.features != len(data.feature_names):
        raise InputError(
            f"The teacher {path} reads {network.features} features, the data set has {len(data.feature_names)}.",
            "Train the teacher on the same data set.",
        )
    recorded = {"name": manifest.name, "path": str(path), "sha256": manifest.sha256}
    return soft_targets(network, data.train.X, session.console), recorded


def _calibrated(trained: Result, data: Dataset) -> Result:
    require("scikit-learn", "train --calibrate")
    from mortcond.training.calibration import calibrate
    from mortcond.training.measuring import measure

    network, calibration = calibrate(trained.network, data.val.X, data.val.y)
    kept = {name: value for name, value in trained.metrics.items() if name.endswith("_seconds")}
    measured = measure(lambda name: network.predict(data.split(name).X, np.float32), data)
    metrics = {"loss": measured.pop("train_loss"), **measured, **kept}
    extra = trained.extra | {"calibration": asdict(calibration)}
    return replace(trained, network=network, metrics=metrics, extra=extra)


def _write(session: Session, target: Path, path: Path, data: Dataset, trained: Result) -> Manifest:
    from mortcond.commands.children import session_facts
    from mortcond.deploy import metadata
    from mortcond.deploy.directory import write_model

    digest = sha256(path)
    own = Manifest.from_dict(data.meta["manifest"]) if "manifest" in data.meta else None
    inputs = {"dataset": {"path": str(path), "sha256": digest}}
    inputs |= {"teacher": trained.teacher} if trained.teacher else {}
    manifest = session.manifest(
        "model",
        target.name,
        inputs,
        arch=trained.network.arch,
        parameters=trained.network.parameters,
        quantization="float32",
        lineage=[*own.lineage, own.as_ancestor(digest)] if own else [],
        metrics=trained.metrics,
        extra=trained.extra | session_facts(session),
    )
    facts = {name: data.meta[name] for name in ("inputs", "prevalence") if name in data.meta}
    described = metadata.described(facts | {"parameters": trained.network.parameters})
    checkpoints = trained.state.checkpoints if trained.state else None
    write_model(target, trained.network, manifest, trained.history, checkpoints, described)
    if trained.state:
        shutil.rmtree(trained.state.folder, ignore_errors=True)
    return manifest


def render(result: dict[str, Any]) -> Iterator[str]:
    """Show what was trained and how well it predicts."""
    metrics = result["metrics"]
    epoch = f", epoch {result['epoch']} counts" if result["epoch"] else ""
    yield f"{result['path']}: {result['arch']}, {result['parameters']:,} parameters{epoch}"
    aurocs = (f"{name} {metrics[f'auroc_{name}']:.3f}" for name in ("train", "val", "test") if metrics[f"auroc_{name}"])
    yield f"AUROC {', '.join(aurocs) or 'undefined: a split lacks deaths or survivors'}; {_seconds(metrics)}"


def _seconds(metrics: dict[str, Any]) -> str:
    compilation = metrics.get("compile_seconds")
    suffix = f" after {compilation:.1f} s of compilation" if compilation else ""
    return f"trained in {metrics['training_seconds']:.1f} s{suffix}"
