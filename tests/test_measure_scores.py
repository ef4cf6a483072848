"""Scores and intervals: equal to scikit-learn where it has them, to hand-worked cases where it has not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mortcond import scores
from mortcond.measure.intervals import bootstrap, interval, resample_counts, too_few


def stays(seed: int = 0, n: int = 400, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes and risks that go with them; rounding makes ties."""
    rng = np.random.default_rng(seed)
    died = (rng.random(n) < 0.15).astype(np.uint8)
    risk = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.3 * died - 2)))
    return died, risk if digits is None else risk.round(digits)


@pytest.mark.parametrize("digits", [None, 2, 1])
def test_discrimination_equals_scikit_learn_with_ties(digits):
    died, risk = stays(digits=digits)
    assert scores.auroc(died, risk) == pytest.approx(roc_auc_score(died, risk), abs=1e-12)
    assert scores.average_precision(died, risk) == pytest.approx(average_precision_score(died, risk), abs=1e-12)
    assert scores.brier(died, risk) == pytest.approx(brier_score_loss(died, risk), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60))
@settings(max_examples=150, deadline=None)
def test_discrimination_equals_scikit_learn_on_any_stays(pairs):
    died, risk = np.array([d for d, _ in pairs], np.uint8), np.array([r / 8 for _, r in pairs])
    if died.any():
        assert scores.average_precision(died, risk) == pytest.approx(average_precision_score(died, risk))
    if 0 < died.sum() < len(died):
        assert scores.auroc(died, risk) == pytest.approx(roc_auc_score(died, risk))
    else:
        assert np.isnan(scores.auroc(died, risk))


def test_a_risk_that_is_no_number_has_no_rank():
    died, risk = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, np.nan, 0.9])
    assert np.isnan(scores.auroc(died, risk))
    assert np.isnan(scores.average_precision(died, risk))


def test_every_resample_scores_like_the_stays_it_holds():
    died, risk = stays(n=120, digits=2)
    counts = next(resample_counts(np.arange(120) // 2, 25, seed=3))
    deaths_and_stays = scores.Ranking(died, risk).deaths_and_stays(counts)
    slopes, intercepts = scores.calibration_of(died, risk, counts)
    for row, count in enumerate(counts):
        held = np.repeat(np.arange(120), count)
        assert scores.auroc_of(*deaths_and_stays)[row] == pytest.approx(roc_auc_score(died[held], risk[held]))
        expected = average_precision_score(died[held], risk[held])
        assert scores.average_precision_of(*deaths_and_stays)[row] == pytest.approx(expected)
        slope, intercept = scores.calibration(died[held], risk[held])
        assert slopes[row] == pytest.approx(slope, abs=2e-4)
        assert intercepts[row] == pytest.approx(intercept, abs=2e-4)


def test_calibration_slope_equals_an_unpenalised_logistic_regression():
    died, risk = stays(n=2000)
    logit = np.log(risk / (1 - risk))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit[:, None], died)
    assert scores.calibration(died, risk)[0] == pytest.approx(model.coef_[0, 0], abs=1e-4)


def test_calibration_intercept_makes_the_mean_risk_right():
    died, risk = stays(n=500)
    _, intercept = scores.calibration(died, risk)
    moved = 1 / (1 + np.exp(-(np.log(risk / (1 - risk)) + intercept)))
    assert moved.mean() == pytest.approx(died.mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("died", "risk"),
    [([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 0, 0, 0], [0.1, 0.2, 0.8, 0.9]), ([0, 1, 0, 1], [0.3] * 4)],
    ids=["separated", "nobody died", "one risk"],
)
def test_calibration_slope_without_a_finite_answer_is_nan(died, risk):
    assert np.isnan(scores.calibration(np.array(died), np.array(risk))[0])


def test_risks_of_exactly_0_and_1_have_a_finite_calibration():
    died, risk = stays()
    risk[:3], risk[3:6] = 0.0, 1.0
    assert np.isfinite(scores.calibration(died, risk)).all()


def test_calibration_bins_equal_scikit_learn():
    died, risk = stays(n=500)
    rates, means = calibration_curve(died, risk, n_bins=10, strategy="quantile")
    bins = scores.calibration_bins(died, risk)
    assert [part.stays for part in bins] == [50] * 10
    assert [part.death_rate for part in bins] == pytest.approx(list(rates))
    assert [part.mean_risk for part in bins] == pytest.approx(list(means))
    assert scores.expected_calibration_error(died, risk) == pytest.approx(np.abs(rates - means).mean())


def test_fewer_stays_than_bins():
    assert [part.stays for part in scores.calibration_bins(np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9]))] == [1, 1, 1]


def test_net_benefit_by_hand():
    died, risk = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.2, 0.6, 0.1, 0.3])
    found = scores.net_benefit(died, risk, np.array([0.5, 0.25]))
    assert found == pytest.approx([1 / 5 - 1 / 5 * 1, 1 / 5 - 2 / 5 * (0.25 / 0.75)])
    assert scores.net_benefit_of_all(died, np.array([0.5]))[0] == pytest.approx(2 / 5 - 3 / 5)


def test_decisions_at_a_threshold_by_hand():
    found = scores.at_threshold(np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.5, 0.2]), 0.5)
    assert found == {"sensitivity": 0.5, "specificity": 0.5, "ppv": 0.5, "npv": 0.5}


def test_resamples_draw_whole_patients():
    patients = np.array([5, 5, 5, 9, 9, 2])
    counts = np.concatenate(list(resample_counts(patients, 300, seed=0)))
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, 3] == counts[:, 4]).all()
    drawn = counts[:, 0] + counts[:, 3] + counts[:, 5]
    assert (drawn == 3).all()
    assert counts[:, 0].mean() == pytest.approx(1, abs=0.15)


def test_stays_of_few_patients_give_a_wider_interval_than_as_many_patients():
    died, risk = stays(n=300)
    alone = bootstrap(died, risk[None], np.arange(300), 400)
    together = bootstrap(np.repeat(died[:60], 5), np.repeat(risk[:60], 5)[None], np.repeat(np.arange(60), 5), 400)
    assert np.nanstd(together.auroc[0]) > 1.5 * np.nanstd(alone.auroc[0])


def test_the_bootstrap_interval_agrees_with_delong():
    from mortcond.measure.subgroups import delong_interval

    died, risk = stays(n=1500)
    low, high = interval(bootstrap(died, risk[None], np.arange(1500), 1000).auroc[0])
    expected = delong_interval(died, risk)
    assert low == pytest.approx(expected[0], abs=0.006)
    assert high == pytest.approx(expected[1], abs=0.006)


def test_models_share_their_resamples_and_one_model_alone_sees_the_same():
    died, risk = stays()
    both = bootstrap(died, np.stack([risk, risk]), np.arange(len(died)), 200, seed=4)
    alone = bootstrap(died, risk[None], np.arange(len(died)), 200, seed=4)
    assert np.array_equal(both.auroc[0], both.auroc[1])
    assert np.array_equal(both.auroc[0], alone.auroc[0])


def test_resamples_with_one_outcome_are_counted_and_take_the_interval_away():
    died = np.array([1, 0, 0, 0])
    resampled = bootstrap(died, np.array([[0.9, 0.1, 0.2, 0.3]]), np.arange(4), 300)
    assert resampled.undefined == pytest.approx(300 * 0.75**4, abs=35)
    assert interval(resampled.auroc[0]) is None
    assert interval(resampled.brier[0]) is not None


@pytest.mark.parametrize(("deaths", "word"), [(0, "none died"), (9, "too few: 9 deaths"), (20, "all died")])
def test_too_few_says_why(deaths, word):
    assert word in too_few(np.array([1] * deaths + [0] * (20 - deaths)))


def test_enough_deaths_need_no_warning():
    assert too_few(np.array([1] * 10 + [0] * 10)) is None


@pytest.mark.slow
def test_ten_thousand_resamples_of_five_thousand_stays_take_seconds():
    import time
    import tracemalloc

    died, risk = stays(n=5000)
    tracemalloc.start()
    started = time.perf_counter()
    bootstrap(died, risk[None], np.arange(5000), 10_000)
    assert time.perf_counter() - started < 30
    assert tracemalloc.get_traced_memory()[1] < 200e6
