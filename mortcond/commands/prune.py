"""prune: the weakest channels of a trained network taken out, and what is left trained on (paper, section II-H).

Comes in: a model directory and the data set it was trained on. Goes out: the model directory of a smaller network, or
one for each of several quantiles, with the paper's Fig. 3 of all of them.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.commands.children import Parent, auroc_line, aurocs, finished, read_parent, taught, train, write_child
from mortcond.condense.channels import AXES, groups
from mortcond.condense.cut import cut
from mortcond.condense.schedule import SCHEDULES, Plan, plan
from mortcond.condense.score import MAGNITUDES, METHODS, score
from mortcond.condense.select import SCOPES, Amount, normalised, select
from mortcond.core.artifacts import refuse_existing
from mortcond.core.errors import UsageError
from mortcond.core.manifest import Manifest
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.models.network import Network
from mortcond.models.settings import TrainSettings

PRUNABLE = ("lstm", "hlstm", "dnn")
WHAT = "a trained lstm, hlstm or dnn"
KINDS = {"units": "units", "hidden": "hidden neurons of a gate"}


@dataclass(frozen=True)
class Recipe:
    """How to prune."""

    amount: Amount
    method: str = "mean"
    axis: str = "both"
    schedule: str = "epoch"
    after_epoch: int = 1
    epochs: int | None = None
    steps: int = 4
    distil: bool = False

    def plan(self, parent: Parent) -> Plan:
        """Return when to cut and to train, for this parent."""
        total = self.epochs or (None if self.schedule == "final" else parent.settings.epochs)
        epochs = {"parent_epochs": len(parent.history), "after_epoch": self.after_epoch, "epochs": total}
        return plan(self.schedule, **epochs, steps=self.steps)

    @property
    def suffix(self) -> str:
        """What the pruned model's name says of it, such as pruned50 or kept8."""
        if self.amount.keep:
            return f"kept{'-'.join(map(str, self.amount.keep))}"
        return f"pruned{round(100 * self.amount.quantile)}"


def prune(
    session: Session,
    model: Path | None = None,
    *,
    quantile: str | float = 0.5,
    method: str = "mean",
    scope: str = "layer",
    schedule: str = "epoch",
    after_epoch: int = 1,
    epochs: int | None = None,
    keep: str | None = None,
    axis: str = "both",
    steps: int = 4,
    distil: bool = False,
    dataset: Path | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Prune a model and train what is left, under the parent's own settings on the parent's data.

    Parameters
    ----------
    model
        A model directory; None: the newest lstm, hlstm or dnn of the workspace that is not pruned yet.
    quantile
        The channels whose score lies below this quantile go: 0.5 takes 8 of 16. Several, with commas between, make as
        many models, and a figure of their learning curves (the paper's Fig. 3).
    method
        What a channel is worth, see `condense.score`: mean, l2, taylor, fisher, correlation or random.
    scope
        layer: the quantile of each layer; global: of all layers together.
    schedule, after_epoch, steps
        When to prune, see `condense.schedule`: epoch, final, gradual or rewind.
    epochs
        Epochs in all, the parent's before the cut included; None: as many as the parent has.
    keep
        Channels to keep, in the place of a quantile: "8" of each layer, or "8,4", one number a layer.
    axis
        units: LSTM units and neurons; hidden: the neurons inside the gates of a hidden-layer LSTM; both.
    distil
        Learn from the parent's predictions as well as from the outcomes.
    dataset
        The data the parent was trained on; None: where its manifest says.
    out
        Name of the result; of the figure's folder where there are several quantiles.

    Returns
    -------
    `path`, `layers` (what was cut) and the metrics; for several quantiles also `models`, one such dict each.
    """
    quantiles = _quantiles(quantile)
    _check(method=method, scope=scope, schedule=schedule, axis=axis)
    if keep is not None and session.given("quantile"):
        raise UsageError("--keep and --quantile both say how much to cut.", "Give one of them.")
    fits = _is_prunable if model is not None else _is_unpruned
    path, manifest = choose_model(session, model, fits, WHAT)
    facts = {"method": method, "axis": axis, "schedule": schedule, "after_epoch": after_epoch}
    facts |= {"epochs": epochs, "steps": steps, "distil": distil}
    recipes = [Recipe(Amount(value, _kept_numbers(keep), scope), **facts) for value in quantiles]
    targets, folder = _places(session, path.name, recipes, out)
    parent = read_parent(session, path, manifest, dataset)
    for recipe in recipes:
        _check_amount(recipe, parent)
    if folder is not None:
        return _family(session, parent, recipes, targets, folder)
    return prune_one(session, parent, recipes[0], targets[0])


def _places(session: Session, name: str, recipes: list[Recipe], out: Path | None) -> tuple[list[Path], Path | None]:
    """Return where each pruned model goes, and where the figure of several does; refuse what is there already."""
    targets, folder = [session.workspace / f"{name}-{recipe.suffix}" for recipe in recipes], None
    if len(recipes) > 1:
        folder = out or session.workspace / f"{name}-pruned-curves"
    elif out is not None:
        targets = [out]
    for target in [*targets, *([folder] if folder else [])]:
        refuse_existing(target, session.overwrite)
    return targets, folder


def prune_one(session: Session, parent: Parent, recipe: Recipe, target: Path) -> dict[str, Any]:
    """Prune `parent` once, train what is left and write it to `target`."""
    course = recipe.plan(parent)
    with scratch_folder() as folder:
        pruned = _train_in_stages(session, parent, recipe, course, folder)
        network, metrics, more = finished(parent, pruned.network, pruned.metrics)
        layers = _layers(parent.network, network)
        facts = {"settings": asdict(pruned.settings), "cut": layers, "schedule": asdict(course)} | more
        arguments = (target, parent, network, pruned.history, folder)
        manifest = write_child(session, *arguments, metrics=metrics, extra=facts)
    result = {"path": str(target), "name": manifest.name, "arch": manifest.arch, "parent": parent.manifest.name}
    result |= {"parameters_before": parent.network.parameters, "parameters": manifest.parameters}
    return result | {"layers": layers, "metrics": manifest.metrics, "history": pruned.history}


@dataclass
class Pruned:
    """A network on its way through the cuts."""

    network: Network
    history: list[dict[str, Any]]
    settings: TrainSettings
    metrics: dict[str, Any] = field(default_factory=dict)


def _train_in_stages(session: Session, parent: Parent, recipe: Recipe, course: Plan, checkpoints: Path) -> Pruned:
    """Cut and train by turns, as the plan says; the weights after every cut and every epoch go to `checkpoints`."""
    start = parent.network if recipe.schedule == "final" else parent.checkpoint(course.start_epoch)
    state = Pruned(start, parent.history[: course.start_epoch], replace(parent.settings, epochs=course.last_epoch))
    sizes = {group.name: group.size for group in groups(start, recipe.axis)}
    soft_targets = None
    if recipe.distil:
        state.settings, soft_targets = taught(state.settings, parent, session.console)
    for share, first, last in course.stages():
        scored = parent.network if course.score_trained else state.network
        kept = select(scores_of(scored, recipe, parent, session.seed), recipe.amount, sizes, share)
        state.network = cut(state.network, kept)
        state.network.save(checkpoints / f"epoch-{first - 1:03d}.npz")
        if first <= last:
            _train_stage(session, parent, state, first, last, soft_targets, checkpoints)
    state.metrics = state.metrics or aurocs(state.network, parent.data)  # nothing was trained after the cut
    return state


def _train_stage(
    session: Session, parent: Parent, state: Pruned, first: int, last: int, soft_targets: Any, checkpoints: Path
) -> None:
    """Train between two cuts. Epochs before the last cut had other layers: none of them may be chosen or averaged."""
    with scratch_folder() as folder:
        how = {"first_epoch": first, "soft_targets": soft_targets}
        trained = train(session, parent, state.network, replace(state.settings, epochs=last), folder, **how)
        for path in folder.iterdir():
            shutil.copyfile(path, checkpoints / path.name)
    compiled = state.metrics.get("compile_seconds", 0.0) + trained.compile_seconds
    state.network, state.metrics = trained.network, trained.metrics | {"compile_seconds": compiled}
    state.history = state.history + trained.history


def scores_of(network: Network, recipe: Recipe, parent: Parent, seed: int) -> dict[str, np.ndarray]:
    """Return the score of every channel by the recipe's method, on the parent's training split where it needs data."""
    train_split = parent.data.train
    scores = score(network, recipe.method, groups(network, recipe.axis), train_split.X, train_split.y, seed)
    relative = recipe.amount.scope == "global" and recipe.method in MAGNITUDES
    return normalised(scores) if relative else scores


def _family(
    session: Session, parent: Parent, recipes: list[Recipe], targets: list[Path], folder: Path
) -> dict[str, Any]:
    """Prune once for each quantile, and draw all their learning curves with the parent's (the paper's Fig. 3)."""
    from mortcond.measure.plots.search import write_learning_curves

    models = []
    with session.console.chain("Pruning", len(recipes)) as (console, bar):
        for recipe, target in zip(recipes, targets, strict=True):
            models.append(prune_one(replace(session, console=console), parent, recipe, target))
            bar.advance(note=target.name)
    curves = {"none": parent.history}
    curves |= {f"{recipe.amount.quantile:.0%}": model["history"] for recipe, model in zip(recipes, models, strict=True)}
    drawn = write_learning_curves(folder, parent.manifest.name, curves)
    return {"path": str(folder), "parent": parent.manifest.name, "models": models, "plots": drawn}


def _quantiles(text: str | float) -> list[float]:
    try:
        values = [float(part) for part in str(text).split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < 1 for value in values):
        raise UsageError(f"--quantile {text} is no share of channels.", "Give one from 0 to below 1, such as 0.5.")
    return sorted(dict.fromkeys(values))


def _kept_numbers(text: str | int | None) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in str(text).split(",")) if text is not None else ()
    except ValueError:
        values = (0,)
    if any(value < 1 for value in values):
        raise UsageError(f"--keep {text} is no number of channels.", "Give one such as 8, or one a layer: 8,4.")
    return values


def _check(**choices: str) -> None:
    known = {"method": METHODS, "scope": SCOPES, "schedule": SCHEDULES, "axis": AXES}
    for option, value in choices.items():
        if value not in known[option]:
            raise UsageError(f"--{option} {value} is unknown.", f"Use one of {', '.join(known[option])}.")


def _check_amount(recipe: Recipe, parent: Parent) -> None:
    """Refuse, before any work, what cannot be cut from this network."""
    found = groups(parent.network, recipe.axis)
    keep = recipe.amount.keep
    if not found:
        raise UsageError(f"{parent.path} has nothing to cut on --axis {recipe.axis}.", "Use --axis units or both.")
    if len(keep) > 1 and len(keep) != len(found):
        names = ", ".join(group.name for group in found)
        raise UsageError(f"--keep gives {len(keep)} numbers for {len(found)} layers ({names}).", "Give one for each.")
    if keep and all(group.size <= number for group, number in zip(found, keep * len(found), strict=False)):
        sizes = ", ".join(str(group.size) for group in found)
        raise UsageError(f"--keep {recipe.suffix[4:]} keeps every channel (there are {sizes}).", "Keep fewer.")
    recipe.plan(parent)


def _layers(before: Network, after: Network) -> list[dict[str, Any]]:
    return [
        {"layer": old.name, "kind": KINDS[old.axis], "before": old.size, "after": new.size}
        for old, new in zip(groups(before), groups(after), strict=True)
    ]


def _is_prunable(manifest: Manifest) -> bool:
    return manifest.kind == "model" and manifest.arch in PRUNABLE


def _is_unpruned(manifest: Manifest) -> bool:
    commands = [manifest.command, *(step.get("command") for step in manifest.lineage)]
    return _is_prunable(manifest) and "prune" not in commands


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show what was cut, and how well the rest predicts."""
    if "models" in result:
        yield _family_table(result)
        yield f"Learning curves: {', '.join(result['plots'])}"
        return
    yield _layer_table(result)
    share = 1 - result["parameters"] / result["parameters_before"]
    yield (
        f"{result['path']}: {result['parameters']:,} parameters of {result['parameters_before']:,} "
        f"({share:.0%} fewer), {auroc_line(result['metrics'])}"
    )


def _layer_table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"Cut from {result['parent']}")
    for heading, justify in (("Layer", "left"), ("Channels", "left"), ("Before", "right"), ("After", "right")):
        table.add_column(heading, justify=justify, overflow="fold")
    for row in result["layers"]:
        table.add_row(row["layer"], row["kind"], str(row["before"]), str(row["after"]))
    return table


def _family_table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"Pruned from {result['parent']}")
    for heading, justify in (("Model", "left"), ("Parameters", "right"), ("AUROC val", "right"), ("test", "right")):
        table.add_column(heading, justify=justify, overflow="fold")
    for model in result["models"]:
        scores = [model["metrics"].get(name) for name in ("auroc_val", "auroc_test")]
        shown = ["-" if value is None else f"{value:.3f}" for value in scores]
        table.add_row(model["name"], f"{model['parameters']:,}", *shown)
    return table
