"""Verdicts on several comparisons at once, so that nobody can pick a winner by chance.

Comes in: differences of AUROC, and the same differences on common bootstrap resamples. Goes out: for each a lower and
an upper bound that hold for all of them together, and what they say about a margin.

With nine files whose true loss is just the margin, nine separate intervals call at least one of them "not inferior" in
a fifth of all studies. The bounds here are those of the largest standardised deviation over all comparisons in the same
resamples (single-step max-T: Westfall and Young 1993; Dudoit and van der Laan 2008, chapter 5): the chance that any
lower bound lies above the truth is LEVEL, whatever the comparisons have to do with each other. Forms of one network
have much to do with each other, so this costs far less than dividing the level by their number.
"""

from dataclasses import dataclass

import numpy as np

LEVEL = 0.025  # one-sided, of all lower bounds together: what ICH E9 asks of a trial that is to show non-inferiority
SMALLEST_SPREAD = 0.02  # of the margin: a smaller standard error decides nothing, and its few values have long tails
SHARE_DEFINED = 0.9  # bounds are given where at least this share of the resamples has a score
NOT_INFERIOR, INFERIOR = "not inferior", "inferior"


@dataclass(frozen=True)
class Bounds:
    """One-sided bounds of each comparison that hold for all of them together, each at 1 - LEVEL."""

    low: np.ndarray  # (comparisons,)
    high: np.ndarray  # (comparisons,)
    critical: float  # how many standard errors the lower bounds lie below the differences


def bounds(values: np.ndarray, resampled: np.ndarray, margin: float, level: float = LEVEL) -> Bounds | None:
    """Return simultaneous bounds; None where too few resamples have a score, or where there is no comparison.

    Parameters
    ----------
    values
        (comparisons,): the differences of AUROC.
    resampled
        (comparisons, resamples): the same on common resamples; NaN where not defined.
    margin
        The loss of AUROC that would be accepted; it only says which standard errors are too small to matter.
    """
    defined = ~np.isnan(resampled).any(axis=0)
    if not len(values) or np.isnan(values).any() or defined.sum() < max(2, SHARE_DEFINED * resampled.shape[1]):
        return None
    resampled = resampled[:, defined]
    spread = np.maximum(resampled.std(axis=1, ddof=1), SMALLEST_SPREAD * margin)  # (comparisons,)
    deviation = (resampled - values[:, None]) / spread[:, None]  # (comparisons, resamples)
    above = float(np.quantile(deviation.max(axis=0), 1 - level))
    below = float(np.quantile((-deviation).max(axis=0), 1 - level))
    return Bounds(values - above * spread, values + below * spread, above)


def decide(low: float, high: float, margin: float) -> bool | None:
    """Say whether a loss beyond the margin is ruled out (True), shown (False), or neither (None)."""
    if low > -margin:
        return True
    return False if high < -margin else None


def in_words(noninferior: bool | None, stays: int) -> str:
    """Return a verdict as a reader meets it."""
    told = {True: NOT_INFERIOR, False: INFERIOR}
    return told.get(noninferior, f"cannot tell with {stays:,} stays")


def told(comparisons: int) -> str:
    """Say, for the methods of a report, what the verdicts of so many comparisons are."""
    return (
        f"simultaneous over {comparisons} comparisons: one-sided {100 * (1 - LEVEL):g} % bounds from the largest "
        "standardised deviation in the same resamples (max-T)"
    )
