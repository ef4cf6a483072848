"""Training: epochs over the training split, with what is needed to stop, to go on, and to look back.

Comes in: a Network, a data set and settings. Goes out: the trained Network, its history, the weights of every epoch.
The test split is measured after every epoch, for the paper's Fig. 3; nothing is ever chosen by it.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.console import Bar, Console
from mortcond.core.errors import InputError, Interrupted
from mortcond.dataset import SPLITS, Dataset
from mortcond.models.backend import keras, tf
from mortcond.models.epoch import Steps, compile_epoch, compile_predict, cross_entropy, distillation
from mortcond.models.keras_network import from_keras, to_keras
from mortcond.models.network import Network
from mortcond.models.settings import TrainSettings

__all__ = ["TrainSettings", "Trained", "fit"]
FEWEST_STAYS = 10  # of a split that something is learnt or chosen from


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    network: Network  # of the epoch that counts
    history: list[dict[str, Any]]  # a row an epoch: epoch, loss, val_loss, test_loss, auroc_*, seconds
    epoch: int  # the epoch that counts: the last, or the best by validation AUROC
    metrics: dict[str, Any] = field(default_factory=dict)  # losses and AUROC of `network`

    @property
    def training_seconds(self) -> float:
        """Seconds of all epochs, the compilation of the epoch included."""
        return sum(row["seconds"] for row in self.history)

    @property
    def compile_seconds(self) -> float | None:
        """What the first epoch took longer than the median of the others: compilation. None after one epoch."""
        others = [row["seconds"] for row in self.history[1:]]
        return max(self.history[0]["seconds"] - float(np.median(others)), 0.0) if others else None


def fit(
    network: Network,
    dataset: Dataset,
    settings: TrainSettings,
    *,
    seed: int,
    console: Console,
    checkpoints: Path | None = None,
    first_epoch: int = 1,
    history: Sequence[dict[str, Any]] = (),
    soft_targets: np.ndarray | None = None,
    stop: Callable[[], bool] | None = None,
    state: Path | None = None,
    after_epoch: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> Trained:
    """Train a network from `first_epoch` to `settings.epochs`.

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
    soft_targets
        (training stays,): a teacher's risks, mixed in by `settings.teacher_weight`.
    stop
        Asked after every epoch; True ends training with Interrupted, when the epoch is saved.
    state
        A file with the optimiser's state: read where it exists, written after every epoch.
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
    model = to_keras(network, recurrent_dropout=settings.recurrent_dropout, input_dropout=settings.input_dropout)
    run = _Run(model, dataset, settings, seed, soft_targets)
    run.restore(state)
    rows, weights = list(history), _kept_weights(checkpoints, first_epoch)
    with console.progress(f"Training {network.arch}", total=settings.epochs) as bar:
        bar.update(first_epoch - 1)
        for epoch in range(first_epoch, settings.epochs + 1):
            rows.append(run.epoch(epoch))
            weights[epoch] = from_keras(model)
            _save(weights[epoch], epoch, checkpoints, run, state)
            after_epoch(rows)
            _show(bar, rows[-1])
            if stop is not None and stop() and epoch < settings.epochs:
                raise Interrupted(f"Training stopped after epoch {epoch} of {settings.epochs}; all of it is saved.")
            if _patience_is_over(rows, settings):
                break
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


def measure(predict: Callable[[np.ndarray], np.ndarray], dataset: Dataset) -> dict[str, Any]:
    """Return NAME_loss and auroc_NAME of every split; None where it is empty or has one outcome only."""
    measured: dict[str, Any] = {}
    for name in SPLITS:
        split = getattr(dataset, name)
        has_stays = split is not None and len(split) > 0
        risk = predict(split.X) if has_stays else None
        measured[f"{name}_loss"] = _loss(split.y, risk) if has_stays else None
        measured[f"auroc_{name}"] = _auroc(split.y, risk) if has_stays else None
    return measured


def set_threads(threads: int) -> None:
    """Let TensorFlow compute with so many threads; what runs already keeps its own number."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        return


class _Run:
    """One training run: the model with its optimiser and compiled functions, and the data as tensors."""

    def __init__(self, model, dataset: Dataset, settings: TrainSettings, seed: int, soft_targets):
        self.model, self.dataset, self.settings, self.seed = model, dataset, settings, seed
        self.optimizer = keras.optimizers.Adam(
            settings.learning_rate, weight_decay=settings.weight_decay or None, global_clipnorm=settings.clip_norm
        )
        self.optimizer.build(model.trainable_variables)
        self.X = tf.convert_to_tensor(dataset.train.X)
        self.targets, loss = _targets(dataset.train.y, soft_targets, settings)
        steps = Steps.of(len(dataset.train), min(settings.batch_size, len(dataset.train)))
        self.train_epoch = compile_epoch(model, self.optimizer, steps, loss)
        self.predict = compile_predict(model)
        self.seeds = [v for v in model.non_trainable_variables if "seed_generator" in v.path]

    def epoch(self, number: int) -> dict[str, Any]:
        """Train one epoch and measure it; the first of a run pays for the compilation of the epoch."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.dataset.train)).astype(np.int32)
        for index, variable in enumerate(self.seeds):
            variable.assign(np.array([self.seed * 100_003 + number, index], variable.dtype))
        self.optimizer.learning_rate.assign(_learning_rate(self.settings, number))
        arguments = (self.X, self.targets, tf.convert_to_tensor(order))
        started = time.perf_counter()
        loss = float(self.train_epoch(*arguments))
        seconds = time.perf_counter() - started
        return {"epoch": number, "loss": loss, **self.measure(), "seconds": round(seconds, 4)}

    def measure(self) -> dict[str, Any]:
        """Return loss of val and test, and AUROC of all splits, of the model as it stands."""
        measured = measure(self.predict, self.dataset)
        measured.pop("train_loss")  # the history's own is the mean over the epoch, with dropout
        return measured

    def restore(self, state: Path | None) -> None:
        if state is not None and state.is_file():
            with np.load(state, allow_pickle=False) as file:
                for index, variable in enumerate(self.optimizer.variables):
                    variable.assign(file[str(index)])

    def finish(self, rows: list[dict[str, Any]], weights: dict[int, Network]) -> Trained:
        chosen = _chosen_epoch(rows, self.settings)
        epochs = [epoch for epoch in range(chosen - self.settings.average + 1, chosen + 1) if epoch in weights]
        network = _average([weights[epoch] for epoch in epochs])
        metrics = {"loss": next(row["loss"] for row in rows if row["epoch"] == chosen)}
        for variable, value in zip(self.model.trainable_variables, _variables(network), strict=True):
            variable.assign(value)
        return Trained(network, rows, chosen, metrics | self.measure())


def _targets(y: np.ndarray, soft: np.ndarray | None, settings: TrainSettings):
    outcome = y.astype(np.float32)
    if soft is None or not settings.teacher_weight:
        return tf.convert_to_tensor(outcome), cross_entropy
    both = np.stack([outcome, soft.astype(np.float32)], axis=1)  # (stays, 2)
    return tf.convert_to_tensor(both), distillation(settings.teacher_weight, settings.temperature)


def _learning_rate(settings: TrainSettings, epoch: int) -> float:
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / settings.epochs))


def _kept_weights(checkpoints: Path | None, first_epoch: int) -> dict[int, Network]:
    files = sorted(checkpoints.glob("epoch-*.npz")) if checkpoints is not None and first_epoch > 1 else []
    return {int(file.stem[6:]): Network.load(file) for file in files if int(file.stem[6:]) < first_epoch}


def _save(network: Network, epoch: int, checkpoints: Path | None, run: _Run, state: Path | None) -> None:
    if state is not None:  # first the optimiser's state, so that weights never stand without it
        from mortcond.core.artifacts import atomic_file

        with atomic_file(state) as partial, partial.open("wb") as file:
            np.savez(file, **{str(index): value.numpy() for index, value in enumerate(run.optimizer.variables)})
    if checkpoints is not None:
        network.save(checkpoints / f"epoch-{epoch:03d}.npz")


def _show(bar: Bar, row: dict[str, Any]) -> None:
    aurocs = " ".join(f"{n} {row[f'auroc_{n}']:.3f}" for n in ("train", "val") if row[f"auroc_{n}"] is not None)
    bar.advance(1, note=f"epoch {row['epoch']}: loss {row['loss']:.3f}, AUROC {aurocs or 'unknown'}")


def _patience_is_over(rows: list[dict[str, Any]], settings: TrainSettings) -> bool:
    if settings.patience is None or rows[-1]["auroc_val"] is None:
        return False
    return rows[-1]["epoch"] - _best_epoch(rows) >= settings.patience


def _chosen_epoch(rows: list[dict[str, Any]], settings: TrainSettings) -> int:
    best_counts = settings.keep == "best" and rows[-1]["auroc_val"] is not None
    return _best_epoch(rows) if best_counts else rows[-1]["epoch"]


def _best_epoch(rows: list[dict[str, Any]]) -> int:
    return max(rows, key=lambda row: (row["auroc_val"] or 0.0, -row["epoch"]))["epoch"]


def _average(networks: list[Network]) -> Network:
    arrays = [network.arrays() for network in networks]
    return networks[-1].with_arrays({name: np.mean([a[name] for a in arrays], axis=0) for name in arrays[-1]})


def _variables(network: Network) -> list[np.ndarray]:
    return [variable.numpy() for variable in to_keras(network).trainable_variables]


def _loss(y: np.ndarray, risk: np.ndarray) -> float:
    return float(cross_entropy(y.astype(np.float32), risk.astype(np.float32)))


def _auroc(y: np.ndarray, risk: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, risk)) if len(np.unique(y)) == 2 else None
