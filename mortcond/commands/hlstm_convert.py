"""hlstm-convert: one hidden-layer LSTM in the place of a trained LSTM's recurrent layers (paper, section II-F).

Comes in: the model directory of an lstm and the data set it was trained on. Goes out: the model directory of an hlstm
of the same width, trained under the parent's settings.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mortcond import archs
from mortcond.commands.children import Parent, auroc_line, calibrated_as_parent, read_parent, taught, train, write_child
from mortcond.condense.hlstm_convert import CHILD, from_parent, lstm_stack, untrained_child
from mortcond.core.artifacts import refuse_existing
from mortcond.core.calls import takes
from mortcond.core.manifest import Manifest
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.network import Network
from mortcond.options.hlstm_convert import HlstmConvert


@takes(HlstmConvert)
def hlstm_convert(session: Session, options: HlstmConvert) -> dict[str, Any]:
    """Convert a trained LSTM, pruned or not, and train the result.

    Returns
    -------
    `path`, parameters, seconds an epoch and metrics, each beside the parent's.
    """
    fits = _is_lstm if options.model is not None else _is_uncondensed
    path, manifest = choose_model(session, options.model, fits, "a trained lstm")
    target = options.out or session.workspace / f"{path.name}-hlstm"
    refuse_existing(target, session.overwrite)
    parent = read_parent(session, path, manifest, options.dataset)
    network = converted(parent, options.init, options.hidden_width, options.hidden_depth, session.seed, session.backend)
    return train_child(session, parent, network, target, distil=options.distil, epochs=options.epochs)


def converted(
    parent: Parent, init: str, hidden_width: int | None, hidden_depth: int, seed: int, backend: str
) -> Network:
    """Return the untrained child: its initial weights, or as near to the parent as the parent's weights allow."""
    from mortcond.training.initial import initial

    fresh = initial(untrained_child(parent.network, hidden_width, hidden_depth), seed, backend)
    return fresh if init == "scratch" else from_parent(parent.network, fresh, parent.data.train.X, seed)


def train_child(
    session: Session, parent: Parent, network: Network, target: Path, *, distil: bool, epochs: int | None
) -> dict[str, Any]:
    """Train the converted network as the parent was, and write it to `target`."""
    settings, soft_targets = replace(parent.settings, epochs=epochs or parent.settings.epochs), None
    if distil:
        settings, soft_targets = taught(settings, parent, session.console)
    with scratch_folder() as folder:
        trained = train(session, parent, network, settings, folder, soft_targets=soft_targets)
        metrics = trained.metrics | {"compile_seconds": trained.compile_seconds}
        child, metrics, more = calibrated_as_parent(parent, trained.network, metrics)
        extra = {"settings": asdict(settings), "converted": describe(parent.network, network)} | more
        arguments = (target, parent, child, trained.history, folder)
        manifest = write_child(session, *arguments, metrics=metrics, extra=extra)
    parents = {"parameters": parent.network.parameters, "metrics": parent.history[-1] | parent.manifest.metrics}
    parents |= {"seconds_per_epoch": _seconds_per_epoch(parent.history), "name": parent.manifest.name}
    facts = {"path": str(target), "name": manifest.name, "arch": CHILD, "parameters": manifest.parameters}
    facts |= {"seconds_per_epoch": _seconds_per_epoch(trained.history), "metrics": manifest.metrics}
    return facts | {"parent": parents}


def describe(parent: Network, child: Network) -> dict[str, Any]:
    """Return what took the place of what."""
    layer = child.recurrent[0].layer
    hidden = [[weights.shape[1] for weights in gate.hidden] for gate in layer.hidden_gates]
    units = [node.layer.units for node in lstm_stack(parent)]
    return {"lstm_units": units, "hlstm_units": layer.units, "hidden": hidden}


def _seconds_per_epoch(history: list[dict[str, Any]]) -> float:
    return sum(row["seconds"] for row in history) / len(history)


def _is_lstm(manifest: Manifest) -> bool:
    return manifest.kind == "model" and archs.row(manifest.arch).converts_to == CHILD


def _is_uncondensed(manifest: Manifest) -> bool:
    return _is_lstm(manifest) and not manifest.is_condensed


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show the child beside its parent."""
    from rich.table import Table

    table = Table()
    headings = ("Model", "Parameters", "s per epoch", "AUROC val", "AUROC test")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "Model" else "right", overflow="fold")
    for row in (result["parent"], result):
        scores = [row["metrics"].get(name) for name in ("auroc_val", "auroc_test")]
        shown = ["-" if value is None else f"{value:.3f}" for value in scores]
        table.add_row(row["name"], f"{row['parameters']:,}", f"{row['seconds_per_epoch']:.2f}", *shown)
    yield table
    yield f"{result['path']}: {result['parameters']:,} parameters, {auroc_line(result['metrics'])}"
