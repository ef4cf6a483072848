"""Verdicts of several comparisons at once: bounds that hold together, and how often a false "yes" is said."""

from functools import partial

import numpy as np
import pytest
import simulated_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from mortcond import scores
from mortcond.measure import comparison, crossval, simultaneous
from mortcond.measure.intervals import resample_counts
from mortcond.measure.judge import Judge
from mortcond.measure.simultaneous import Trainings, bounds, decide, in_words


def resampled(comparisons: int, resamples: int = 4000, correlation: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return differences around 0 with a standard error of 0.01, (comparisons, resamples)."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(1, resamples))
    own = rng.normal(size=(comparisons, resamples))
    return 0.01 * (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)


def test_one_comparison_has_the_bound_of_an_ordinary_interval():
    found = bounds(np.zeros(1), resampled(1), 0.01)
    assert found.low[0] == pytest.approx(-0.0196, abs=0.001)
    assert found.high[0] == pytest.approx(0.0196, abs=0.001)


def test_more_comparisons_take_more_and_ones_that_say_the_same_take_nothing():
    alone, nine, same = (
        bounds(np.zeros(n), resampled(n, correlation=c), 0.01).critical[0] for n, c in ((1, 0), (9, 0), (9, 1))
    )
    assert nine == pytest.approx(2.77, abs=0.15)  # the 0.975 ** (1/9) quantile of a normal distribution
    assert same == pytest.approx(alone, abs=0.05)


def test_the_bounds_cover_the_truth_together():
    """Of tables with 9 true differences of 0, the share with any lower bound above 0 is about 2.5 %."""
    rng, wrong = np.random.default_rng(1), 0
    draws = resampled(9, 1000, seed=2)
    for _ in range(1000):
        values = 0.01 * rng.normal(size=9)
        wrong += (bounds(values, values[:, None] + draws, 0.01).low > 0).any()
    assert 0.01 <= wrong / 1000 <= 0.045


def test_a_comparison_that_hardly_varies_does_not_widen_the_others():
    """Two files that differ in the rank of one stay: the difference takes few values, with long tails."""
    rng = np.random.default_rng(0)
    rare = 1e-5 * (rng.poisson(0.01, size=(1, 4000)) - 0.01)
    wide = resampled(1)
    assert bounds(np.zeros(2), np.vstack([wide, rare]), 0.01).low[0] == pytest.approx(
        bounds(np.zeros(1), wide, 0.01).low[0], rel=0.05
    )


def test_a_bound_lies_as_far_away_as_the_longer_tail():
    """A form whose loss has a long tail: what is seen of it is mostly less, and varies less, than the truth."""
    skewed = -0.01 * (np.random.default_rng(0).exponential(size=(1, 4000)) - 1)
    found, mirrored = bounds(np.zeros(1), skewed, 0.01), bounds(np.zeros(1), -skewed, 0.01)
    assert found.low[0] == pytest.approx(np.quantile(skewed, 0.025), abs=1e-4)
    assert found.high[0] == pytest.approx(-found.low[0])
    assert mirrored.low[0] == pytest.approx(found.low[0], rel=1e-6)


def test_few_trainings_widen_the_bounds_where_they_differ():
    """The share of the variance that comes of trainings decides, and how many there are."""

    def critical(degrees: int, share: float) -> float:
        draws = resampled(1)
        trainings = Trainings(degrees, share * draws.var(axis=1, ddof=1))
        return bounds(np.zeros(1), draws, 0.01, trainings).critical[0]

    normal = bounds(np.zeros(1), resampled(1), 0.01).critical[0]
    assert critical(5, 0.0) == pytest.approx(normal, rel=1e-4)
    assert critical(5, 0.1) < critical(5, 0.4) < critical(5, 1.0)
    assert critical(20, 0.4) < critical(10, 0.4) < critical(5, 0.4)
    assert critical(5, 1.0) == pytest.approx(2.57, abs=0.08)  # t with 5 degrees of freedom
    assert critical(10, 0.2) < 1.06 * normal, "where trainings hardly differ the bounds hardly widen"


def test_degrees_of_freedom_are_those_of_the_trainings_where_they_are_all_the_variance():
    one = Trainings(7, np.array([0.0, 0.25, 1.0]))
    degrees = one.degrees_of(np.ones(3))
    assert degrees[2] == pytest.approx(7)
    assert degrees[0] > 1e5
    assert 7 < degrees[1] < 7 / 0.25**2, "the share that was found is not trusted"


def test_what_is_not_defined_has_no_part_in_the_bounds_of_others():
    draws = resampled(2)
    alone = bounds(np.zeros(1), draws[:1], 0.01)
    both = bounds(np.array([0.0, np.nan]), np.vstack([draws[:1], np.full((1, 4000), np.nan)]), 0.01)
    assert both.low[0] == alone.low[0]
    assert np.isnan(both.low[1])
    assert decide(both.low[1], both.high[1], 0.01) is None


def test_no_bounds_without_scores():
    assert bounds(np.zeros(0), np.zeros((0, 10)), 0.01) is None
    assert bounds(np.array([np.nan]), resampled(1), 0.01) is None
    mostly_undefined = np.where(np.arange(4000) < 3000, np.nan, resampled(1))
    assert bounds(np.zeros(1), mostly_undefined, 0.01) is None


@given(st.floats(-0.1, 0.1), st.floats(0, 0.1), st.floats(0.001, 0.1))
def test_a_verdict_says_where_the_bounds_lie(low, width, margin):
    verdict = decide(low, low + width, margin)
    assert (verdict is True) == (low > -margin)
    assert (verdict is False) == (low + width < -margin)
    assert (
        in_words(verdict, 1234)
        == {True: "not inferior", False: "inferior", None: "cannot tell with 1,234 stays"}[verdict]
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_every_bound_lies_on_its_side_of_the_difference(comparisons, seed):
    values = 0.01 * np.random.default_rng(seed).normal(size=comparisons)
    found = bounds(values, values[:, None] + resampled(comparisons, 300, seed=seed), 0.01)
    assert (found.low < values).all()
    assert (values < found.high).all()


def test_what_the_report_says_of_the_verdicts():
    assert simultaneous.told(9).startswith("simultaneous over 9 comparisons: one-sided 97.5 % bounds")


@pytest.mark.parametrize(("simulate", "number"), [(simulated_tables.bench, 9), (simulated_tables.condense, 41)])
def test_a_false_yes_is_rare_where_it_was_common(simulate, number):
    """Every form loses just the margin: what says "not inferior" is wrong. 24 tables show the size of it."""
    before, now = simulated_tables.rates(simulate, number, resamples=120, repeats=24)
    assert before > 0.1
    assert now <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulate", "number", "expected"), [(simulated_tables.bench, 9, 0.21), (simulated_tables.condense, 41, 0.61)]
)
def test_the_rate_of_a_false_yes_is_at_most_5_percent(simulate, number, expected):
    before, now = simulated_tables.rates(simulate, number, resamples=1000, repeats=400)
    assert before == pytest.approx(expected, abs=0.08)
    assert now <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("forms", "seeds", "repeats"), [(1, 2, 1), (1, 3, 1), (1, 1, 3), (9, 2, 1), (9, 3, 1)])
def test_a_false_yes_is_rare_where_trainings_differ_widely(forms, seeds, repeats):
    trained = simulated_tables.Trained(seeds, repeats, spread=0.25)
    simulate, tables = partial(simulated_tables.validate, trained=trained), 300 if forms == 1 else 200
    before, now = simulated_tables.rates(simulate, forms, 300, tables)
    assert now <= 0.05
    assert now <= before


def test_the_simulated_trainings_lose_the_margin_on_average():
    """The amounts of noise are centred so that what a form loses in the mean is the margin, to the last digit."""
    rng = np.random.default_rng(0)
    lost = []
    for _ in range(6):
        held = simulated_tables.cross_validated(40, rng, simulated_tables.Trained(4, spread=0.2))
        found = crossval.resample(held, 2)
        lost += list(found.auroc[0] - found.auroc[1:])
    assert np.mean(lost) == pytest.approx(simulated_tables.MARGIN, abs=0.0015)


def test_a_form_that_loses_nothing_gets_its_yes_where_the_stays_can_tell():
    """The bounds are not bought by never saying yes: with a margin of eight standard errors all of nine get it."""
    rng = np.random.default_rng(0)
    died, risks = simulated_tables.table((4000, 560), 9, rng, loss=0.001)
    counts = np.concatenate(list(resample_counts(np.arange(4000), 200, 0)))
    aurocs = np.stack([scores.auroc_of(*scores.Ranking(died, risk).deaths_and_stays(counts)) for risk in risks])
    pairs = [comparison.Pair(form, 0, "baseline") for form in range(1, 10)]
    assert all(one.noninferior for one in comparison.compare(died, risks, aurocs, pairs, 0.02))


def test_a_risk_that_is_no_number_never_qualifies():
    died = (np.arange(400) < 80).astype(np.uint8)
    risk = died + np.random.default_rng(0).normal(size=400)
    judge = Judge(died, np.arange(400), risk, "baseline", 0.1)
    judge.see("broken", np.where(np.arange(400) == 7, np.nan, risk))
    judge.see("same", risk)
    told = judge.verdicts()
    assert not told["broken"]["qualifies"]
    assert told["broken"]["noninferior"] is None
    assert told["same"]["noninferior"] is True, "and says nothing of the others"
