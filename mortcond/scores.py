"""Scores of predicted risks: discrimination, calibration and net benefit. The one AUROC of every room.

Comes in: outcomes (0 or 1) and risks of the same stays, and, where a score is to be taken of many bootstrap resamples
at once, how often each resample holds each stay. Goes out: plain numbers; NaN where a score is not defined.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

ECE_BINS = 10
SMALLEST_RISK = 1e-7  # float32 risks can round to 0 or 1, whose logit is infinite
EXACT = (30, 1e-9)  # most steps of Newton's method, and the size of the last one
NEAR = (4, 0.02)  # for resamples; a last step below 0.02 leaves an error near its square
CONVERGED = 0.1  # a last step beyond it: the fit was still on its way
LARGEST_SLOPE = 100.0  # beyond it the outcomes are separated by the risk: the fit has no finite answer


@dataclass(frozen=True)
class Ranking:
    """Stays sorted by falling risk, ties kept together: done once, then used for every resample."""

    died: np.ndarray  # (stays,), in the order of the input
    risk: np.ndarray  # (stays,)

    @cached_property
    def order(self) -> np.ndarray:
        return np.argsort(-self.risk, kind="stable")

    @cached_property
    def group_starts(self) -> np.ndarray:
        """Where in the order each new risk begins: (distinct risks,)."""
        falling = self.risk[self.order]
        return np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])

    def deaths_and_stays(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return deaths and stays at each risk, each (resamples, distinct risks), from counts (resamples, stays)."""
        stays = counts[:, self.order].astype(np.float64)
        deaths = stays * self.died[self.order]
        if len(self.group_starts) == stays.shape[1]:
            return deaths, stays
        return np.add.reduceat(deaths, self.group_starts, axis=1), np.add.reduceat(stays, self.group_starts, axis=1)


def auroc_of(deaths: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each row of what `Ranking.deaths_and_stays` gives: (resamples,).

    A tie between a death and a survivor counts half (Mann-Whitney). NaN where all die or none does.
    """
    survivors = stays - deaths
    all_deaths, all_survivors = deaths.sum(1), survivors.sum(1)
    survivors_at_lower_risk = all_survivors[:, None] - np.cumsum(survivors, axis=1)
    pairs = np.einsum("rg,rg->r", deaths, survivors_at_lower_risk + 0.5 * survivors)
    return _ratio(pairs, all_deaths * all_survivors)


def average_precision_of(deaths: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Return the average precision of each row (scikit-learn's step sum, not the trapezoid): (resamples,).

    NaN where none dies.
    """
    precision = _ratio(np.cumsum(deaths, axis=1), np.cumsum(stays, axis=1), otherwise=0.0)
    return _ratio(np.einsum("rg,rg->r", deaths, precision), deaths.sum(1))


def auroc(died: np.ndarray, risk: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN where all die or none does, or where a risk is NaN: it has no rank."""
    if np.isnan(risk).any():
        return float("nan")
    return float(auroc_of(*Ranking(died, risk).deaths_and_stays(np.ones((1, len(risk)))))[0])


def defined(value: float) -> float | None:
    """Return a score as JSON can hold it: None where it is not defined."""
    return None if np.isnan(value) else float(value)


def average_precision(died: np.ndarray, risk: np.ndarray) -> float:
    """Return the average precision; NaN where none dies or a risk is. By chance it is the prevalence: read it so."""
    if np.isnan(risk).any():
        return float("nan")
    return float(average_precision_of(*Ranking(died, risk).deaths_and_stays(np.ones((1, len(risk)))))[0])


def brier(died: np.ndarray, risk: np.ndarray) -> float:
    """Return the mean squared difference of risk and outcome."""
    return float(np.mean((risk - died) ** 2))


def calibration_of(died: np.ndarray, risk: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return calibration slope and intercept of each resample, each (resamples,).

    Slope: b of `logit P(death) = a + b logit(risk)`; 1 is right, below 1 is too extreme. Intercept: a where b is held
    at 1 (calibration in the large); 0 is right, below 0 is too high on average. Van Calster et al. 2019.
    NaN where there is no finite answer (one outcome only, one risk only, outcomes separated by the risk).
    """
    logit = _logit(risk)
    centre, spread = logit.mean(), logit.std()
    x = (logit - centre) / spread if spread else np.zeros_like(logit)
    once = np.ones((1, len(risk)))
    a, b = _fit_slope(died, x, once, (0.0, 1.0), EXACT)
    level = _fit_intercept(died, logit, once, 0.0, EXACT)
    if len(counts) > 1:  # resamples lie near the whole: a step or two from its answer is enough, in single precision
        died, x, logit, counts = (array.astype(np.float32) for array in (died, x, logit, counts))
        a, b = _fit_slope(died, x, counts, (_or_zero(a[0]), _or_zero(b[0])), NEAR)
        level = _fit_intercept(died, logit, counts, _or_zero(level[0]), NEAR)
    return _finite(b / spread if spread else np.full(len(counts), np.nan), LARGEST_SLOPE), level


def calibration(died: np.ndarray, risk: np.ndarray) -> tuple[float, float]:
    """Return calibration slope and intercept; see `calibration_of`."""
    slope, intercept = calibration_of(died, risk, np.ones((1, len(risk))))
    return float(slope[0]), float(intercept[0])


def recalibration(died: np.ndarray, risk: np.ndarray) -> tuple[float, float]:
    """Return intercept a and slope b of `logit P(death) = a + b logit(risk)`, fitted together; NaN as above."""
    logit = _logit(risk)
    centre, spread = logit.mean(), logit.std()
    if not spread:
        return float("nan"), float("nan")
    a, b = _fit_slope(died, (logit - centre) / spread, np.ones((1, len(risk))), (0.0, 1.0), EXACT)
    slope = _finite(b / spread, LARGEST_SLOPE)[0]
    return float(a[0] - slope * centre), float(slope)


def recalibrated(risk: np.ndarray, intercept: float, slope: float) -> np.ndarray:
    """Return risks moved on the logit scale: sigmoid(intercept + slope logit(risk)), (stays,)."""
    return _sigmoid(intercept + slope * _logit(risk))


@dataclass(frozen=True)
class Bin:
    """One bin of a calibration curve."""

    stays: int
    deaths: int
    mean_risk: float

    @property
    def death_rate(self) -> float:
        return self.deaths / self.stays


def calibration_bins(died: np.ndarray, risk: np.ndarray, bins: int = ECE_BINS) -> list[Bin]:
    """Return the bins of a calibration curve, by rising risk, with equal numbers of stays (fewer where stays are few).

    Equal risks may fall in two neighbouring bins.
    """
    order = np.argsort(risk, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return [Bin(len(part), int(died[part].sum()), float(risk[part].mean())) for part in parts]


def expected_calibration_error(died: np.ndarray, risk: np.ndarray, bins: int = ECE_BINS) -> float:
    """Return the mean distance of mean risk and death rate over bins of equal numbers of stays."""
    found = calibration_bins(died, risk, bins)
    return sum(part.stays * abs(part.mean_risk - part.death_rate) for part in found) / len(died)


def net_benefit(died: np.ndarray, risk: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the net benefit of acting at each risk threshold (Vickers and Elkin 2006): (thresholds,).

    True positives per stay, less false positives per stay at the threshold's odds.
    """
    acted = risk[None, :] >= thresholds[:, None]  # (thresholds, stays)
    odds = thresholds / (1 - thresholds)
    return (acted & (died == 1)).mean(1) - (acted & (died == 0)).mean(1) * odds


def net_benefit_of_all(died: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the net benefit of acting on every stay: (thresholds,)."""
    return died.mean() - (1 - died.mean()) * thresholds / (1 - thresholds)


def at_threshold(died: np.ndarray, risk: np.ndarray, threshold: float) -> dict[str, float]:
    """Return what a decision at one threshold comes to; NaN where the denominator is empty."""
    acted, dead = risk >= threshold, died == 1
    right, wrong = int((acted & dead).sum()), int((acted & ~dead).sum())
    missed, spared = int((~acted & dead).sum()), int((~acted & ~dead).sum())
    parts = {"sensitivity": (right, missed), "specificity": (spared, wrong), "ppv": (right, wrong)}
    parts["npv"] = (spared, missed)
    return {name: a / (a + b) if a + b else float("nan") for name, (a, b) in parts.items()}


def _logit(risk: np.ndarray) -> np.ndarray:
    clipped = np.clip(risk.astype(np.float64), SMALLEST_RISK, 1 - SMALLEST_RISK)
    return np.log(clipped) - np.log1p(-clipped)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _ratio(top: np.ndarray, bottom: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), otherwise), where=bottom > 0)


def _fit_slope(
    died: np.ndarray, x: np.ndarray, counts: np.ndarray, start: tuple[float, float], effort: tuple[int, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a and b of each resample by Newton's method, all resamples at once: each (resamples,)."""
    basis = np.stack([np.ones_like(x), x, x * x], axis=1)  # (stays, 3)
    observed = counts @ (died[:, None] * basis[:, :2])
    a, b = (np.array([value], x.dtype) for value in start)  # one for all until the first step
    for _ in range(effort[0]):
        fitted = _sigmoid(a[:, None] + b[:, None] * x)  # (1 or resamples, stays)
        gradient_a, gradient_b = (observed - _sums(counts, fitted, basis[:, :2])).T
        aa, ab, bb = _sums(counts, fitted * (1 - fitted), basis).T
        determinant = aa * bb - ab * ab
        step_a = _ratio(bb * gradient_a - ab * gradient_b, determinant)
        step_b = _ratio(aa * gradient_b - ab * gradient_a, determinant)
        a, b = a + np.clip(step_a, -5, 5), b + np.clip(step_b, -5, 5)
        if not np.nanmax(np.abs(step_b), initial=0) > effort[1]:
            break
    there = np.abs(step_b) < CONVERGED  # else b runs away: the risk separates the outcomes
    return a, np.where(there & ~_one_outcome(died, counts), b, np.nan)


def _fit_intercept(
    died: np.ndarray, logit: np.ndarray, counts: np.ndarray, start: float, effort: tuple[int, float]
) -> np.ndarray:
    """Fit a of each resample with b held at 1: (resamples,)."""
    one = np.ones((len(logit), 1), logit.dtype)
    observed, a = counts @ died, np.array([start], logit.dtype)
    for _ in range(effort[0]):
        fitted = _sigmoid(a[:, None] + logit)
        step = _ratio(observed - _sums(counts, fitted, one)[:, 0], _sums(counts, fitted * (1 - fitted), one)[:, 0])
        a = a + np.clip(step, -5, 5)
        if not np.nanmax(np.abs(step), initial=0) > effort[1]:
            break
    return np.where(_one_outcome(died, counts), np.nan, a)


def _sums(counts: np.ndarray, values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return, for each resample, the sums over its stays of values times each column of the basis: (resamples, k).

    Values are (resamples, stays), or (1, stays) where all resamples share them: then one matrix product does.
    """
    return counts @ (values[0][:, None] * basis) if len(values) == 1 else (counts * values) @ basis


def _one_outcome(died: np.ndarray, counts: np.ndarray) -> np.ndarray:
    deaths = counts @ died
    return (deaths == 0) | (deaths == counts.sum(1))


def _or_zero(value: float) -> float:
    return float(value) if abs(value) < LARGEST_SLOPE else 0.0


def _finite(values: np.ndarray, largest: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < largest, values, np.nan)
