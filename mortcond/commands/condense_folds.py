"""condense --folds: the search itself cross-validated, so that the loss that is told includes the choosing.

Comes in: the baseline, its data, limits and recipes. Goes out: for every stay the risk by the file that was chosen
without its patient, against that of the baseline that was trained without its patient; the verdict of all stays.

In each fold the baseline is trained again on the training part, the whole search runs there with the fold's own
validation stays, and only the chosen file predicts the held-out stays. Where nothing qualifies in a fold there is
nothing to judge: its stays have no part, as a difference of 0 there would speak for files that nobody tried.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond.commands.chain import Chain, HowToTrain
from mortcond.commands.children import Parent
from mortcond.condense import search
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.dataset import Dataset, Split
from mortcond.dataset import folds as folding
from mortcond.deploy.directory import TFLITE, tflite_bytes
from mortcond.deploy.runtime import Predictor
from mortcond.measure import crossval
from mortcond.measure.comparison import Pair
from mortcond.measure.crossval import HeldOut
from mortcond.measure.records import plain

Record = dict[str, Any]
CHOSEN, BASELINE = "chosen", "baseline"


@dataclass(frozen=True)
class Fold:
    """What one fold gave."""

    chosen: str | None  # the name of the file; None: nothing qualified
    size_bytes: int | None
    risks: np.ndarray | None  # (2, held-out stays): by the chosen file, by the baseline


def over_folds(
    session: Session,
    parent: Parent,
    folds: int,
    folder: Path,
    margin: float,
    hunt: Callable[[Session, Parent, Path], Sequence],
) -> Record:
    """Return the verdict of all stays on what the search chooses.

    Parameters
    ----------
    parent
        The baseline as it was trained on the training split; its kind and settings are those of every fold.
    folds
        Parts of the patients.
    folder
        Takes the search of each fold: an interrupted one goes on from there.
    margin
        The loss of AUROC that would be accepted.
    hunt
        Searches with a session, a baseline and a folder; returns the records of the files that were compared.
    """
    everything = folding.whole(datasets.load(parent.dataset))
    stays = everything.stays
    number = folding.assign(stays.y, stays.subject_id, folds, session.seed)
    risks, found = np.full((2, 1, 1, len(stays.y)), np.nan), []
    with session.console.chain("Folds", folds) as (console, bar):
        for fold in range(folds):
            bar.advance(0, note=f"fold {fold + 1}")
            data = folding.cut(everything, number, fold, session.seed)
            own = replace(session, console=console)
            one = _one(own, parent, data, folder / f"fold-{fold + 1}-of-{folds}", hunt)
            if one.risks is not None:
                risks[:, 0, 0, number == fold] = one.risks
            found.append(one)
            bar.advance(1, note=one.chosen or "none is good enough")
    told = {"folds": folds, "chosen": [one.chosen for one in found], "bytes": [one.size_bytes for one in found]}
    judged = [fold for fold, one in enumerate(found) if one.chosen]
    return plain(told | _verdict(stays, number, risks, judged, margin, session.seed))


def _verdict(stays: Split, number: np.ndarray, risks: np.ndarray, folds: list[int], margin: float, seed: int) -> Record:
    """Return what the stays of some folds say of the files that were chosen there; `number`: the fold of each stay."""
    rows = np.isin(number, folds)
    told = {"stays": int(rows.sum()), "deaths": int(stays.y[rows].sum())}
    if not folds:
        unknown = {"value": None, "ci95": None, "low": None, "stays_needed": None}
        return told | {"difference": unknown, "noninferior": None, "verdict": "cannot tell: no fold chose a file"}
    fold = np.searchsorted(folds, number[rows])
    held = HeldOut(stays.y[rows], stays.subject_id[rows], fold[None], risks[..., rows], (CHOSEN, BASELINE))
    compared = crossval.compare(held, crossval.resample(held, seed=seed), [Pair(0, 1, BASELINE)], margin)[0]
    return told | {"difference": compared, "noninferior": compared.noninferior, "verdict": compared.verdict}


def _one(session: Session, parent: Parent, data: Dataset, folder: Path, hunt: Callable) -> Fold:
    with scratch_folder() as scratch:
        baseline = _trained_again(session, parent, replace(data, test=None), scratch)
        tried = hunt(session, baseline, folder)
        best = search.chosen(tried)
        if best is None:
            return Fold(None, None, None)
        files = [Path(best["path"]), baseline.path]
        risks = np.stack([Predictor(file, trust_changed=True).predict(data.test.X) for file in files])
    return Fold(best["name"], best["bytes"], risks)


def _trained_again(session: Session, parent: Parent, data: Dataset, scratch: Path) -> Parent:
    """Return the baseline as it comes out of a fold's training part, with the file and the hashes of a real one."""
    how = HowToTrain(calibrate="calibration" in parent.manifest.extra, backend=session.backend)
    chain = Chain(data, how, session.seed, scratch, session.console)
    made = chain.like(parent)
    recorded = [parent.manifest.sha256, data.train.stay_id.tolist(), session.seed]
    digest = hashlib.sha256(json.dumps(recorded).encode()).hexdigest()
    inputs = {"dataset": {"path": str(parent.dataset), "sha256": digest}}
    manifest = replace(parent.manifest, inputs=inputs, sha256=digest)
    made.path.mkdir(parents=True, exist_ok=True)
    (made.path / TFLITE).write_bytes(tflite_bytes(made.network, manifest, parent.metadata))
    return replace(made, manifest=manifest, dataset=parent.dataset, metadata=parent.metadata)
