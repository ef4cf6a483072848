"""Cross-validated comparisons: what a form of a network loses, told by every stay of the data.

Comes in: outcomes, patients, the fold of every stay in every repeat, and the risk that each form gave each stay while
the stay was held out, once a seed. Goes out: AUROC and paired differences with bootstrap intervals and verdicts.

An AUROC is taken within a fold, where all risks come from the same network, and averaged over folds by their pairs of a
death and a survivor: that is the share of all such pairs within folds that are ranked rightly. A difference is taken of
two forms that learned from the same stays with the same seed.

The interval counts two sources of chance. Patients: resamples draw patients within each fold, all of a patient's stays
together, the same for every form. Training: where there are several seeds, each resample draws seeds within each fold,
stretched so that the variance of their mean comes out right (Rao and Wu 1988: with S seeds a plain draw would give only
(S - 1) / S of it). With one seed but several repeats it draws repeats in the place of seeds: a fold holds other stays
in each repeat, so that this counts a part of the patients twice and errs on the safe side. Bounds are widened for the
few trainings that there are (`simultaneous`). With one training of each nothing is known of another one. What it cannot
count is that another hospital's patients would have been learned from (Bengio and Grandvalet 2004): the spread over
folds is told beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond import scores
from mortcond.measure.comparison import MARGIN, Comparison, Pair, judge
from mortcond.measure.intervals import RESAMPLES
from mortcond.measure.simultaneous import Trainings

BLOCK_CELLS = 2_000_000  # of (resamples x stays) held at once


@dataclass(frozen=True)
class HeldOut:
    """What every form said of every stay while it was held out."""

    died: np.ndarray  # (stays,) 0 or 1
    subject_id: np.ndarray  # (stays,)
    fold: np.ndarray  # (repeats, stays): the fold that a stay was held out in
    risks: np.ndarray  # (forms, repeats, seeds, stays)
    names: tuple[str, ...]  # of the forms

    @property
    def folds(self) -> int:
        return int(self.fold.max()) + 1


@dataclass(frozen=True)
class Resampled:
    """AUROC of every form: on the stays as they are, and on every resample."""

    auroc: np.ndarray  # (forms,)
    resampled: np.ndarray  # (forms, resamples); NaN where a fold has one outcome only
    by_training: np.ndarray  # (forms, repeats, folds, seeds)
    share: np.ndarray  # (repeats, folds): of all pairs of a death and a survivor

    @property
    def by_fold(self) -> np.ndarray:
        """(forms, repeats, folds), mean over the seeds."""
        return self.by_training.mean(3)

    @property
    def by_seed(self) -> np.ndarray:
        """(forms, seeds), mean over folds and repeats."""
        return np.einsum("mrks,rk->ms", self.by_training, self.share)

    @property
    def degrees(self) -> int | None:
        """The degrees of freedom of the spread over trainings; None where there is one of each."""
        _, repeats, folds, seeds = self.by_training.shape
        found = repeats * folds * (seeds - 1) if seeds > 1 else folds * (repeats - 1)
        return found or None


def resample(held: HeldOut, resamples: int = RESAMPLES, seed: int = 0) -> Resampled:
    """Return the cross-validated AUROC of every form on common resamples of patients and seeds."""
    generator = np.random.default_rng(seed)
    counts = _draw_patients(held, resamples, generator)  # (resamples, stays)
    forms, repeats, seeds, _ = held.risks.shape
    weights = _draw_runs(repeats, held.folds, seeds, resamples, generator)  # (resamples, repeats, folds, seeds)
    plain, ranked = np.zeros((forms, repeats, held.folds, seeds)), np.zeros((forms, resamples))
    pairs, pairs_resampled = np.zeros((repeats, held.folds)), np.zeros(resamples)
    for repeat in range(repeats):
        for fold in range(held.folds):
            rows = held.fold[repeat] == fold
            died, drawn = held.died[rows], counts[:, rows]
            deaths, stays = drawn @ died.astype(np.int64), drawn.sum(1)
            own = deaths * (stays - deaths)  # (resamples,): pairs of a death and a survivor
            pairs[repeat, fold] = died.sum() * (len(died) - died.sum())
            pairs_resampled += own
            for form in range(forms):
                aurocs = [_aurocs(died, held.risks[form, repeat, s, rows], drawn) for s in range(seeds)]
                plain[form, repeat, fold] = [one for one, _ in aurocs]
                mean = sum(weights[:, repeat, fold, s] * many for s, (_, many) in enumerate(aurocs))
                ranked[form] += own * mean
    share = pairs / pairs.sum()  # (repeats, folds)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = ranked / pairs_resampled
    return Resampled(np.einsum("mrks,rk->m", plain, share) / seeds, resampled, plain, share)


def _draw_patients(held: HeldOut, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Return how often each resample holds each stay, (resamples, stays) int32: patients drawn within each fold.

    The folds are those of the first repeat; in the others a resample's folds vary a little in size.
    """
    counts = np.zeros((resamples, len(held.died)), np.int32)
    for fold in range(held.folds):
        rows = np.flatnonzero(held.fold[0] == fold)
        patients, patient_of_stay = np.unique(held.subject_id[rows], return_inverse=True)
        block = max(1, BLOCK_CELLS // len(rows))
        for start in range(0, resamples, block):
            number = min(block, resamples - start)
            drawn = generator.integers(0, len(patients), (number, len(patients)))
            drawn += np.arange(number)[:, None] * len(patients)
            often = np.bincount(drawn.ravel(), minlength=number * len(patients)).reshape(number, -1)
            counts[start : start + number, rows] = often[:, patient_of_stay]
    return counts


def _draw_runs(repeats: int, folds: int, seeds: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Return the weight of every training in every resample, (resamples, repeats, folds, seeds); 1 in sum over seeds.

    Seeds are drawn within each fold, each training being another one. With one seed, repeats are drawn in their place:
    the weights of a fold are then `repeats` in sum over repeats.
    """
    if seeds > 1:
        return _stretched(generator, seeds, (resamples, repeats, folds))
    if repeats > 1:
        return repeats * np.swapaxes(_stretched(generator, repeats, (resamples, folds)), 1, 2)[..., None]
    return np.ones((resamples, 1, folds, 1))


def _stretched(generator: np.random.Generator, number: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return weights of `number` runs, (*shape, number), of a draw with replacement, stretched about their mean."""
    drawn = generator.multinomial(number, np.full(number, 1 / number), size=shape) / number
    return 1 / number + np.sqrt(number / (number - 1)) * (drawn - 1 / number)


def _aurocs(died: np.ndarray, risk: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUROC of the stays as they are, and of every resample with 0.5 where it holds one outcome only.

    Such a resample has no pair in this fold, so that what stands there counts for nothing.
    """
    if np.isnan(risk).any():
        return float("nan"), np.full(len(counts), np.nan)
    ranking = scores.Ranking(died, risk)
    block = max(1, BLOCK_CELLS // len(died))
    parts = [
        scores.auroc_of(*ranking.deaths_and_stays(counts[start : start + block]))
        for start in range(0, len(counts), block)
    ]
    once = np.ones((1, len(died)), np.int32)
    return float(scores.auroc_of(*ranking.deaths_and_stays(once))[0]), np.nan_to_num(np.concatenate(parts), nan=0.5)


def compare(held: HeldOut, found: Resampled, pairs: Sequence[Pair], margin: float = MARGIN) -> list[Comparison]:
    """Return the difference of each pair of forms over all stays, with verdicts that hold for all pairs together."""
    if not pairs:
        return []
    model, reference = (np.array([getattr(pair, name) for pair in pairs]) for name in ("model", "reference"))
    values = found.auroc[model] - found.auroc[reference]
    differences = found.resampled[model] - found.resampled[reference]
    trainings = found.degrees and Trainings(found.degrees, _variance_of_trainings(found, model, reference))
    return judge(held.died, values, differences, pairs, margin, trainings=trainings)


def _variance_of_trainings(found: Resampled, model: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return what the spread over trainings adds to the variance of each difference, (pairs,)."""
    differences = found.by_training[model] - found.by_training[reference]  # (pairs, repeats, folds, seeds)
    _, repeats, _, seeds = differences.shape
    if seeds > 1:
        return np.einsum("prk,rk->p", differences.var(3, ddof=1) / seeds, found.share**2)
    weighted = repeats * differences[..., 0] * found.share  # (pairs, repeats, folds)
    return weighted.var(1, ddof=1).sum(1) / repeats


def pooled(held: HeldOut, form: int) -> dict[str, Any]:
    """Return the scores of a form's risks as probabilities over all stays: means over repeats and seeds.

    Every stay's risk is one that it got while it was held out.
    """
    runs = held.risks[form].reshape(-1, len(held.died))  # (repeats x seeds, stays)
    calibrated = np.array([scores.calibration(held.died, risk) for risk in runs])
    precision = [scores.average_precision(held.died, risk) for risk in runs]
    return {
        "auprc": float(np.mean(precision)),
        "brier": float(np.mean([scores.brier(held.died, risk) for risk in runs])),
        "mean_risk": float(runs.mean()),
        "calibration_slope": float(calibrated[:, 0].mean()),
        "calibration_intercept": float(calibrated[:, 1].mean()),
    }
