"""PhysioNet 2012 set A cross-validated by patient: networks in 32 and 8 bits, whole and pruned, the floor, the trees.

Comes in: the challenge's set A (MORTCOND_TEST_DATA, or --data). Goes out: tables, and with --out their numbers as JSON.

    python tests/benchmarks/cross_validation.py --folder cv              # every architecture, both tables of variables
    python tests/benchmarks/cross_validation.py --folder cv --ablation   # what each part of `wide` gives

Every model learns from the whole training part of a fold, standardisation and teacher included, and is measured on the
rest, as its `.tflite` file predicts. What is done is kept in the folder, and not computed again. What the presets are
was chosen on four folds inside the training part of the first fold of the first repeat, on the extended variables.

Standard errors of a difference are those of Nadeau and Bengio (2003): folds share most of what they learn from.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from mortcond import __version__, archs, scores
from mortcond import dataset as datasets
from mortcond.commands import chain
from mortcond.commands.preprocess import preprocess
from mortcond.core.artifacts import atomic_file
from mortcond.core.console import Console
from mortcond.core.session import Session
from mortcond.dataset import Dataset, folds
from mortcond.layers import Concatenate, Dense, Dropout, FullSummary, Hinges
from mortcond.layers.measured import of_features
from mortcond.network import Network, Node
from mortcond.network import chain as chained
from mortcond.training import teacher
from mortcond.training.initial import initial
from mortcond.training.settings import preset
from mortcond.training.training import fit

DATA = Path(os.environ.get("MORTCOND_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FOLDS = 5
NETWORKS = ("lstm", "gru", "hlstm", "dnn", "wide", "joined")
REFERENCES = ("linear", "trees")
QUIET = Console(quiet=True)
Told = dict[str, dict[str, Any]]  # by form: risk (held-out stays,), and facts


@dataclass(frozen=True)
class Part:
    """One fold of one repeat."""

    variables: str
    repeat: int
    fold: int

    @property
    def seed(self) -> int:
        return int(np.random.SeedSequence([self.repeat, self.fold]).generate_state(1)[0] % 2**31)


# Whole networks, as `validate` would make them.


def forms(arch: str) -> list[chain.Form]:
    """Return an architecture's forms: as it is, half pruned, and both in 8 bits."""
    if arch in REFERENCES:
        return [chain.read(arch)]
    return [chain.Form(arch, pruned, mode=mode) for pruned in (None, 50) for mode in ("float32", "int8")]


def made(data: Dataset, part: Part, arch: str, chosen: str) -> Told:
    """Return what the forms of an architecture say of the held-out stays."""
    outcomes = chain.run(data, forms(arch), chain.HowToTrain(chosen), part.seed)
    return {name: dict(vars(outcome)) for name, outcome in outcomes.items()}


# The parts of `wide`, one left out at a time.


def additive(data: Dataset, summary: str, hinges: bool, units: int) -> Network:
    """Return a network of zeros, joined at the logit of a summary, or its hinges, and of units on it."""
    inputs = archs.inputs_of(data)
    layer = FullSummary() if summary == "full" else of_features(inputs.names, inputs.mask_columns)
    width = layer.width(inputs.features, hours=inputs.hours)
    nodes, ends, joined = [Node("summary", layer)], ["summary"], width
    if hinges:
        nodes, ends, joined = [*nodes, Node("hinges", Hinges(), ("summary",))], ["hinges"], 4 * width
    if units:
        dense = Dense(np.zeros((width, units), "f4"), np.zeros(units, "f4"), "relu")
        nodes += [Node("dense.0", dense, ("summary",)), Node("dropout", Dropout(0.3), ("dense.0",))]
        ends, joined = [*ends, "dropout"], joined + units
    if len(ends) > 1:
        nodes.append(Node("joined", Concatenate(), tuple(ends)))
    last = "joined" if len(ends) > 1 else ends[0]
    output = Node("dense.1", Dense(np.zeros((joined, 1), "f4"), np.zeros(1, "f4"), "sigmoid"), (last,))
    return chained("wide", inputs.features, inputs.hours, [*nodes, output])


def trained(data: Dataset, part: Part, taught: bool = True, **network: Any) -> Told:
    """Return what a network says that is trained as `wide`, taught by the ensemble or by nobody."""
    settings = preset("best", "wide")
    settings = settings if taught else replace(settings, teacher="", teacher_weight=0.0)
    start = initial(additive(data, **network).fitted(data.train.X), part.seed)
    found = fit(start, replace(data, test=None), settings, seed=part.seed, console=QUIET).network
    return {"it": {"risk": found.predict(data.test.X, np.float32), "parameters": found.parameters, "size_bytes": None}}


OURS = {"summary": "measured", "hinges": True, "units": 16}
ABLATIONS: dict[str, Callable[[Dataset, Part], Told]] = {
    "all of it": partial(trained, **OURS),
    "summaries over all hours": partial(trained, **OURS | {"summary": "full"}),
    "no hinges": partial(trained, **OURS | {"hinges": False}),
    "no hidden units": partial(trained, **OURS | {"units": 0}),
    "neither": partial(trained, **OURS | {"hinges": False, "units": 0}),
    "no teacher": partial(trained, taught=False, **OURS),
    "neither, no teacher": partial(trained, taught=False, **OURS | {"hinges": False, "units": 0}),
}


# The plan, what of it is done, and the scores.


@dataclass(frozen=True)
class Study:
    """The stays of one table of variables, and where what is done is kept."""

    variables: str
    everything: folds.Whole
    folder: Path
    repeats: int

    @property
    def fold_of_stay(self) -> np.ndarray:
        """Return the fold of every stay in every repeat, (repeats, stays)."""
        stays = self.everything.stays
        return np.stack([folds.assign(stays.y, stays.subject_id, FOLDS, repeat) for repeat in range(self.repeats)])

    @property
    def parts(self) -> list[Part]:
        return [Part(self.variables, repeat, fold) for repeat in range(self.repeats) for fold in range(FOLDS)]

    def told(self, part: Part, name: str, key: str, work: Callable[[Dataset, Part], Told]) -> Told:
        """Return what a model says in a fold, computed where it is not kept."""
        digest = hashlib.sha256(f"{key} {__version__} {part}".encode()).hexdigest()[:12]
        path = self.folder / self.variables / f"{name}-{part.repeat}-{part.fold}-{digest}.npz".replace(" ", "_")
        if not path.exists():
            found = work(_cut(self, part.repeat, part.fold), part)
            facts = {form: {k: v for k, v in own.items() if k != "risk"} for form, own in found.items()}
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as partial_file, partial_file.open("wb") as file:
                np.savez(file, facts=json.dumps(facts), **{form: own["risk"] for form, own in found.items()})
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            return {form: own | {"risk": file[form]} for form, own in facts.items()}


_LAST: dict[str, Any] = {}


def _cut(study: Study, repeat: int, fold: int) -> Dataset:
    """Return the data set of a fold; the last one is kept."""
    place = (study.variables, repeat, fold)
    if _LAST.get("place") != place:
        _LAST.clear()
        _LAST.update(place=place, data=folds.cut(study.everything, study.fold_of_stay[repeat], fold, 0, False))
    return _LAST["data"]


def prepared(source: Path, variables: str, folder: Path) -> Dataset:
    """Return the data set of set A with a table of variables."""
    path = folder / f"{variables}.npz"
    if not path.exists():
        preprocess(Session(folder, console=QUIET), source, variables=variables, out=path)
    return datasets.load(path)


def plan(options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[Dataset, Part], Told]]]:
    """Yield name, what its result depends on, and what computes it."""
    if options.ablation:
        for name, work in ABLATIONS.items():
            yield name, f"{work.keywords} {preset('best', 'wide')}", work
        yield "joined", _depends("joined", "best"), partial(made, arch="joined", chosen="best")
        return
    for chosen in options.presets:
        for arch in options.models:
            yield f"{arch}, {chosen}", _depends(arch, chosen), partial(made, arch=arch, chosen=chosen)


@cache
def _depends(arch: str, chosen: str) -> str:
    own = archs.FLOOR if arch in REFERENCES else arch
    return f"{arch} {asdict(preset(chosen, own))} {archs.shaped(own, chosen)} {teacher.TREES}"


def computed(study: Study, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Return for each form what it said in every fold, in the order of `Study.parts`."""
    found: dict[str, list[dict[str, Any]]] = {}
    planned = list(plan(options))
    with Console().progress(study.variables, total=len(study.parts) * len(planned)) as bar:
        for part in study.parts:
            for name, key, work in planned:
                for form, own in study.told(part, name, key, work).items():
                    label = name if form == "it" else f"{form}, {name.rpartition(', ')[2]}"
                    found.setdefault(label, []).append(own)
                bar.advance(1, note=f"{name}, fold {part.fold + 1} of repeat {part.repeat + 1}")
    return found


def scored(study: Study, found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the scores of each form: AUROC and average precision a fold, calibration a repeat (pooled over folds)."""
    fold_of_stay, y = study.fold_of_stay, study.everything.stays.y
    result = {}
    for label, told in found.items():
        by_fold = [(y[fold_of_stay[p.repeat] == p.fold], own["risk"]) for p, own in zip(study.parts, told, strict=True)]
        pooled = [[np.concatenate(arrays) for arrays in zip(*by_fold[start : start + FOLDS], strict=True)]
                  for start in range(0, len(by_fold), FOLDS)]  # fmt: skip
        calibrations = np.array([scores.calibration(*both) for both in pooled])
        sizes = [own["size_bytes"] for own in told if own["size_bytes"]]
        parameters = [own["parameters"] for own in told if own["parameters"]]
        moved = [own["max_abs_dp"] for own in told if own.get("max_abs_dp") is not None]
        result[label] = {
            "auroc": [scores.auroc(*both) for both in by_fold],
            "auprc": [scores.average_precision(*both) for both in by_fold],
            "calibration_slope": float(calibrations[:, 0].mean()),
            "calibration_intercept": float(calibrations[:, 1].mean()),
            "ece": float(np.mean([scores.expected_calibration_error(*both) for both in pooled])),
            "brier": float(np.mean([scores.brier(*both) for both in pooled])),
            "parameters": int(np.median(parameters)) if parameters else None,
            "size_bytes": int(np.median(sizes)) if sizes else None,
            "max_abs_dp": max(moved, default=None),
        }
    return result


def difference(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return the mean of paired differences, its standard error, and the 95 % interval (Student, folds - 1)."""
    apart = np.asarray(one) - np.asarray(other)
    error = float(np.sqrt((1 / len(apart) + 1 / (FOLDS - 1)) * apart.var(ddof=1)))
    reach = float(stats.t.ppf(0.975, len(apart) - 1)) * error
    mean = float(apart.mean())
    wins = int((apart > 0).sum())
    return {"value": mean, "error": error, "low": mean - reach, "high": mean + reach, "wins": wins, "of": len(apart)}


def table(variables: str, found: dict[str, dict[str, Any]], against: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table; the differences are to the forms named in `against`."""
    heads = [f"less {other} [95 %]" for other in against]
    head = ["parameters", "bytes", "AUROC (sd)", "average precision", "slope", "intercept", "ECE", *heads]
    yield f"\n| {variables} | {' | '.join(head)} |"
    yield f"| --- | ---: | ---: | {'--- | ' * (len(head) - 2)}".rstrip()
    for label, own in found.items():
        auroc = np.array(own["auroc"])
        sizes = [f"{own[name]:,}" if own[name] else "–" for name in ("parameters", "size_bytes")]
        numbers = [f"{np.mean(own['auprc']):.3f}", f"{own['calibration_slope']:.2f}"]
        numbers += [f"{own['calibration_intercept']:+.2f}", f"{own['ece']:.3f}"]
        apart = ["–" if other == label else _told(difference(own["auroc"], found[other]["auroc"])) for other in against]
        cells = [*sizes, f"{auroc.mean():.4f} ({auroc.std(ddof=1):.3f})", *numbers, *apart]
        yield f"| {label} | {' | '.join(cells)} |"


def _told(apart: dict[str, float]) -> str:
    return f"{apart['value']:+.4f} [{apart['low']:+.4f}, {apart['high']:+.4f}], {apart['wins']} of {apart['of']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "physionet2012", help="set A with its outcomes")
    parser.add_argument("--folder", type=Path, default=Path("cross-validation"), help="keep here what is done")
    parser.add_argument("--variables", nargs="+", default=["extended", "paper76"])
    parser.add_argument("--presets", nargs="+", default=["best"], choices=archs.PRESETS)
    parser.add_argument("--models", nargs="+", default=[*REFERENCES, *NETWORKS], choices=[*REFERENCES, *NETWORKS])
    parser.add_argument("--against", nargs="*", help="forms to compare with (linear and trees of the first preset)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ablation", action="store_true", help="what each part of wide gives")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for variables in options.variables:
        everything = folds.whole(prepared(options.data, variables, options.folder))
        study = Study(variables, everything, options.folder, options.repeats)
        results[variables] = scored(study, computed(study, options))
    usual = ["all of it"] if options.ablation else [f"{name}, {options.presets[0]}" for name in REFERENCES]
    for variables, found in results.items():
        against = [name for name in options.against or usual if name in found]
        print("\n".join(table(variables, found, against)))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
