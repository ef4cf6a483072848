"""Recalibration: the risks of a network brought to the level of another hospital, and what that changes there.

Comes in: outcomes, patients and risks of a hospital's own stays. Goes out: how to move the risks on the logit scale,
and their scores before and after; after: each stay moved by a fit to the other patients, so that nothing is fitted and
measured on the same stay.

The levels are those of Van Calster et al. (2016, doi:10.1016/j.jclinepi.2015.12.005): a new intercept makes the mean
risk right (calibration in the large); intercept and slope make risks neither too extreme nor too moderate (weak
calibration). They need some 10 and some 100 deaths and survivors (Steyerberg et al. 2004, doi:10.1002/sim.1844;
Vergouwe et al. 2005, doi:10.1016/j.jclinepi.2004.06.017). What is fitted keeps the order of the risks, and so the
AUROC.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mortcond import scores
from mortcond.core.errors import InputError, LimitError
from mortcond.measure.intervals import RESAMPLES, bootstrap, interval

INTERCEPT, SLOPE = "intercept", "slope"
LEVELS = (INTERCEPT, SLOPE)  # slope: intercept and slope
FEWEST = {INTERCEPT: 10, SLOPE: 100}  # deaths, and survivors
FOLDS = 10


@dataclass(frozen=True)
class Fit:
    """new risk = sigmoid(intercept + slope logit(risk))."""

    level: str
    intercept: float
    slope: float  # 1 where only the intercept was fitted


def level_for(died: np.ndarray) -> str:
    """Return the level that so many deaths and survivors allow.

    Raises LimitError where they allow none.
    """
    fewest = int(min(died.sum(), len(died) - died.sum()))
    if fewest < FEWEST[INTERCEPT]:
        raise LimitError(
            f"{len(died):,} stays with {int(died.sum()):,} deaths are too few to recalibrate on.",
            f"At least {FEWEST[INTERCEPT]} deaths and survivors are needed.",
        )
    return SLOPE if fewest >= FEWEST[SLOPE] else INTERCEPT


def fit(died: np.ndarray, risk: np.ndarray, level: str) -> Fit:
    """Fit a level by maximum likelihood.

    Raises InputError where there is no finite answer, or where risks do not rise with mortality.
    """
    if level == INTERCEPT:
        intercept, slope = scores.calibration(died, risk)[1], 1.0
    else:
        intercept, slope = scores.recalibration(died, risk)
    if not (np.isfinite(intercept) and np.isfinite(slope)):
        raise InputError("These risks and outcomes have no finite recalibration.", "Use more stays, of both outcomes.")
    if slope <= 0:
        raise InputError("On these stays risks do not rise with mortality.", "This network is of no use here.")
    return Fit(level, float(intercept), float(slope))


def cross_fitted(died: np.ndarray, risk: np.ndarray, subject_id: np.ndarray, level: str, seed: int) -> np.ndarray:
    """Return for each stay the risk that a fit to the other patients gives it, (stays,)."""
    from mortcond.dataset.folds import assign

    moved = np.empty(len(risk))
    folds = min(FOLDS, int(min(died.sum(), len(died) - died.sum())) // 2)
    number = assign(died, subject_id, max(2, folds), seed)
    for fold in range(number.max() + 1):
        held = number == fold
        found = fit(died[~held], risk[~held], level)
        moved[held] = scores.recalibrated(risk[held], found.intercept, found.slope)
    return moved


def figures(
    died: np.ndarray, before: np.ndarray, after: np.ndarray, subject_id: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """Return scores of the risks before and after, with 95 % intervals by patient, and the difference of Brier scores.

    Each of `before` and `after`: mean_risk, death_rate, auroc, intercept, slope, brier, ece; with NAME_ci95.
    """
    resampled = bootstrap(died, np.stack([before, after]), subject_id, RESAMPLES, seed)
    found: dict[str, Any] = {}
    for place, (name, risk) in enumerate((("before", before), ("after", after))):
        slope, intercept = scores.calibration(died, risk)
        own = {"mean_risk": float(risk.mean()), "death_rate": float(died.mean())}
        own |= {"auroc": scores.auroc(died, risk), "auroc_ci95": interval(resampled.auroc[place])}
        own |= {"intercept": intercept, "intercept_ci95": interval(resampled.intercept[place])}
        own |= {"slope": slope, "slope_ci95": interval(resampled.slope[place])}
        own |= {"brier": scores.brier(died, risk), "brier_ci95": interval(resampled.brier[place])}
        found[name] = own | {"ece": scores.expected_calibration_error(died, risk)}
    better = resampled.brier[1] - resampled.brier[0]
    found["brier_difference"] = {"value": found["after"]["brier"] - found["before"]["brier"], "ci95": interval(better)}
    return found
