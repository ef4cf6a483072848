"""AUROC on PhysioNet 2012 set A, 5-fold cross-validated by patient: our networks, the linear floor, boosted trees.

Comes in: the challenge's set A (MORTCOND_TEST_DATA, or --data). Goes out: a table, and with --out its numbers as JSON.

    python tests/benchmarks/cross_validation.py --variables extended --presets best

Every model learns from the whole training part of a fold and is measured on the rest; no fold's test part is looked at
before. Standardisation is redone in each fold. What the presets are was chosen on folds inside the training part of the
first fold, on the extended variables.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from mortcond import archs
from mortcond import dataset as datasets
from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.session import Session
from mortcond.dataset import SPLITS, Dataset, Split
from mortcond.training.initial import initial
from mortcond.training.linear import fit_linear, summaries_of
from mortcond.training.settings import preset
from mortcond.training.teacher import TREES
from mortcond.training.training import fit

DATA = Path(os.environ.get("MORTCOND_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FOLDS = 5
NETWORKS = tuple(name for name, arch in archs.ARCHS.items() if arch.trainable)
BOOSTED = {"boosted trees (defaults)": {}, "boosted trees (as in the teacher)": TREES}
QUIET = Console(quiet=True)


def prepared(source: Path, variables: str, folder: Path) -> Dataset:
    """Return the data set of set A with a table of variables."""
    path = folder / f"{variables}.npz"
    if not path.exists():
        preprocess(Session(folder, console=QUIET), source, variables=variables, out=path)
    return datasets.load(path)


def whole(data: Dataset) -> Split:
    """Return all stays as one split, sorted, with the standardisation undone."""
    parts = [getattr(data, name) for name in SPLITS]
    order = np.argsort(np.concatenate([part.stay_id for part in parts]))
    joined = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in vars(parts[0])}
    joined["X"] = (joined["X"] * data.std + data.mean).astype(np.float32)
    return Split(**joined)


def fold(data: Dataset, everything: Split, learn: np.ndarray, held: np.ndarray) -> Dataset:
    """Return a data set of one fold, standardised by its training part; unscaled columns stay as they are."""
    scaled = (data.mean != 0) | (data.std != 1)
    mean, std = (getattr(everything.X[learn], name)(axis=(0, 1), dtype=np.float64) for name in ("mean", "std"))
    mean, std = np.where(scaled, mean, 0), np.where(scaled & (std > 1e-6), std, 1)
    parts = []
    for rows in (learn, held):
        arrays = {name: array[rows] for name, array in vars(everything).items()}
        arrays["X"] = ((arrays["X"] - mean) / std).astype(np.float32)
        parts.append(Split(**arrays))
    return Dataset(parts[0], None, parts[1], data.feature_names, mean, std, {})


def models(presets: list[str], names: list[str], seed: int) -> Iterator[tuple[str, Callable]]:
    """Yield the name of each model and a function fold -> (risks of its test part, parameters)."""
    if "linear" in names:
        yield "linear", lambda data: linear(data, seed)
    if "boosted" in names:
        for name, options in BOOSTED.items():
            yield name, lambda data, options=options: boosted(data, options, seed)
    for chosen in presets:
        for arch in (name for name in NETWORKS if name in names):
            yield f"{arch}, {chosen}", lambda data, arch=arch, chosen=chosen: network(data, arch, chosen, seed)


def network(data: Dataset, arch: str, chosen: str, seed: int) -> tuple[np.ndarray, int]:
    empty = archs.untrained(arch, archs.shaped(arch, chosen), archs.inputs_of(data)).fitted(data.train.X)
    start = initial(empty, seed)
    trained = fit(start, data, preset(chosen, arch), seed=seed, console=QUIET).network
    return trained.predict(data.test.X, np.float32), trained.parameters


def linear(data: Dataset, seed: int) -> tuple[np.ndarray, int]:
    train = data.train
    fitted = fit_linear(train.X, train.y, train.subject_id, seed, QUIET).network
    return fitted.predict(data.test.X), fitted.parameters


def boosted(data: Dataset, options: dict, seed: int) -> tuple[np.ndarray, int]:
    trees = HistGradientBoostingClassifier(random_state=seed, **options)
    trees.fit(summaries_of(data.train.X), data.train.y)
    return trees.predict_proba(summaries_of(data.test.X))[:, 1], 0


def measured(data: Dataset, presets: list[str], names: list[str], seed: int) -> dict[str, dict]:
    """Return for each model its AUROC in every fold, its size and its seconds."""
    everything, found = whole(data), {}
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for learn, held in splitter.split(everything.X, everything.y, everything.subject_id):
        part = fold(data, everything, learn, held)
        for name, model in models(presets, names, seed):
            started = time.perf_counter()
            risk, parameters = model(part)
            record = found.setdefault(name, {"auroc": [], "seconds": [], "parameters": parameters})
            record["auroc"].append(float(roc_auc_score(part.test.y, risk)))
            record["seconds"].append(round(time.perf_counter() - started, 1))
            print(f"  {name}: {record['auroc'][-1]:.4f} in {record['seconds'][-1]} s", flush=True)
    return found


def table(variables: str, found: dict[str, dict]) -> Iterator[str]:
    yield f"\n| {variables} | parameters | AUROC, mean ± sd of {FOLDS} folds | folds |\n| --- | ---: | --- | --- |"
    for name, record in found.items():
        values = np.array(record["auroc"])
        folds = " ".join(f"{value:.3f}" for value in values)
        size = f"{record['parameters']:,}" if record["parameters"] else "-"
        yield f"| {name} | {size} | {values.mean():.4f} ± {values.std(ddof=1):.4f} | {folds} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "physionet2012", help="set A with its outcomes")
    parser.add_argument("--folder", type=Path, help="keep the prepared data sets here")
    parser.add_argument("--variables", nargs="+", default=["paper76", "extended"])
    parser.add_argument("--presets", nargs="*", default=["paper", "best"], choices=["paper", "best"])
    parser.add_argument("--models", nargs="+", default=["linear", "boosted", *NETWORKS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for variables in options.variables:
            print(f"{variables}:", flush=True)
            data = prepared(options.data, variables, options.folder or Path(scratch))
            results[variables] = measured(data, options.presets, options.models, options.seed)
    for variables, found in results.items():
        print("\n".join(table(variables, found)))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
