"""Every method of condensation and the useful chains, on one data set, with several seeds: what is won, what is lost.

    python tests/benchmarks/condensation.py dataset.npz --out DIR [--seeds 5] [--preset paper] [--only dnn]

Each seed trains its own lstm, hlstm and dnn and condenses them by each method; what is there already is not made again,
so an interrupted run goes on. The table gives, for each method, parameters, bytes, microseconds per stay (seed 0, one
stay at a time, one thread), and on the test split the AUROC (mean over the seeds) and its paired difference to the
uncondensed parent of the same seed, with 95 % intervals over patients and seeds together: each resample draws patients
and seeds anew, for all models the same. Below it stands for each mode by how much its files change a risk of the
validation stays, and how many `quantize` would refuse.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond import scores
from mortcond.core.artifacts import atomic_file, size_bytes
from mortcond.core.console import Console
from mortcond.core.session import Session
from mortcond.deploy.check import TOLERANCE, acceptable
from mortcond.deploy.runtime import Predictor, tflite_path
from mortcond.measure import candidates, latency
from mortcond.measure.intervals import resample_counts

RESAMPLES = 2000
ARCHS = ("lstm", "hlstm", "dnn")
Step = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """One row of the table: what is done to the trained parent, step by step."""

    arch: str
    name: str
    steps: tuple[Step, ...] = ()

    @property
    def kind(self) -> str:
        return ("parent", "single", "chain")[min(len(self.steps), 2)]


def prune(**options: Any) -> Step:
    return "prune", {"quantile": 0.5} | options


def convert(**options: Any) -> Step:
    return "hlstm-convert", options


def quantize(mode: str) -> Step:
    return "quantize", {"mode": mode}


def methods() -> Iterator[Method]:
    """Yield every row, the parents first."""
    for arch in ARCHS:
        yield Method(arch, "none")
        for score in ("mean", "l2", "taylor", "fisher", "correlation", "random"):
            yield Method(arch, f"prune 50 %, {score}", (prune(method=score),))
        yield Method(arch, "prune 50 %, mean, over all layers", (prune(scope="global"),))
        for schedule in ("final", "gradual", "rewind"):
            yield Method(arch, f"prune 50 %, mean, {schedule}", (prune(schedule=schedule),))
        yield Method(arch, "prune 50 %, mean, distilled", (prune(distil=True),))
        for quantile in (0.25, 0.75):
            yield Method(arch, f"prune {quantile:.0%}, mean", (prune(quantile=quantile),))
        for mode in ("float16", "dynamic", "int8", *(("integer",) if arch == "dnn" else ())):
            yield Method(arch, mode, (quantize(mode),))
        yield Method(arch, "prune 50 % + int8", (prune(), quantize("int8")))
        yield Method(arch, "prune 75 % + int8", (prune(quantile=0.75), quantize("int8")))
    yield from _of_the_gates()
    yield from _conversions()


def _of_the_gates() -> Iterator[Method]:
    yield Method("hlstm", "prune 50 %, units only", (prune(axis="units"),))
    yield Method("hlstm", "prune 50 %, gates' neurons only", (prune(axis="hidden"),))


def _conversions() -> Iterator[Method]:
    for name, options in {
        "from scratch": {},
        "from the parent": {"init": "parent"},
        "distilled": {"distil": True},
        "from the parent, distilled": {"init": "parent", "distil": True},
    }.items():
        yield Method("lstm", f"hlstm-convert, {name}", (convert(**options),))
    best = {"init": "parent", "distil": True}
    yield Method("lstm", "hlstm-convert + int8", (convert(), quantize("int8")))
    yield Method("lstm", "hlstm-convert + prune 50 % + int8", (convert(), prune(), quantize("int8")))
    yield Method("lstm", "prune 50 % + hlstm-convert + int8", (prune(), convert(**best), quantize("int8")))


def make(method: Method, seed: int, options: argparse.Namespace) -> Path:
    """Return a method's artifact for a seed, made where it is not there yet."""
    workspace = options.out / f"seed-{seed}"
    model = workspace / method.arch
    if not model.exists():
        _call(
            "train", seed, workspace, {"arch": method.arch, "epochs": options.epochs, "preset": options.preset}, options
        )
    for count in range(1, len(method.steps) + 1):
        command, how = method.steps[count - 1]
        ending = ".tflite" if command == "quantize" else ""
        target = workspace / (method.arch + "".join(_tag(step) for step in method.steps[:count]) + ending)
        if not target.exists():
            _call(command, seed, workspace, {"model": model, "out": target} | how, options)
        model = target
    return model


def _tag(step: Step) -> str:
    command, how = step
    return "_" + "-".join([command, *(f"{name}={value}" for name, value in how.items())])


def _call(command: str, seed: int, workspace: Path, how: dict[str, Any], options: argparse.Namespace) -> None:
    name = command.replace("-", "_")
    session = Session(workspace, seed=seed, console=Console(quiet=True))
    given = {key: value for key, value in how.items() if value is not None}
    tolerance = {"tolerance": 1.0} if command == "quantize" else {}  # the table shows the loss; nothing is refused
    room = import_module(f"mortcond.commands.{name}")
    getattr(room, name)(session, **given, **tolerance, dataset=options.dataset)


def measure(found: list[Method], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Make all artifacts, and return a row for each method."""
    test = datasets.load(options.dataset, splits=("test",)).test
    risks, rows = {}, []
    for method in found:
        paths = [make(method, seed, options) for seed in range(options.seeds)]
        risks[method.arch, method.name] = np.stack([Predictor(path).predict(test.X) for path in paths])
        rows.append(_facts(method, paths[0]))
        print(f"{method.arch}: {method.name}", flush=True)
    with_accuracy = _accuracy(found, rows, risks, test)
    return _with_latency(with_accuracy, test.X)


def _facts(method: Method, path: Path) -> dict[str, Any]:
    candidate = candidates.read(path, "litert")
    parameters = candidate.manifest.parameters
    facts = {"arch": method.arch, "method": method.name, "kind": method.kind, "path": str(path)}
    return facts | {"parameters": parameters, "bytes": size_bytes(tflite_path(path))}


def _accuracy(found: list[Method], rows: list[dict], risks: dict, test: Any) -> list[dict[str, Any]]:
    died = np.asarray(test.y)
    counts = np.concatenate(list(resample_counts(test.subject_id, RESAMPLES, 0)))  # (resamples, stays)
    seeds = next(iter(risks.values())).shape[0]
    drawn = np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds))
    once = np.ones((1, len(died)), np.int32)
    values = {key: _aurocs(died, own, once)[:, 0] for key, own in risks.items()}  # (seeds,)
    resampled = {key: _aurocs(died, own, counts) for key, own in risks.items()}  # (seeds, resamples)
    for method, row in zip(found, rows, strict=True):
        key, parent = (method.arch, method.name), (method.arch, "none")
        row |= {"seeds": seeds, "auroc": values[key].mean(), "sd_over_seeds": values[key].std(ddof=min(1, seeds - 1))}
        row["auroc_low"], row["auroc_high"] = _interval(resampled[key], drawn)
        difference = values[key] - values[parent]
        row |= {"difference": difference.mean()}
        row["difference_low"], row["difference_high"] = _interval(resampled[key] - resampled[parent], drawn)
    return rows


def _aurocs(died: np.ndarray, risks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.stack([scores.auroc_of(*scores.Ranking(died, risk).deaths_and_stays(counts)) for risk in risks])


def _interval(of_seeds: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean over seeds, patients and seeds both drawn; of_seeds: (seeds, resamples)."""
    means = of_seeds[drawn.T, np.arange(of_seeds.shape[1])].mean(0)
    return tuple(np.nanquantile(means, [0.025, 0.975]))


def _with_latency(rows: list[dict[str, Any]], x: np.ndarray) -> list[dict[str, Any]]:
    found = [candidates.read(Path(row["path"]), "litert") for row in rows]
    costs, _ = latency.measure(found, x, latency.Plan(batches=(1,)), Console(quiet=True))
    return [row | {"us_per_stay": cost.latency(1)["p50"]} for row, cost in zip(rows, costs, strict=True)]


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    lines = ["| network | method | parameters | bytes | µs a stay | AUROC [95 %] | difference to parent [95 %] |"]
    lines.append("| --- | --- | ---: | ---: | ---: | --- | --- |")
    for row in rows:
        auroc = f"{row['auroc']:.3f} [{row['auroc_low']:.3f}, {row['auroc_high']:.3f}]"
        change = f"{row['difference']:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
        cells = [row["arch"], row["method"], f"{row['parameters']:,}", f"{row['bytes']:,}", f"{row['us_per_stay']:.0f}"]
        lines.append("| " + " | ".join([*cells, auroc, change if row["kind"] != "parent" else ""]) + " |")
    return "\n".join(lines) + "\n"


def of_rounding(folder: Path) -> Iterator[str]:
    """Yield a line for each mode: the largest change of a validation risk over all files of the folder."""
    manifests = [candidates.read(path, "litert").manifest for path in sorted(folder.glob("seed-*/*.tflite"))]
    for mode in sorted({manifest.quantization for manifest in manifests}):
        checks = [manifest.extra["check"] for manifest in manifests if manifest.quantization == mode]
        changes = np.array([check["max_abs_dp"] for check in checks])
        refused = sum(not acceptable(check, TOLERANCE[mode]) for check in checks)
        yield (
            f"{mode}: {len(checks)} files, largest change of a risk {changes.min():.3f} to {changes.max():.3f}, "
            f"median {np.median(changes):.3f}; {refused} would be refused"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of all artifacts and of the table")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None, help="the preset's")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--only", default="lstm,hlstm,dnn", help="networks, with commas between")
    options = parser.parse_args()
    found = [method for method in methods() if method.arch in options.only.split(",")]
    rows = measure(sorted(found, key=lambda method: ARCHS.index(method.arch)), options)
    options.out.mkdir(parents=True, exist_ok=True)
    with atomic_file(options.out / "condensation.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (options.out / "condensation.md").write_text(markdown(rows), encoding="utf-8")
    (options.out / "condensation.json").write_text(json.dumps(rows, indent=1, default=float), encoding="utf-8")
    print(markdown(rows), *of_rounding(options.out), sep="\n")


if __name__ == "__main__":
    main()
