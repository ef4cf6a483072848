"""The claim "without compromising accuracy" as a test: the paired difference of a model to a reference.

Comes in: the risks of both on the same stays, and their AUROC on the same bootstrap resamples. Goes out: difference,
interval, verdict against a margin, how many stays a verdict would need, and whose risk changed.
"""

from typing import Any

import numpy as np

from mortcond.measure import scores
from mortcond.measure.intervals import interval, too_few

MARGIN = 0.01  # of AUROC: about the standard error of the AUROC itself on the public benchmark's test set
Z_TWO_SIDED = 1.959964  # 95 % interval
Z_POWER = 0.841621  # 80 % power

MOST_STAYS = 10**7  # more than all intensive-care stays on record anywhere

NOT_INFERIOR, INFERIOR = "not inferior", "inferior"


def compare(
    died: np.ndarray,
    risk: np.ndarray,
    reference: np.ndarray,
    resampled: tuple[np.ndarray, np.ndarray],
    margin: float = MARGIN,
) -> dict[str, Any]:
    """Return the paired difference of AUROC, model less reference, and what it says about the margin.

    Parameters
    ----------
    died, risk, reference
        (stays,): outcome, risk by the model, risk by the reference.
    resampled
        AUROC of model and reference on the same resamples, each (resamples,).
    margin
        The loss of AUROC that would still be accepted.
    """
    value = scores.auroc(died, risk) - scores.auroc(died, reference)
    differences = resampled[0] - resampled[1]
    ci95 = interval(differences)
    verdict, noninferior = _verdict(died, ci95, margin)
    facts = {"value": _number(value), "ci95": ci95, "margin": margin, "noninferior": noninferior, "verdict": verdict}
    if noninferior is None:
        facts["stays_needed"] = stays_needed(len(died), value, differences, margin)
    return facts | {"delong": delong(died, risk, reference)}


def _verdict(died: np.ndarray, ci95: list[float] | None, margin: float) -> tuple[str, bool | None]:
    if ci95 is not None and too_few(died) is None:
        if ci95[0] > -margin:
            return NOT_INFERIOR, True
        if ci95[1] < -margin:
            return INFERIOR, False
    return f"cannot tell with {len(died):,} stays", None


def stays_needed(stays: int, value: float, differences: np.ndarray, margin: float) -> int | None:
    """Return how many stays like these would decide the comparison.

    With 80 % power to show "not inferior", if nothing was lost in truth. Where these stays were already enough for
    that, something seems lost: then as many as put the interval around this very difference on one side of the margin.
    The standard error of the difference falls with the square root of the number of stays. None where it is unknown,
    or where no number would do.
    """
    defined = differences[~np.isnan(differences)]
    if len(defined) < 2:
        return None
    standard_error = float(defined.std(ddof=1))
    needed = stays * ((Z_TWO_SIDED + Z_POWER) * standard_error / margin) ** 2
    if needed <= stays:
        needed = stays * (Z_TWO_SIDED * standard_error / max(abs(value + margin), 1e-9)) ** 2
    return int(np.ceil(needed)) if stays < needed < MOST_STAYS else None


def delong(died: np.ndarray, risk: np.ndarray, reference: np.ndarray) -> dict[str, Any] | None:
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
    return {"value": value, "standard_error": standard_error, "ci95": [low, high]}


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


def risk_change(died: np.ndarray, risk: np.ndarray, reference: np.ndarray, threshold: float) -> dict[str, Any]:
    """Return how far any stay's risk moved from the reference's, and how many stays a decision would change for."""
    moved = np.abs(risk.astype(np.float64) - reference)
    up, down = (risk >= threshold) & (reference < threshold), (risk < threshold) & (reference >= threshold)
    facts = {"max_abs_dp": float(moved.max()), "mean_abs_dp": float(moved.mean()), "threshold": float(threshold)}
    facts |= {"crossing": int((up | down).sum()), "up": int(up.sum()), "down": int(down.sum())}
    return facts | {"deaths_no_longer_flagged": int((down & (died == 1)).sum())}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
