"""Simulated tables whose forms all lose just what would be accepted, so that every "not inferior" is a false one.

Used by the tests and by benchmarks/false_yes.py. A baseline's score of a stay is normal, higher for deaths, with an
AUROC of 0.82 (set A's networks). Each form adds noise of its own, of the size that takes the margin of 0.01 off the
AUROC: the forms are as independent of each other as they can be, the worst case for who picks among them.
"""

from collections.abc import Callable
from math import erf, sqrt

import numpy as np

from mortcond import scores
from mortcond.measure import comparison
from mortcond.measure.comparison import Comparison, Pair
from mortcond.measure.intervals import resample_counts
from mortcond.measure.judge import Judge

MARGIN = 0.01
AUROC = 0.82
TEST, VALIDATION = (581, 73), (588, 84)  # stays and deaths of set A's splits


def apart(auroc: float) -> float:
    """Return how many standard deviations lie between deaths and survivors where the AUROC is this: sqrt(2) z."""
    low, high = 0.0, 5.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * (1 + erf(middle / 2)) < auroc else (low, middle)
    return low


def noise_of_the_loss(loss: float) -> float:
    """Return the standard deviation of the noise that takes `loss` off the AUROC."""
    return sqrt((apart(AUROC) / apart(AUROC - loss)) ** 2 - 1)


def table(size: tuple[int, int], forms: int, rng: np.random.Generator, loss: float = MARGIN) -> tuple:
    """Return outcomes (stays,) and scores (1 + forms, stays), the baseline's first."""
    stays, deaths = size
    died = (np.arange(stays) < deaths).astype(np.uint8)
    baseline = apart(AUROC) * died + rng.normal(size=stays)
    noise = noise_of_the_loss(loss) * rng.normal(size=(forms, stays))
    return died, np.vstack([baseline, baseline + noise])


def alone(found: Comparison | dict) -> bool:
    """Say what an interval of this comparison alone would have said, as until version 0.1."""
    ci95 = found.ci95 if isinstance(found, Comparison) else found["difference"]["ci95"]
    return ci95 is not None and ci95[0] > -MARGIN


def bench(forms: int, resamples: int, rng: np.random.Generator, loss: float = MARGIN) -> tuple[bool, bool]:
    """Return whether a bench of so many forms says yes to any: before (each for itself), and now."""
    died, risks = table(TEST, forms, rng, loss)
    counts = np.concatenate(list(resample_counts(np.arange(len(died)), resamples, int(rng.integers(2**31)))))
    resampled = np.stack([scores.auroc_of(*scores.Ranking(died, r).deaths_and_stays(counts)) for r in risks])
    pairs = [Pair(form, 0, "baseline") for form in range(1, forms + 1)]
    found = comparison.compare(died, risks, resampled, pairs, MARGIN)
    return any(map(alone, found)), any(one.noninferior for one in found)


def condense(candidates: int, resamples: int, rng: np.random.Generator, loss: float = MARGIN) -> tuple[bool, bool]:
    """Return whether a search among candidates says yes: before (on validation, exit 0 unless refuted), and now."""
    seed = int(rng.integers(2**31))
    died, risks = table(VALIDATION, candidates, rng, loss)
    judge = Judge(died, np.arange(len(died)), risks[0], "baseline", MARGIN, seed, resamples)
    for place, risk in enumerate(risks[1:]):
        judge.see(str(place), risk)
    chosen = next((name for name, verdict in judge.verdicts().items() if verdict["qualifies"]), None)
    if chosen is None:
        return False, False
    died, risks = table(TEST, candidates, rng, loss)  # the same files on other stays
    judge = Judge(died, np.arange(len(died)), risks[0], "baseline", MARGIN, seed, resamples)
    judge.see(chosen, risks[1 + int(chosen)])
    on_test = judge.verdicts()[chosen]["noninferior"]
    return on_test is not False, on_test is True


def rates(simulate: Callable, number: int, resamples: int, repeats: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of "yes" before and now over so many simulated tables."""
    rng = np.random.default_rng(seed)
    answers = np.array([simulate(number, resamples, rng) for _ in range(repeats)])
    return float(answers[:, 0].mean()), float(answers[:, 1].mean())
