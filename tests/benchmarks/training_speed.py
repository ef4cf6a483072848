"""Seconds per epoch of mortcond, stock Keras `fit` and PyTorch on PhysioNet 2012 set A, batch 8, one thread.

    python tests/benchmarks/training_speed.py [--rounds 5] [--archs lstm hlstm dnn] [--dataset dataset.npz]

All take turns, an epoch each, in one process, so that a busy machine is unfair to none; the table has medians. PyTorch
is measured where it is installed (the extra `peers`), with nn.LSTM of the same widths and nn.Linear. Without --dataset
set A is prepared with the paper's 76 features from MORTCOND_TEST_DATA.

    python tests/benchmarks/training_speed.py --memory 18000

prints the peak memory of a process that trains an epoch on so many random stays of 48 hours x 76 features.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mortcond import archs
from mortcond import dataset as datasets
from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.session import Session
from mortcond.dataset import Dataset, Split
from mortcond.network import Network
from mortcond.training.backends import NUMPY, TENSORFLOW, runner
from mortcond.training.initial import initial
from mortcond.training.settings import TrainSettings
from mortcond.training.training import _Run, fit
from mortcond.training.walk import Walk

DATA = Path(os.environ.get("MORTCOND_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
QUIET = Console(quiet=True)
BATCH = 8
Epoch = Callable[[], float]  # trains one epoch, returns its seconds


def set_a(path: Path | None) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return X (stays, 48, 76), y and the mask columns of all stays of set A."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "dataset.npz"
            preprocess(Session(Path(folder), console=QUIET), DATA / "physionet2012", out=path)
        data = datasets.load(path)
    parts = [data.split(name) for name in datasets.SPLITS]
    X, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("X", "y"))
    return X, y, datasets.mask_columns(data.feature_names)


def mortcond(backend: str, network: Network, X: np.ndarray, y: np.ndarray) -> tuple[Epoch, float]:
    """Return the epoch of `fit` without the measuring after it, and the seconds of compilation."""
    run = _Run(network, as_dataset(X, y), TrainSettings(batch_size=BATCH), 0, None, 1, runner(backend))
    numbers = iter(range(1, 1000))

    def epoch() -> float:
        started = time.perf_counter()
        float(run.train(next(numbers)))
        return time.perf_counter() - started

    return epoch, run.compile_seconds


def stock_keras(network: Network, X: np.ndarray, y: np.ndarray) -> tuple[Epoch, float]:
    """Return an epoch of Keras' own `fit`; of dnn on the means, computed before."""
    from mortcond.core.tensorflow import keras
    from mortcond.exchange.keras_model import to_keras

    model, inputs = to_keras(network), X
    if not network.recurrent:
        inputs = summaries(network, X)
        hidden = [keras.layers.Dense(n.layer.units, activation=n.layer.activation) for n in network.tail]
        model = keras.Sequential([*hidden[:-1], keras.layers.Dropout(dropout_of(network)), hidden[-1]])
    model.compile(keras.optimizers.Adam(0.001), "binary_crossentropy")
    started = time.perf_counter()
    model.fit(inputs[: 2 * BATCH], y[: 2 * BATCH], batch_size=BATCH, verbose=0)

    def epoch() -> float:
        started = time.perf_counter()
        model.fit(inputs, y, batch_size=BATCH, verbose=0)
        return time.perf_counter() - started

    return epoch, time.perf_counter() - started


def pytorch(network: Network, X: np.ndarray, y: np.ndarray) -> tuple[Epoch, float] | None:
    """Return an epoch of a plain PyTorch loop; None where it is not installed or has no such layer (hlstm)."""
    if find_spec("torch") is None or network.arch not in ("lstm", "dnn"):
        return None
    import torch

    torch.set_num_threads(1)
    layers = [node.layer.units for node in network.recurrent]
    recurrent = torch.nn.LSTM(X.shape[2], layers[0], num_layers=len(layers), batch_first=True) if layers else None
    widths = [node.layer.kernel.shape for node in network.tail]
    hidden = [part for shape in widths[:-1] for part in (torch.nn.Linear(*shape), torch.nn.ReLU())]
    head = torch.nn.Sequential(*hidden, torch.nn.Dropout(dropout_of(network)), torch.nn.Linear(*widths[-1]))
    parameters = [*(recurrent.parameters() if recurrent else ()), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.001)
    inputs = torch.from_numpy(X if recurrent else summaries(network, X))
    outcome = torch.from_numpy(y.astype(np.float32))

    def epoch() -> float:
        started = time.perf_counter()
        for rows in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad()
            x = inputs[rows]
            state = recurrent(x)[0][:, -1] if recurrent else x
            torch.nn.functional.binary_cross_entropy_with_logits(head(state)[:, 0], outcome[rows]).backward()
            optimizer.step()
        return time.perf_counter() - started

    return epoch, 0.0


RUNTIMES = {"mortcond": partial(mortcond, TENSORFLOW), "mortcond, numpy": partial(mortcond, NUMPY)}
RUNTIMES |= {"Keras fit": stock_keras, "PyTorch": pytorch}


def summaries(network: Network, X: np.ndarray) -> np.ndarray:
    """Return what a dense network reads of the stays."""
    return next(iter(Walk(network).prepare(X).values()))


def dropout_of(network: Network) -> float:
    return network["dropout"].rate


def as_dataset(X: np.ndarray, y: np.ndarray) -> Dataset:
    ids, texts = np.arange(len(y)), np.full(len(y), "")
    split = Split(X, y, ids, ids, np.zeros(len(y), np.float32), texts, texts)
    return Dataset(split, None, None, tuple(map(str, range(X.shape[2]))), np.zeros(1), np.ones(1), {})


def measured(archs: list[str], rounds: int, path: Path | None) -> Iterator[str]:
    """Yield the lines of the table."""
    X, y, masks = set_a(path)
    yield f"\n{len(X):,} stays x {X.shape[1]} hours x {X.shape[2]} features, batch {BATCH}, median of {rounds} epochs"
    yield "| | runtime | s per epoch | times mortcond | compilation, s |\n| --- | --- | ---: | ---: | ---: |"
    for arch in archs:
        inputs = archs.Inputs(X.shape[2], X.shape[1], masks)
        network = initial(archs.untrained(arch, archs.shaped(arch), inputs), 0)
        made = {name: make(network, X, y) for name, make in RUNTIMES.items()}
        seconds = {name: [] for name, epoch in made.items() if epoch is not None}
        for name in [name for _ in range(rounds) for name in seconds]:
            seconds[name].append(made[name][0]())
        medians = {name: float(np.median(values)) for name, values in seconds.items()}
        for name, median in medians.items():
            ratio = median / medians["mortcond"]
            yield f"| {arch} | {name} | {median:.2f} | {ratio:.1f} | {made[name][1]:.1f} |"


def memory(stays: int) -> Iterator[str]:
    """Yield the peak memory after an epoch of the paper's lstm on random stays, made before and counted in."""
    generator = np.random.default_rng(0)
    parts = []
    for share in (0.7, 0.15, 0.15):
        X = generator.standard_normal((int(stays * share), 48, 76), np.float32)
        parts.append(as_dataset(X, (X[:, :, 0].mean(1) > 0.2).astype(np.uint8)).train)
    data = Dataset(*parts, tuple(map(str, range(76))), np.zeros(76), np.ones(76), {})
    size = sum(part.X.nbytes for part in parts) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    network = archs.untrained("lstm", archs.shaped("lstm"), archs.Inputs(76, 48))
    fit(initial(network, 0), data, TrainSettings(epochs=2), seed=0, console=QUIET)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    yield f"{stays:,} stays ({size:,.0f} MB of data): peak memory {peak:,.0f} MB, before training {before:,.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--archs", nargs="+", default=["lstm", "hlstm", "dnn"])
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--memory", type=int, metavar="STAYS")
    options = parser.parse_args()
    lines = memory(options.memory) if options.memory else measured(options.archs, options.rounds, options.dataset)
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
