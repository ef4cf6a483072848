"""Bootstrap intervals by patient, of several models on the same stays at once, so that they can be compared in pairs.

Comes in: outcomes, the risks of every model, and which patient each stay belongs to. Goes out: the scores of every
model on every resample, and percentile intervals of them. All models see the same resamples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mortcond import scores

RESAMPLES = 2000
FEWEST = 10  # deaths, and survivors, below which an interval of the AUROC says nothing that one could rely on
CELLS = 200_000  # of (resamples x stays) held at once: 1.6 MB an array, which stays in the cache
SHARE_DEFINED = 0.9  # an interval is given where at least this share of the resamples has a score


@dataclass(frozen=True)
class Resampled:
    """Scores of every model on every resample: each array (models, resamples), NaN where not defined."""

    auroc: np.ndarray
    auprc: np.ndarray
    brier: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray

    @property
    def undefined(self) -> int:
        """The number of resamples that hold one outcome only, so that no AUROC is defined."""
        return int(np.isnan(self.auroc[0]).sum()) if len(self.auroc) else 0


def resample_counts(subject_id: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each resample holds each stay: blocks of (resamples of the block, stays), int32.

    A resample draws as many patients as there are, with replacement; all stays of a drawn patient come with it.
    """
    patients, patient_of_stay = np.unique(subject_id, return_inverse=True)
    generator = np.random.default_rng(seed)
    block = max(1, CELLS // max(len(subject_id), 1))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(0, len(patients), (rows, len(patients)))
        drawn += np.arange(rows)[:, None] * len(patients)  # a range of its own for each resample: one bincount does
        counts = np.bincount(drawn.ravel(), minlength=rows * len(patients)).reshape(rows, len(patients))
        yield counts[:, patient_of_stay].astype(np.int32)


def bootstrap(
    died: np.ndarray, risks: np.ndarray, subject_id: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Return the scores of every model on every resample.

    Parameters
    ----------
    died
        (stays,), 0 or 1.
    risks
        (models, stays).
    subject_id
        (stays,): the patient of each stay.
    resamples
        How many; the interval's ends move by about 1 / sqrt(resamples).
    seed
        Of the draws. The same seed gives the same resamples for any number of models.
    """
    rankings = [scores.Ranking(died, risk) for risk in risks]
    blocks = [
        np.stack([_all_scores(ranking, counts) for ranking in rankings])  # (models, 5, resamples of the block)
        for counts in resample_counts(subject_id, resamples, seed)
    ]
    return Resampled(*np.moveaxis(np.concatenate(blocks, axis=2), 1, 0))


def _all_scores(ranking: scores.Ranking, counts: np.ndarray) -> np.ndarray:
    deaths, stays = ranking.deaths_and_stays(counts)
    squared_error = (ranking.risk - ranking.died) ** 2
    slope, intercept = scores.calibration_of(ranking.died, ranking.risk, counts)
    brier = counts @ squared_error / counts.sum(1)
    return np.stack(
        [scores.auroc_of(deaths, stays), scores.average_precision_of(deaths, stays), brier, slope, intercept]
    )


def interval(values: np.ndarray) -> list[float] | None:
    """Return the 95 % percentile interval over the resamples that have a score; None where too few have one."""
    defined = values[~np.isnan(values)]
    if len(defined) < SHARE_DEFINED * len(values) or len(defined) < 2:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return [float(low), float(high)]


def too_few(died: np.ndarray) -> str | None:
    """Say why intervals on these stays mean little; None where deaths and survivors are enough."""
    deaths, survivors = int(died.sum()), int(len(died) - died.sum())
    if deaths == 0 or survivors == 0:
        outcome = "none died" if deaths == 0 else "all died"
        return f"{len(died)} stays, {outcome}: the AUROC is not defined"
    if min(deaths, survivors) < FEWEST:
        return f"too few: {deaths} deaths and {survivors} survivors"
    return None
