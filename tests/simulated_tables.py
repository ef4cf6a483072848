"""Simulated tables whose forms all lose just what would be accepted, so that every "not inferior" is a false one.

Used by the tests and by benchmarks/false_yes.py. A baseline's score of a stay is normal, higher for deaths, with an
AUROC of 0.82 (set A's networks). Each form adds noise of its own, of the size that takes the margin of 0.01 off the
AUROC: the forms are as independent of each other as they can be, the worst case for who picks among them. Of a
cross-validation each training adds another amount of it, so that the margin is what trainings lose on average.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import erf, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from mortcond import scores
from mortcond.measure import comparison, crossval, simultaneous
from mortcond.measure.comparison import Comparison, Pair
from mortcond.measure.crossval import HeldOut
from mortcond.measure.intervals import resample_counts
from mortcond.measure.judge import Judge

MARGIN = 0.01
AUROC = 0.82
TEST, VALIDATION = (581, 73), (588, 84)  # stays and deaths of set A's splits
ALL, FOLDS = (1200, 170), 5
OWN = 0.3  # of the noise's variance, what is another one in every training of a form


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


@dataclass(frozen=True)
class Trained:
    """How often every form is trained, and how much its trainings differ."""

    seeds: int
    repeats: int = 1
    spread: float = 0.0  # standard deviation of the amount of noise over trainings


def validate(forms: int, resamples: int, rng: np.random.Generator, trained: Trained) -> tuple[bool, bool]:
    """Return whether a cross-validation says yes to any form: with the bounds of 24 November 2026, and now."""
    held = cross_validated(forms, rng, trained)
    found = crossval.resample(held, resamples, int(rng.integers(2**31)))
    pairs = [Pair(form, 0, "baseline") for form in range(1, forms + 1)]
    now = crossval.compare(held, found, pairs, MARGIN)
    values = found.auroc[1:] - found.auroc[0]
    differences = found.resampled[1:] - found.resampled[0]
    return _by_one_tail(values, differences), any(one.noninferior for one in now)


def _by_one_tail(values: np.ndarray, differences: np.ndarray) -> bool:
    """Say whether a bound lies above the margin by the tail of the difference itself, as if its spread were known."""
    spread = differences.std(axis=1, ddof=1)
    farthest = np.quantile(((differences - values[:, None]) / spread[:, None]).max(axis=0), 1 - simultaneous.LEVEL)
    return bool((values - farthest * spread > -MARGIN).any())


def cross_validated(forms: int, rng: np.random.Generator, trained: Trained, loss: float = MARGIN) -> HeldOut:
    """Return a baseline that every training gives alike, and forms whose trainings lose `loss` on average."""
    stays, deaths = ALL
    died = (np.arange(stays) < deaths).astype(np.uint8)
    fold = np.stack([rng.permutation(np.arange(stays) % FOLDS) for _ in range(trained.repeats)])
    centre = centre_of_noise(loss, trained.spread)
    risks = np.empty((1 + forms, trained.repeats, trained.seeds, stays))
    risks[:] = apart(AUROC) * died + rng.normal(size=stays)
    for form in range(1, 1 + forms):
        of_form = sqrt(1 - OWN) * rng.normal(size=stays)
        for repeat in range(trained.repeats):
            for seed in range(trained.seeds):
                amount = np.abs(centre + trained.spread * rng.normal(size=FOLDS))  # (folds,)
                noise = of_form + sqrt(OWN) * rng.normal(size=stays)
                risks[form, repeat, seed] += amount[fold[repeat]] * noise
    return HeldOut(died, np.arange(stays), fold, risks, tuple(f"form {index}" for index in range(1 + forms)))


@cache
def centre_of_noise(loss: float, spread: float) -> float:
    """Return the mean of a normal distribution of amounts with this spread that take `loss` off the AUROC on average.

    Raises ValueError where the spread alone takes more.
    """
    if lost_on_average(0.0, spread) > loss:
        raise ValueError(f"amounts of spread {spread} take more than {loss} off")
    return brentq(lambda centre: lost_on_average(centre, spread) - loss, 0.0, 1.0)


def lost_on_average(centre: float, spread: float) -> float:
    """Return the mean loss of AUROC over normally distributed amounts of noise."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    of_amount = norm.cdf(apart(AUROC) / np.sqrt(2 * (1 + (centre + spread * points) ** 2)))
    return float(AUROC - (weights * of_amount).sum() / weights.sum())


def rates(simulate: Callable, number: int, resamples: int, repeats: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of "yes" before and now over so many simulated tables."""
    rng = np.random.default_rng(seed)
    answers = np.array([simulate(number, resamples, rng) for _ in range(repeats)])
    return float(answers[:, 0].mean()), float(answers[:, 1].mean())
