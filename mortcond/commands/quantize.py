"""quantize: a trained network as one `.tflite` file, in 32, 16 or 8 bits, checked before it gets its name.

Comes in: a model directory and the data set it was trained on. Goes out: `NAME-MODE.tflite`, with everything in its
metadata that predicting from raw records takes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mortcond import dataset as datasets
from mortcond.commands.children import dataset_sha256, parents_dataset
from mortcond.core.artifacts import atomic_file, refuse_existing
from mortcond.core.calls import takes
from mortcond.core.errors import InputError, LimitError
from mortcond.core.manifest import TRUSTED, Manifest, rounded
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.dataset import Dataset
from mortcond.deploy import metadata
from mortcond.deploy.check import AUROC_LOSS, MEAN_SHARE, TOLERANCE, acceptable, everywhere
from mortcond.deploy.directory import TFLITE
from mortcond.deploy.tflite import build
from mortcond.deploy.weights import EIGHT_BITS
from mortcond.options.quantize import Quantize

WHAT = "a trained model directory"
STAYS_OF = {"train": "training", "val": "validation", "perturbed": "randomly changed"}


@takes(Quantize)
def quantize(session: Session, options: Quantize) -> dict[str, Any]:
    """Write a model as a `.tflite` file.

    Weights of 8 bits are rounded by what they give on the training stays, and the ranges of activations are theirs.

    Returns
    -------
    path, size_bytes, mode, parameters, check (see `deploy.check.everywhere`) and tensors.

    Raises
    ------
    LimitError
        The file differs from its parent by more than the tolerance; it is not written.
    """
    model, mode = options.model, plain(options.mode)
    if model is not None and model.is_file():
        raise InputError(f"{model} is a file; quantize needs {WHAT}.", "Name the directory that the file came from.")
    path, manifest = choose_model(session, model, lambda found: found.kind == "model", WHAT)
    target = options.out or session.workspace / f"{path.name}-{mode}.tflite"
    refuse_existing(target, session.overwrite)
    source = parents_dataset(session, path, manifest, options.dataset)
    data = datasets.load(source, splits=("train", "val"), unlabelled=True)
    return _write(session, target, path, manifest, source, data, mode, options.tolerance)


def _write(
    session: Session,
    target: Path,
    path: Path,
    manifest: Manifest,
    source: Path,
    data: Dataset,
    mode: str,
    tolerance: float | None,
) -> dict[str, Any]:
    from mortcond.deploy.directory import load_network

    with session.console.progress(f"Quantising {path.name} ({mode})", total=3) as bar:
        network = load_network(path)
        bar.advance(note="written")
        converted = build(network, mode, data.train.X if mode in EIGHT_BITS else None)
        allowed = TOLERANCE[mode] if tolerance is None else tolerance
        facts = _metadata(path, data, session.trust_changed) | {
            "parameters": network.parameters,
            "tensors": converted.tensors,
            "network": converted.outline,
        }
        with atomic_file(target) as partial:
            partial.write_bytes(converted.bytes)
            bar.advance(note="checked")
            name = "val" if len(data.val) else "train"  # of a model that learnt from every stay
            judging = data.split(name)
            check = everywhere(partial, network, data.train.X, (judging.X, judging.y), session.seed)
            check |= {"split": name, "tolerance": allowed}
            _refuse_beyond(path, mode, check)
            record = _manifest(session, target, path, manifest, source, mode, check)
            partial.write_bytes(metadata.attach(converted.bytes, facts | {"manifest": record}))
            size = partial.stat().st_size
        bar.advance()
    result = {"path": str(target), "model": str(path), "mode": mode, "size_bytes": size}
    return result | {"parameters": network.parameters, "check": check, "tensors": converted.tensors}


def _metadata(path: Path, data: Dataset, trust_changed: bool) -> dict[str, Any]:
    """Return what the parent's own `.tflite` says of its inputs and use, else what the data set does."""
    tflite = path / TFLITE
    parents = (metadata.read(tflite, trust_changed) if tflite.is_file() else None) or {}
    inputs = data.meta.get("inputs")
    prevalence = {"inputs": inputs, "prevalence": data.meta.get("prevalence")} if inputs else {}
    return metadata.described(prevalence | parents)


def _refuse_beyond(path: Path, mode: str, check: dict[str, Any]) -> None:
    if not acceptable(check, check["tolerance"]):
        raise LimitError(
            f"{path} as {mode} differs from its parent by up to {check['max_abs_dp']:.2g} in probability "
            f"({_where(check)}; mean {check['mean_abs_dp']:.2g} and AUROC {_signed(check['delta_auroc'])} on "
            f"{check['stays']} {STAYS_OF[check['split']]} stays); "
            f"{check['tolerance']:g} (mean {MEAN_SHARE * check['tolerance']:g}, AUROC -{AUROC_LOSS:g}) is allowed. "
            "Nothing was written.",
            "Choose a finer --mode, or allow more with --tolerance.",
        )


def _manifest(
    session: Session, target: Path, path: Path, parent: Manifest, source: Path, mode: str, check: dict[str, Any]
) -> Manifest:
    model = {"path": str(path), "sha256": parent.sha256}
    data = {"path": str(source), "sha256": dataset_sha256(parent, source)}
    aurocs = {name: value for name, value in parent.metrics.items() if name.startswith("auroc")}
    return session.manifest(
        "tflite",
        target.stem,
        {"dataset": data, "model": model},
        arch=parent.arch,
        parameters=parent.parameters,
        quantization=mode,
        parent={"name": parent.name, "kind": parent.kind, **model},
        lineage=[*parent.lineage, parent.as_ancestor()],
        metrics={} if TRUSTED in parent.extra else aurocs,  # of other weights, where they were changed since
        extra={"check": rounded(check)},
    )


def _where(check: dict[str, Any]) -> str:
    """Say how far the risks moved in each group of stays that was tried."""
    return ", ".join(
        f"{one['max_abs_dp']:.2g} on {one['stays']:,} {STAYS_OF[name]} stays" for name, one in check["tried"].items()
    )


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4f}"


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Yield the result as text and a table per tensor."""
    from rich.table import Table

    check = result["check"]
    judged = f"{check['stays']} {STAYS_OF[check['split']]} stays"
    yield f"{result['path']}: {result['size_bytes']:,} bytes, {result['parameters']:,} parameters, {result['mode']}"
    yield (
        f"Against {result['model']}: largest difference {check['max_abs_dp']:.2g} ({_where(check)}); mean "
        f"{check['mean_abs_dp']:.2g}, AUROC {_signed(check['delta_auroc'])} on {judged}"
    )
    table = Table("tensor", "shape", "stored as", "why", box=None, pad_edge=False)
    for tensor in result["tensors"]:
        table.add_row(tensor["name"], " x ".join(map(str, tensor["shape"])), tensor["dtype"], tensor["why"])
    yield table
