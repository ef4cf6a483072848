"""Verdicts of several comparisons at once: bounds that hold together, and how often a false "yes" is said."""

import numpy as np
import pytest
import simulated_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from mortcond import scores
from mortcond.measure import comparison, simultaneous
from mortcond.measure.intervals import resample_counts
from mortcond.measure.simultaneous import bounds, decide, in_words


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
        bounds(np.zeros(n), resampled(n, correlation=c), 0.01).critical for n, c in ((1, 0), (9, 0), (9, 1))
    )
    assert nine == pytest.approx(2.77, abs=0.1)  # the 0.975 ** (1/9) quantile of a normal distribution
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


def test_a_form_that_loses_nothing_gets_its_yes_where_the_stays_can_tell():
    """The bounds are not bought by never saying yes: with a margin of eight standard errors all of nine get it."""
    rng = np.random.default_rng(0)
    died, risks = simulated_tables.table((4000, 560), 9, rng, loss=0.001)
    counts = np.concatenate(list(resample_counts(np.arange(4000), 200, 0)))
    aurocs = np.stack([scores.auroc_of(*scores.Ranking(died, risk).deaths_and_stays(counts)) for risk in risks])
    pairs = [comparison.Pair(form, 0, "baseline") for form in range(1, 10)]
    assert all(one.noninferior for one in comparison.compare(died, risks, aurocs, pairs, 0.02))
