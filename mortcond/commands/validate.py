"""validate: the whole chain cross-validated by patient, so that every stay tells what condensation costs.

Comes in: a data set. Goes out: the folder validate/ with results.json, results.csv, the plot of the verdicts, and for
each training the risks of the stays it never saw, from which an interrupted validation goes on.

Folds x repeats x seeds trainings of every family of forms; in each everything that is learnt from stays is learnt from
the training part of the fold: scaling, normal values, teacher, early stopping, calibration, the epoch that counts.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import __version__
from mortcond import dataset as datasets
from mortcond.commands import chain
from mortcond.commands.chain import LINEAR, TREES, Form, HowToTrain, Outcome
from mortcond.core.artifacts import atomic_file, sha256
from mortcond.core.calls import takes
from mortcond.core.errors import InputError, Interrupted
from mortcond.core.options import plain
from mortcond.core.session import Session
from mortcond.core.workspace import dataset_path
from mortcond.dataset import folds as folding
from mortcond.measure import crossval, machine, validation
from mortcond.options.validate import Validate
from mortcond.training.backends import chosen

MODES = ("float32", "int8")


@dataclass(frozen=True)
class Plan:
    """How often everything is trained."""

    folds: int
    repeats: int
    seeds: int
    seed: int

    def fold_of_stay(self, stays: Any) -> np.ndarray:
        """Return the fold of every stay in every repeat, (repeats, stays)."""
        return np.stack(
            [folding.assign(stays.y, stays.subject_id, self.folds, self.seed + r) for r in range(self.repeats)]
        )


@dataclass(frozen=True)
class Job:
    """One training of one family of forms: what a worker needs to know."""

    dataset: Path
    plan: Plan
    fold_of_stay: np.ndarray  # (stays,) in this repeat
    repeat: int
    fold: int
    seed: int  # which of the plan's seeds
    forms: tuple[Form, ...]  # of one architecture
    how: HowToTrain
    path: Path  # where its risks go

    @property
    def own_seed(self) -> int:
        """The seed of this training: another one in every fold, so that trainings are independent of each other."""
        place = [self.plan.seed, self.repeat, self.fold, self.seed]
        return int(np.random.SeedSequence(place).generate_state(1)[0] % 2**31)


@takes(Validate)
def validate(session: Session, options: Validate) -> dict[str, Any]:
    """Cross-validate the chain.

    Returns
    -------
    What results.json holds, and `path`, the folder.

    Raises
    ------
    InputError
        The data set has too few stays of either outcome.
    Interrupted
        Ctrl-C was pressed; what is done is kept.
    """
    how = HowToTrain(plain(options.preset), options.epochs, options.calibrate, chosen(options.backend))
    plan = Plan(options.folds, options.repeats, options.seeds, session.seed)
    wanted = chain.with_parents([*map(chain.read, options.forms or default_forms()), Form(LINEAR), Form(TREES)])
    source, target = dataset_path(session, options.dataset), options.out or session.workspace / validation.FOLDER
    stays = _whole(source).stays
    fold_of_stay = plan.fold_of_stay(stays)
    planned = list(_jobs(source, target, plan, fold_of_stay, wanted, how))
    _train(session, planned, options.jobs, plain(options.jobs_by))
    outcomes = _gather(planned, wanted, plan, fold_of_stay)
    margin, resamples = options.margin, options.resamples
    result = _result(session, source, target, wanted, plan, how, stays, fold_of_stay, outcomes, margin, resamples)
    validation.write(target, result)
    return result


def default_forms() -> list[str]:
    """Return the paper's chain, each network in 32 and 8 bits."""
    return [Form(form.arch, form.pruned, form.converted, mode).name for form in map(chain.read, chain.PAPERS)
            for mode in MODES]  # fmt: skip


@lru_cache(maxsize=1)
def _whole(source: Path) -> folding.Whole:
    """Return all stays of a data set; a process reads them once."""
    return folding.whole(datasets.load(source))


def _jobs(
    source: Path, target: Path, plan: Plan, fold_of_stay: np.ndarray, wanted: Sequence[Form], how: HowToTrain
) -> Iterator[Job]:
    """Yield a job for every repeat, seed, fold and architecture, in the order of folds."""
    families = {form.arch: tuple(other for other in wanted if other.arch == form.arch) for form in wanted}
    digest = sha256(source)
    keys = {arch: _key(digest, plan, how, arch) for arch in families}
    for repeat in range(plan.repeats):
        for seed in range(plan.seeds):
            for fold in range(plan.folds):
                for arch, forms in families.items():
                    name = f"{arch}-repeat{repeat + 1}-fold{fold + 1}-seed{seed + 1}-{keys[arch]}.npz"
                    path = target / "trainings" / name
                    yield Job(source, plan, fold_of_stay[repeat], repeat, fold, seed, forms, how, path)


def _key(digest: str, plan: Plan, how: HowToTrain, arch: str) -> str:
    """Return what the outcome of a training depends on beside its place in the plan, as a short hash."""
    facts = [digest, plan.folds, plan.seed, asdict(how), chain.described(arch, how), __version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _train(session: Session, planned: Sequence[Job], jobs: int, jobs_by: str) -> None:
    """Run what is not there yet, side by side; each training is kept as soon as it is done."""
    from joblib import Parallel, delayed, parallel_config

    missing = [job for job in planned if not _is_done(job)]
    if len(missing) < len(planned):
        session.console.note(f"{len(planned) - len(missing)} of {len(planned)} trainings are there already.")
    with session.console.progress("Validating", total=len(planned)) as bar, parallel_config(backend=jobs_by):
        bar.update(len(planned) - len(missing))
        try:
            for name in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_work)(j) for j in missing):
                bar.advance(1, note=name)
        except KeyboardInterrupt:
            done = sum(map(_is_done, planned))
            problem = f"Interrupted: {done} of {len(planned)} trainings are done, and kept."
            raise Interrupted(problem, "Run the same command again to go on.") from None


def _is_done(job: Job) -> bool:
    """Say whether a training is there with all its forms; one that cannot be read is not."""
    if not job.path.is_file():
        return False
    try:
        return {form.name for form in job.forms} <= set(_read(job.path)[1])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


def _work(job: Job) -> str:
    """Train one family in one fold and keep its outcomes; return the name of what was done."""
    data = folding.cut(_whole(job.dataset), job.fold_of_stay, job.fold, job.plan.seed)
    _write(job.path, chain.run(data, job.forms, job.how, job.own_seed))
    return job.path.stem.rsplit("-", 1)[0]


def _write(path: Path, outcomes: dict[str, Outcome]) -> None:
    facts = {name: {k: v for k, v in vars(one).items() if k != "risk"} for name, one in outcomes.items()}
    arrays = {f"risk:{name}": one.risk for name, one in outcomes.items()}
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Return the risks and the other facts of a training, by form."""
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        return {name: file[f"risk:{name}"] for name in facts}, facts


@dataclass(frozen=True)
class Gathered:
    """All trainings together."""

    risks: np.ndarray  # (forms, repeats, seeds, stays)
    facts: dict[str, list[dict[str, Any]]]  # by form: those of each training


def _gather(planned: Sequence[Job], wanted: Sequence[Form], plan: Plan, fold_of_stay: np.ndarray) -> Gathered:
    names = [form.name for form in wanted]
    risks = np.full((len(names), plan.repeats, plan.seeds, fold_of_stay.shape[1]), np.nan)
    facts: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for job in planned:
        own, told = _read(job.path)
        rows = fold_of_stay[job.repeat] == job.fold
        for form in job.forms:
            if len(own[form.name]) != rows.sum():
                raise InputError(f"{job.path} is of other stays.", "Delete it, and run the same command again.")
            risks[names.index(form.name), job.repeat, job.seed, rows] = own[form.name]
            facts[form.name].append(told[form.name])
    return Gathered(risks, facts)


def _result(
    session: Session,
    source: Path,
    target: Path,
    wanted: Sequence[Form],
    plan: Plan,
    how: HowToTrain,
    stays: Any,
    fold_of_stay: np.ndarray,
    gathered: Gathered,
    margin: float,
    resamples: int,
) -> dict[str, Any]:
    names = tuple(form.name for form in wanted)
    held = crossval.HeldOut(stays.y, stays.subject_id, fold_of_stay, gathered.risks, names)
    members = [
        validation.Member(
            name=form.name,
            arch=form.arch,
            quantization=form.mode,
            parent=form.parent and form.parent.name,
            baseline=form.baseline and form.baseline.name,
            facts=gathered.facts[form.name],
        )
        for form in wanted
    ]
    with session.console.progress("Comparing", total=None):
        judged = validation.judged(held, members, margin, resamples, session.seed, f"preset {how.preset}")
    facts = {"path": str(target), "measured_at": datetime.now(UTC).isoformat(timespec="seconds")}
    facts["dataset"] = {
        "path": str(source),
        "sha256": sha256(source),
        "n": len(stays.y),
        "events": int(stays.y.sum()),
        "patients": len(np.unique(stays.subject_id)),
        "source": _whole(source).data.meta.get("source"),
    }
    facts["settings"] = asdict(plan) | asdict(how) | {"margin": margin, "resamples": resamples}
    facts["machine"] = machine.describe()
    return facts | judged


def render(result: dict[str, Any]) -> Iterator[Any]:
    """Show the answer, the table of all forms, and what a reader must know of it."""
    yield validation.FormTable(result)
    yield ""
    yield result["answer"]["sentence"]
    yield from result["cautions"]
    yield f"All of it: {Path(result['path']) / 'results.json'}"
