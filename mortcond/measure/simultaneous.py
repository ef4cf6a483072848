"""Verdicts on several comparisons at once, so that nobody can pick a winner by chance.

Comes in: differences of AUROC, and the same differences on common bootstrap resamples. Goes out: for each a lower and
an upper bound that hold for all of them together, and what they say about a margin.

With nine files whose true loss is just the margin, nine separate intervals call at least one of them "not inferior" in
a fifth of all studies. The bounds here are those of the largest standardised deviation over all comparisons in the same
resamples (single-step max-T: Westfall and Young 1993; Dudoit and van der Laan 2008, chapter 5): the chance that any
lower bound lies above the truth is LEVEL, whatever the comparisons have to do with each other. Forms of one network
have much to do with each other, so this costs far less than dividing the level by their number.

Where a form loses less by chance, it mostly also varies less: the standard error shrinks with the loss, and the chance
of a bound on the wrong side grows. So bounds lie as far away as the longer tail of the resamples does, whichever it is
(Hall 1988, doi:10.1214/aos/1176350933, on which tail is the right one). And where few trainings stand for all that
could have been, their spread is known badly: bounds then lie as many standard errors away as a t distribution asks for.
Its degrees of freedom are Satterthwaite's, for the largest spread over trainings that these do not rule out: the spread
that was found is the one to be doubted. What each of this changes: tests/benchmarks/false_yes.py.
"""

from dataclasses import dataclass

import numpy as np

LEVEL = 0.025  # one-sided, of all lower bounds together: what ICH E9 asks of a trial that is to show non-inferiority
SMALLEST_SPREAD = 0.02  # of the margin: a smaller standard error decides nothing, and its few values have long tails
RULED_OUT = 0.05  # the chance that the spread over trainings is even larger than the largest that is reckoned with
SMALLEST_SHARE, SMALLEST_VARIANCE = 1e-3, 1e-30
SHARE_DEFINED = 0.9  # bounds are given where at least this share of the resamples has a score
NOT_INFERIOR, INFERIOR = "not inferior", "inferior"


@dataclass(frozen=True)
class Bounds:
    """One-sided bounds of each comparison that hold for all of them together, each at 1 - LEVEL."""

    low: np.ndarray  # (comparisons,)
    high: np.ndarray  # (comparisons,)
    critical: np.ndarray  # (comparisons,): how many standard errors the bounds lie away from the differences


@dataclass(frozen=True)
class Trainings:
    """What is known of the spread over trainings, which is part of the differences' resamples."""

    degrees: int  # of freedom: how many trainings there are beyond one of each
    variance: np.ndarray  # (comparisons,): what it adds to the variance of each difference

    def degrees_of(self, whole: np.ndarray) -> np.ndarray:
        """Return the degrees of freedom of variances that trainings are a part of, (comparisons,)."""
        from scipy.stats import chi2

        largest = self.variance * self.degrees / chi2.ppf(RULED_OUT, self.degrees)
        share = largest / np.maximum(largest + np.maximum(whole - self.variance, 0.0), SMALLEST_VARIANCE)
        return self.degrees / np.maximum(share, SMALLEST_SHARE) ** 2


def bounds(
    values: np.ndarray,
    resampled: np.ndarray,
    margin: float,
    trainings: Trainings | None = None,
    level: float = LEVEL,
) -> Bounds | None:
    """Return simultaneous bounds; None where too few resamples have a score, or where there is no comparison.

    A comparison that is not defined has bounds of NaN, and no part in those of the others.

    Parameters
    ----------
    values
        (comparisons,): the differences of AUROC.
    resampled
        (comparisons, resamples): the same on common resamples; NaN where not defined.
    margin
        The loss of AUROC that would be accepted; it only says which standard errors are too small to matter.
    trainings
        Where the resamples draw trainings as well.
    """
    known = ~np.isnan(values)  # (comparisons,)
    defined = ~np.isnan(resampled[known]).any(axis=0)
    if not known.any() or defined.sum() < max(2, SHARE_DEFINED * resampled.shape[1]):
        return None
    resampled = np.where(known[:, None], resampled, np.nan)[:, defined]
    spread = np.maximum(resampled.std(axis=1, ddof=1), SMALLEST_SPREAD * margin)  # (comparisons,)
    deviation = (resampled - values[:, None])[known] / spread[known, None]  # (comparisons, resamples)
    farthest = max(np.quantile((sign * deviation).max(axis=0), 1 - level) for sign in (1, -1))
    critical = widened(farthest, trainings and trainings.degrees_of(spread**2), len(values))
    return Bounds(values - critical * spread, values + critical * spread, critical)


def widened(errors: float, degrees: np.ndarray | None, comparisons: int) -> np.ndarray:
    """Return the t quantiles that are as rare as a number of standard errors is by the normal distribution."""
    from scipy import stats

    if degrees is None:
        return np.full(comparisons, float(errors))
    return stats.t.isf(stats.norm.sf(errors), degrees)  # (comparisons,)


def decide(low: float, high: float, margin: float) -> bool | None:
    """Say whether a loss beyond the margin is ruled out (True), shown (False), or neither (None)."""
    if low > -margin:
        return True
    return False if high < -margin else None


def in_words(noninferior: bool | None, stays: int) -> str:
    """Return a verdict as a reader meets it."""
    told = {True: NOT_INFERIOR, False: INFERIOR}
    return told.get(noninferior, f"cannot tell with {stays:,} stays")


def told(comparisons: int, trainings: bool = False) -> str:
    """Say, for the methods of a report, what the verdicts of so many comparisons are."""
    few = ", wider by a t distribution as there are few trainings" if trainings else ""
    return (
        f"simultaneous over {comparisons} comparisons: one-sided {100 * (1 - LEVEL):g} % bounds from the largest "
        f"standardised deviation in the same resamples (max-T){few}"
    )
