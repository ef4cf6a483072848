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

from mortcond import archs
from mortcond.channels import groups
from mortcond.commands.children import (
    Parent,
    auroc_line,
    aurocs,
    calibrated_as_parent,
    read_parent,
    taught,
    train,
    write_child,
)
from mortcond.condense.compensate import compensated
from mortcond.condense.cut import cut
from mortcond.condense.schedule import Plan, plan
from mortcond.condense.score import MAGNITUDES, NEED_OUTCOMES, score
from mortcond.condense.select import Amount, normalised, select
from mortcond.core.artifacts import refuse_existing
from mortcond.core.calls import takes
from mortcond.core.errors import InputError, UsageError
from mortcond.core.manifest import Manifest, rounded
from mortcond.core.options import plain
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.deploy.check import differences
from mortcond.network import Network
from mortcond.options.prune import Prune
from mortcond.training.settings import TrainSettings

WHAT = f"a trained network ({', '.join(arch.name for arch in archs.ARCHS.values() if arch.trainable)})"
HOW = ("method", "axis", "schedule", "after_epoch", "epochs", "steps", "distil")
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
        """Return when to cut and to train, for this parent; at the end, without outcomes, nothing is trained."""
        at_the_end = None if parent.data.labelled else len(parent.history)
        total = self.epochs or (at_the_end if self.schedule == "final" else parent.settings.epochs)
        epochs = {"parent_epochs": len(parent.history), "after_epoch": self.after_epoch, "epochs": total}
        return plan(self.schedule, **epochs, steps=self.steps)

    @property
    def suffix(self) -> str:
        """What the pruned model's name says of it, such as pruned50 or kept8."""
        if self.amount.keep:
            return f"kept{'-'.join(map(str, self.amount.keep))}"
        return f"pruned{round(100 * self.amount.quantile)}"


@takes(Prune)
def prune(session: Session, options: Prune) -> dict[str, Any]:
    """Prune a model and train what is left, under the parent's own settings on the parent's data.

    Returns
    -------
    `path`, `layers` (what was cut) and the metrics; for several quantiles also `models`, one such dict each.
    """
    fits = _is_prunable if options.model is not None else _is_unpruned
    path, manifest = choose_model(session, options.model, fits, WHAT)
    facts = {name: plain(getattr(options, name)) for name in HOW}
    amounts = [Amount(keep=options.keep, scope=options.scope)] if options.keep else []
    amounts += [Amount(share, scope=options.scope) for share in sorted(options.quantile or ())]
    recipes = [Recipe(amount, **facts) for amount in amounts]
    targets, folder = _places(session, path.name, recipes, options.out)
    parent = read_parent(session, path, manifest, options.dataset, unlabelled=True)
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
        network, metrics, more = pruned.network, pruned.metrics, {}
        if parent.data.labelled:
            network, metrics, more = calibrated_as_parent(parent, network, metrics)
        layers = _layers(parent.network, network)
        facts = {"settings": asdict(pruned.settings), "cut": layers, "schedule": asdict(course)} | more
        facts |= {"cost": rounded(pruned.cost)} if pruned.cost else {}
        arguments = (target, parent, network, pruned.history, folder)
        manifest = write_child(session, *arguments, metrics=metrics, extra=facts)
    result = {"path": str(target), "name": manifest.name, "arch": manifest.arch, "parent": parent.manifest.name}
    result |= {"parameters_before": parent.network.parameters, "parameters": manifest.parameters}
    return result | {"layers": layers, "metrics": manifest.metrics, "history": pruned.history, "cost": pruned.cost}


@dataclass
class Pruned:
    """A network on its way through the cuts."""

    network: Network
    history: list[dict[str, Any]]
    settings: TrainSettings
    metrics: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] | None = None  # where nothing is trained after the cut: how far risks moved


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
        whole = state.network
        if first > last:
            state.network = compensated(whole, kept, parent.data.train.X)
            state.cost = _cost(parent, cut(whole, kept), cut(state.network, kept))
        state.network = cut(state.network, kept)
        state.network.save(checkpoints / f"epoch-{first - 1:03d}.npz")
        if first <= last:
            _train_stage(session, parent, state, first, last, soft_targets, checkpoints)
    state.metrics = state.metrics or aurocs(state.network, parent.data)  # nothing was trained after the cut
    return state


def _cost(parent: Parent, bare: Network, network: Network) -> dict[str, Any]:
    """Return how far risks moved, of stays that took no part where there are any; and had nothing been made up for."""
    name, split = next((name, found) for name in ("val", "train") if len(found := parent.data.split(name)))
    before = parent.network.predict(split.X)
    moved, uncompensated = (differences(one.predict(split.X), before, split.y) for one in (network, bare))
    names = ("max_abs_dp", "mean_abs_dp", "delta_auroc")
    return moved | {
        "split": "validation" if name == "val" else "training",
        "uncompensated": {name: uncompensated[name] for name in names},
    }


def _train_stage(
    session: Session, parent: Parent, state: Pruned, first: int, last: int, soft_targets: Any, checkpoints: Path
) -> None:
    """Train between two cuts. Epochs before the last cut had other layers: none of them may be chosen or averaged."""
    with scratch_folder() as folder:
        how = {"first_epoch": first, "last_epoch": last, "soft_targets": soft_targets}
        trained = train(session, parent, state.network, state.settings, folder, **how)
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
    course = recipe.plan(parent)
    trains = any(first <= last for _, first, last in course.stages())
    if not parent.data.labelled and (trains or recipe.method in NEED_OUTCOMES):
        what = "training after the cut" if trains else f"--method {recipe.method}"
        raise InputError(
            f"{parent.dataset} holds stays without outcomes, which {what} needs.",
            "Prune with --schedule final and no --epochs, by mean, l2 or correlation.",
        )


def _layers(before: Network, after: Network) -> list[dict[str, Any]]:
    return [
        {"layer": old.name, "kind": KINDS[old.axis], "before": old.size, "after": new.size}
        for old, new in zip(groups(before), groups(after), strict=True)
    ]


def _is_prunable(manifest: Manifest) -> bool:
    return manifest.kind == "model" and archs.row(manifest.arch).trainable


def _is_unpruned(manifest: Manifest) -> bool:
    return _is_prunable(manifest) and "prune" not in manifest.commands


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
    cost = result["cost"]
    if cost:
        before, after = (
            f"{one['mean_abs_dp']:.3f} and {one['max_abs_dp']:.2f}" for one in (cost["uncompensated"], cost)
        )
        yield (
            f"Nothing was trained. On {cost['stays']:,} {cost['split']} stays risks moved by {after} (mean, most); "
            f"had the weights left not made up for what was cut, by {before}. With outcomes --epochs trains them."
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
