"""Training: epochs over the training split, with what is needed to stop, to go on, and to look back.

Comes in: a Network, a data set and settings. Goes out: the trained Network, its history, the weights of every epoch.
The test split is measured after every epoch, for the paper's Fig. 3; nothing is ever chosen by it.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.archs import ENSEMBLE
from mortcond.core import npz
from mortcond.core.artifacts import atomic_file
from mortcond.core.console import Bar, Console
from mortcond.core.errors import InputError, Interrupted
from mortcond.dataset import SPLITS, Dataset
from mortcond.network import Network
from mortcond.training.backends import AUTO, runner
from mortcond.training.batches import Plan, Vectors, flat, unflat
from mortcond.training.choosing import averaged, chosen_epoch, own, patience_is_over
from mortcond.training.measuring import filled_splits, measure
from mortcond.training.settings import TrainSettings
from mortcond.training.teacher import cross_fitted
from mortcond.training.walk import Walk

__all__ = ["TrainSettings", "Trained", "check", "fit", "measure"]
FEWEST_STAYS = 10  # of a split that something is learnt or chosen from


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    network: Network  # of the epoch that counts
    history: list[dict[str, Any]]  # a row an epoch: epoch, loss, val_loss, test_loss, auroc_*, seconds
    epoch: int  # the epoch that counts: the last, or the best by validation AUROC
    metrics: dict[str, Any] = field(default_factory=dict)  # losses and AUROC of `network`
    compile_seconds: float = 0.0  # paid once a run, part of no epoch

    @property
    def training_seconds(self) -> float:
        """Seconds of all epochs, without the compilation."""
        return sum(row["seconds"] for row in self.history)


def fit(
    network: Network,
    dataset: Dataset,
    settings: TrainSettings,
    *,
    seed: int,
    console: Console,
    checkpoints: Path | None = None,
    first_epoch: int = 1,
    last_epoch: int | None = None,
    backend: str = AUTO,
    history: Sequence[dict[str, Any]] = (),
    soft_targets: np.ndarray | None = None,
    stop: Callable[[], bool] | None = None,
    state: Path | None = None,
    after_epoch: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> Trained:
    """Train a network from `first_epoch` to `last_epoch`.

    Parameters
    ----------
    network
        The weights to start from.
    dataset
        Its train split is learnt; val serves `patience` and `keep`; test is only measured.
    seed
        Of the order of the stays and of dropout; epoch by epoch, so that an interrupted run goes on as if unbroken.
    checkpoints
        A directory that takes the weights after every epoch, epoch-001.npz and so on.
    first_epoch, history
        Where to go on, and the rows of the epochs before.
    last_epoch
        Where to end; None: with the last of `settings.epochs`, over which the learning rate is planned in either case.
    backend
        One of `backends.BACKENDS`.
    soft_targets
        (training stays,): a teacher's risks, mixed in by `settings.teacher_weight`. None: as `settings.teacher` says.
    stop
        Asked after every epoch; True ends training with Interrupted, when the epoch is saved.
    state
        A folder that takes the optimiser's state after every epoch; that of the epoch before `first_epoch` is taken up.
    after_epoch
        Called with all rows when an epoch is saved.

    Raises
    ------
    InputError
        The data set cannot be learnt from, or does not fit the network.
    Interrupted
        `stop` said so.
    """
    check(dataset, network)
    last_epoch = last_epoch or settings.epochs
    if soft_targets is None and settings.teacher == ENSEMBLE and settings.teacher_weight:
        learnt = dataset.train
        soft_targets = cross_fitted(learnt.X, learnt.y, learnt.subject_id, seed, console)
    with console.progress(f"Training {network.arch}", total=last_epoch) as bar:
        bar.update(first_epoch - 1, note="compiling")
        run = _Run(network, dataset, settings, seed, soft_targets, runner(backend))
        run.restore(state, first_epoch - 1)
        rows, weights = list(history), _kept_weights(checkpoints, first_epoch, network)
        for epoch in range(first_epoch, last_epoch + 1):
            if patience_is_over(own(rows, weights), settings):  # here, so that a resumed run ends there as well
                break
            rows.append(run.epoch(epoch))
            weights[epoch] = run.current()
            if state is not None:
                run.keep(state, epoch)
            if checkpoints is not None:
                weights[epoch].save(checkpoints / f"epoch-{epoch:03d}.npz")
            after_epoch(rows)
            _show(bar, rows[-1])
            if stop is not None and stop() and epoch < last_epoch:
                raise Interrupted(f"Training stopped after epoch {epoch} of {last_epoch}; all of it is saved.")
        return run.finish(rows, weights)


def check(dataset: Dataset, network: Network) -> None:
    """Raise InputError where a data set cannot be learnt from, or does not fit the network, before any work."""
    name = dataset.path or "The data set"
    if dataset.train is None or len(dataset.train) < FEWEST_STAYS:
        stays = 0 if dataset.train is None else len(dataset.train)
        raise InputError(f"{name} has {stays} training stays.", f"At least {FEWEST_STAYS} are needed.")
    if len(np.unique(dataset.train.y)) < 2:
        outcome = "deaths" if dataset.train.y[0] else "survivors"
        raise InputError(f"All {len(dataset.train)} training stays of {name} are {outcome}.", "Both are needed.")
    for split in SPLITS:
        found = dataset.split(split) if getattr(dataset, split) is not None else None
        if found is not None and not np.isfinite(found.X).all():
            stay = found.stay_id[~np.isfinite(found.X).all(axis=(1, 2))][0]
            raise InputError(f"{name}: stay {stay} of {split} holds a value that is no number.", "Preprocess again.")
    shape = dataset.train.X.shape[1:]
    if shape != (network.hours, network.features):
        expected = f"{network.hours} hours of {network.features} features"
        raise InputError(
            f"{name} has {shape[0]} hours of {shape[1]} features, the network {expected}.", "Name its own."
        )


class _Run:
    """One training run: the backend with its weights, and the data."""

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        settings: TrainSettings,
        seed: int,
        soft_targets: np.ndarray | None,
        make: Callable[..., Any],
    ):
        if soft_targets is None:
            settings = replace(settings, teacher_weight=0.0, temperature=1.0)  # a child of a taught parent
        self.network, self.dataset, self.settings, self.seed = network, dataset, settings, seed
        walk = Walk(network)
        self.data = {name: walk.prepare(split.X) for name, split in filled_splits(dataset)}
        self.runner = make(network, settings, self.data["train"], _targets(dataset.train.y, soft_targets))
        started = time.perf_counter()
        self.train(0)  # compiles
        self.compile_seconds = time.perf_counter() - started

    def epoch(self, number: int) -> dict[str, Any]:
        """Train one epoch and measure it."""
        started = time.perf_counter()
        loss = self.train(number)
        seconds = time.perf_counter() - started
        return {"epoch": number, "loss": loss, **self.measure(), "seconds": round(seconds, 4)}

    def train(self, number: int) -> float:
        """Train epoch `number`; its order and its dropout depend on nothing else but the seed. 0 trains no step."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.dataset.train))
        plan = Plan.of(order, self.settings.batch_size)
        rate = np.float32(_learning_rate(self.settings, max(number, 1)))
        dice = np.random.default_rng([self.seed, number, 1]).integers(2**30, size=2, dtype=np.int32)
        return self.runner.train(plan, len(plan.rows) if number else 0, rate, dice)

    def measure(self, weights: np.ndarray | None = None) -> dict[str, Any]:
        """Return loss of val and test, and AUROC of all splits, with the given weights or with those of now."""
        measured = measure(lambda name: self.runner.risks(self.data[name], weights), self.dataset)
        measured.pop("train_loss")  # the history's own is the mean over the epoch, with dropout
        return measured

    def current(self) -> Network:
        """Return the network as it stands."""
        return unflat(self.network, self.runner.vectors.weights)

    def restore(self, state: Path | None, epoch: int) -> None:
        """Take up the optimiser as it was after `epoch`, where its state was kept."""
        path = state / f"optimizer-{epoch:03d}.npz" if state is not None else None
        if path is not None and path.is_file():
            stored = npz.read_all(path, "holds no state of an optimiser", "Train without --resume.")
            vectors = self.runner.vectors
            kept = {name: array for name, array in stored.items() if name in Vectors._fields}
            shapes = {name: getattr(vectors, name).shape for name in Vectors._fields[1:]}
            if {name: array.shape for name, array in kept.items()} != shapes:
                raise InputError(f"{path} is of another network.", "Train without --resume.")
            self.runner.vectors = vectors._replace(**kept)

    def keep(self, state: Path, epoch: int) -> None:
        """Write the optimiser's state."""
        vectors = self.runner.vectors
        with atomic_file(state / f"optimizer-{epoch:03d}.npz") as partial, partial.open("wb") as file:
            np.savez(file, **{name: getattr(vectors, name) for name in Vectors._fields[1:]})

    def finish(self, rows: list[dict[str, Any]], weights: dict[int, Network]) -> Trained:
        """Return the epoch that counts, or the average of the last ones up to it."""
        chosen = chosen_epoch(own(rows, weights), self.settings)
        network = averaged(weights, chosen, self.settings.average)
        metrics = {"loss": next(row["loss"] for row in rows if row["epoch"] == chosen)}
        metrics |= self.measure(flat(network))
        return Trained(network, rows, chosen, metrics, self.compile_seconds)


def _targets(y: np.ndarray, soft: np.ndarray | None) -> np.ndarray:
    """Return (stays, 2) float32: the outcome, and a teacher's risk where there is one."""
    return np.stack([y, y if soft is None else soft], axis=1).astype(np.float32)


def _learning_rate(settings: TrainSettings, epoch: int) -> float:
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / settings.epochs))


def _kept_weights(checkpoints: Path | None, first_epoch: int, network: Network) -> dict[int, Network]:
    """Return the networks of the epochs before, as far as they are kept and have the shape of this one."""
    files = sorted(checkpoints.glob("epoch-*.npz")) if checkpoints is not None and first_epoch > 1 else []
    kept = {int(file.stem[6:]): Network.load(file) for file in files if int(file.stem[6:]) < first_epoch}
    shapes = [array.shape for array in network.arrays().values()]
    return {n: other for n, other in kept.items() if [array.shape for array in other.arrays().values()] == shapes}


def _show(bar: Bar, row: dict[str, Any]) -> None:
    aurocs = " ".join(f"{n} {row[f'auroc_{n}']:.3f}" for n in ("train", "val") if row[f"auroc_{n}"] is not None)
    bar.advance(1, note=f"epoch {row['epoch']}: loss {row['loss']:.3f}, AUROC {aurocs or 'unknown'}")
