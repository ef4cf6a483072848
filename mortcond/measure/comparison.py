"""The claim "without compromising accuracy" as a test: the paired differences of models to their references.

Comes in: the risks of both on the same stays, and their AUROC on the same bootstrap resamples. Goes out: differences,
intervals, verdicts against a margin that hold together, how many stays a verdict would need, and whose risk changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mortcond import scores
from mortcond.measure import simultaneous
from mortcond.measure.intervals import interval, too_few
from mortcond.measure.simultaneous import Trainings

MARGIN = 0.01  # of AUROC: about the standard error of the AUROC itself on the public benchmark's test set
Z_TWO_SIDED = 1.959964  # 95 % interval
Z_POWER = 0.841621  # 80 % power

MOST_STAYS = 10**7  # more than all intensive-care stays on record anywhere


@dataclass(frozen=True)
class DeLong:
    """DeLong's paired difference, a check on the bootstrap: it takes stays as independent."""

    value: float
    standard_error: float
    ci95: list[float]


@dataclass(frozen=True)
class Comparison:
    """A model against a reference on the same stays."""

    vs: str  # the reference's label
    value: float | None  # AUROC of the model less that of the reference
    ci95: list[float] | None  # of this comparison alone
    low: float | None  # lower bound, simultaneous with those of the other comparisons: it gives the verdict
    margin: float
    noninferior: bool | None
    verdict: str
    stays_needed: int | None  # that would decide it; None where it is decided or unknown, or no number would do
    training_share: float | None  # of the variance, what comes of trainings; None: it is not counted
    delong: DeLong | None


@dataclass(frozen=True)
class Pair:
    """One comparison to be made: places in the arrays of risks."""

    model: int
    reference: int
    vs: str  # the reference's label


def compare(
    died: np.ndarray, risks: np.ndarray, resampled: np.ndarray, pairs: Sequence[Pair], margin: float = MARGIN
) -> list[Comparison]:
    """Return the paired difference of AUROC of each pair, and what it says about the margin; verdicts hold together.

    Parameters
    ----------
    died
        (stays,): outcomes.
    risks
        (models, stays).
    resampled
        (models, resamples): AUROC of every model on the same resamples.
    pairs
        The family of comparisons; the same pair may stand in it more than once.
    margin
        The loss of AUROC that would still be accepted.
    """
    if not pairs:
        return []
    aurocs = np.array([scores.auroc(died, risk) for risk in risks])
    model, reference = (np.array([getattr(pair, name) for pair in pairs]) for name in ("model", "reference"))
    values, differences = aurocs[model] - aurocs[reference], resampled[model] - resampled[reference]
    checks = [delong(died, risks[pair.model], risks[pair.reference]) for pair in pairs]
    return judge(died, values, differences, pairs, margin, checks)


def judge(
    died: np.ndarray,
    values: np.ndarray,
    differences: np.ndarray,
    pairs: Sequence[Pair],
    margin: float,
    checks: Sequence[DeLong | None] | None = None,
    trainings: Trainings | None = None,
) -> list[Comparison]:
    """Return what differences of AUROC say about the margin, with verdicts that hold for all of them together.

    Parameters
    ----------
    died
        (stays,): outcomes, of which there must be enough of each for any verdict.
    values, differences
        (pairs,) and (pairs, resamples): the differences as they are, and on common resamples.
    pairs, checks
        What was compared, and DeLong's answers where they are at hand.
    trainings
        Where the resamples draw trainings as well.
    """
    bounds = simultaneous.bounds(values, differences, margin, trainings) if too_few(died) is None else None
    whole = np.array([_variance(row) for row in differences])  # (pairs,)
    own = simultaneous.widened(Z_TWO_SIDED, trainings and trainings.degrees_of(whole), len(pairs))
    critical = np.maximum(bounds.critical, own) if bounds else own
    found = []
    for index, pair in enumerate(pairs):
        low, high = (bounds.low[index], bounds.high[index]) if bounds else (-np.inf, np.inf)
        noninferior = simultaneous.decide(low, high, margin)
        of_trainings = float(trainings.variance[index]) if trainings else 0.0
        needed = stays_needed(len(died), values[index], differences[index], margin, critical[index], of_trainings)
        found.append(
            Comparison(
                vs=pair.vs,
                value=scores.defined(values[index]),
                ci95=_stretched(interval(differences[index]), values[index], own[index] / Z_TWO_SIDED),
                low=scores.defined(low) if bounds else None,
                margin=margin,
                noninferior=noninferior,
                verdict=simultaneous.in_words(noninferior, len(died)),
                stays_needed=needed if noninferior is None else None,
                training_share=_share(of_trainings, whole[index]) if trainings else None,
                delong=checks[index] if checks else None,
            )
        )
    return found


def _stretched(ends: list[float] | None, value: float, factor: float) -> list[float] | None:
    return ends and [float(value + factor * (end - value)) for end in ends]


def _variance(resampled: np.ndarray) -> float:
    """Return the variance over the resamples that have a score; 0 where fewer than two have."""
    defined = resampled[~np.isnan(resampled)]
    return float(defined.var(ddof=1)) if len(defined) > 1 else 0.0


def _share(of_trainings: float, whole: float) -> float | None:
    return min(of_trainings / whole, 1.0) if whole else None


def stays_needed(
    stays: int,
    value: float,
    differences: np.ndarray,
    margin: float,
    critical: float = Z_TWO_SIDED,
    of_trainings: float = 0.0,
) -> int | None:
    """Return how many stays like these would decide the comparison.

    With 80 % power to show "not inferior", if nothing was lost in truth. Where these stays were already enough for
    that, something seems lost: then as many as put the interval around this very difference on one side of the margin.
    The variance of the difference falls with the number of stays, but for what comes of trainings. None where it is
    unknown, or where no number would do. `critical`: how many standard errors a bound is away (more where several
    comparisons are made at once).
    """
    defined = differences[~np.isnan(differences)]
    if len(defined) < 2:
        return None
    of_patients = max(float(defined.var(ddof=1)) - of_trainings, 0.0)

    def for_distance(distance: float) -> float:
        """Return the stays with which so many errors are this distance."""
        left = distance**2 - of_trainings
        return stays * of_patients / left if left > 0 else np.inf

    needed = for_distance(margin / (critical + Z_POWER))
    if needed <= stays:
        needed = for_distance(max(abs(value + margin), 1e-9) / critical)
    return int(np.ceil(needed)) if stays < needed < MOST_STAYS else None


def delong(died: np.ndarray, risk: np.ndarray, reference: np.ndarray) -> DeLong | None:
    """Return DeLong's paired difference of AUROC, a check on the bootstrap (it takes stays as independent).

    DeLong, DeLong and Clarke-Pearson (1988), with midranks (Sun and Xu 2014). None where an outcome has fewer than two.
    """
    dead = died == 1
    deaths, survivors = int(dead.sum()), int((~dead).sum())
    if min(deaths, survivors) < 2:
        return None
    over_deaths, over_survivors = zip(*(placements(dead, values) for values in (risk, reference)), strict=True)
    covariance = np.cov(over_deaths) / deaths + np.cov(over_survivors) / survivors  # (2, 2)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    standard_error = float(np.sqrt(max(variance, 0.0)))
    value = float(over_deaths[0].mean() - over_deaths[1].mean())
    low, high = value - Z_TWO_SIDED * standard_error, value + Z_TWO_SIDED * standard_error
    return DeLong(value, standard_error, [low, high])


def placements(dead: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of survivors below each death, and of deaths above each survivor; ties count half."""
    of_deaths, of_survivors = risk[dead], risk[~dead]
    ranks = _midranks(risk)
    survivors_below = (ranks[dead] - _midranks(of_deaths)) / len(of_survivors)
    deaths_above = 1 - (ranks[~dead] - _midranks(of_survivors)) / len(of_deaths)
    return survivors_below, deaths_above


def _midranks(values: np.ndarray) -> np.ndarray:
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    return (last - (size - 1) / 2)[group]


@dataclass(frozen=True)
class RiskChange:
    """How far the risks of single stays moved from the reference's."""

    max_abs_dp: float
    p999_abs_dp: float  # 99.9 % of the stays moved by no more
    mean_abs_dp: float
    threshold: float
    crossing: int  # stays for which a decision at the threshold changes
    up: int
    down: int
    deaths_no_longer_flagged: int


def risk_change(died: np.ndarray, risk: np.ndarray, reference: np.ndarray, threshold: float) -> RiskChange:
    """Return how far any stay's risk moved from the reference's, and how many stays a decision would change for."""
    moved = np.abs(risk.astype(np.float64) - reference)
    up, down = (risk >= threshold) & (reference < threshold), (risk < threshold) & (reference >= threshold)
    return RiskChange(
        max_abs_dp=float(moved.max()),
        p999_abs_dp=float(np.quantile(moved, 0.999, method="higher")),
        mean_abs_dp=float(moved.mean()),
        threshold=float(threshold),
        crossing=int((up | down).sum()),
        up=int(up.sum()),
        down=int(down.sum()),
        deaths_no_longer_flagged=int((down & (died == 1)).sum()),
    )
