"""The paired comparison: differences, verdicts, stays needed, whose risk changed."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mortcond.measure import comparison
from mortcond.measure.evaluate import Stays
from mortcond.measure.intervals import bootstrap
from mortcond.measure.subgroups import by_subgroup


def pair(loss: float, n: int = 800, seed: int = 0):
    """Return outcomes, a reference's risks, and those of a model that is worse by some noise."""
    rng = np.random.default_rng(seed)
    died = (rng.random(n) < 0.2).astype(np.uint8)
    score = rng.normal(size=n) + 1.3 * died - 2
    moved = score + loss * rng.normal(size=n)
    return died, 1 / (1 + np.exp(-score)), 1 / (1 + np.exp(-moved))


ONE = [comparison.Pair(0, 1, "reference")]


def compare(loss: float, margin: float = 0.01, n: int = 800):
    died, reference, risk = pair(loss, n)
    resampled = bootstrap(died, np.stack([risk, reference]), np.arange(n), 600)
    return comparison.compare(died, np.stack([risk, reference]), resampled.auroc, ONE, margin)[0]


def test_the_same_risks_are_not_inferior():
    found = compare(0.0)
    assert (found.value, found.ci95, found.verdict) == (0.0, [0.0, 0.0], "not inferior")
    assert found.stays_needed is None


def test_a_clear_loss_is_inferior():
    found = compare(2.5)
    assert (found.verdict, found.noninferior) == ("inferior", False)
    assert found.ci95[1] < -0.01


def test_a_loss_near_the_margin_cannot_be_told():
    found = compare(0.25)
    assert (found.verdict, found.noninferior) == ("cannot tell with 800 stays", None)
    assert found.stays_needed > 800


def test_a_wider_margin_can_accept_what_a_narrow_one_cannot():
    assert compare(0.5, margin=0.1).noninferior is True


def test_stays_needed_grow_with_the_square_of_the_precision():
    differences = np.random.default_rng(0).normal(scale=0.01, size=5000)
    few, many = (comparison.stays_needed(500, 0.0, differences, margin) for margin in (0.02, 0.01))
    assert many == pytest.approx(4 * few, rel=0.01)
    expected = 500 * ((1.959964 + 0.841621) * differences.std(ddof=1) / 0.01) ** 2
    assert many == pytest.approx(expected, abs=1)


def test_with_the_stays_needed_a_model_that_lost_nothing_is_usually_not_inferior():
    needed = compare(0.35, margin=0.02, n=300).stays_needed
    verdicts = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        died = (rng.random(needed) < 0.2).astype(np.uint8)
        score = rng.normal(size=needed) + 1.3 * died
        one, other = (score + 0.35 / np.sqrt(2) * rng.normal(size=needed) for _ in range(2))
        low, _ = comparison.delong(died, one, other).ci95
        verdicts.append(low > -0.02)
    assert np.mean(verdicts) >= 0.65


def test_delong_agrees_with_the_paired_bootstrap():
    died, reference, risk = pair(0.6, n=1500)
    resampled = bootstrap(died, np.stack([risk, reference]), np.arange(1500), 1500)
    found = comparison.delong(died, risk, reference)
    assert found.value == pytest.approx(roc_auc_score(died, risk) - roc_auc_score(died, reference), abs=1e-12)
    assert found.standard_error == pytest.approx((resampled.auroc[0] - resampled.auroc[1]).std(), rel=0.1)


def test_delong_of_a_small_case_by_hand():
    died = np.array([1, 1, 0, 0, 0])
    risk, reference = np.array([0.9, 0.4, 0.5, 0.2, 0.1]), np.array([0.3, 0.8, 0.3, 0.6, 0.1])
    found = comparison.delong(died, risk, reference)
    of_deaths = np.array([[1, 2 / 3], [1.5 / 3, 1]])  # share of survivors below each death, by each model
    of_survivors = np.array([[0.5, 1, 1], [0.75, 0.5, 1]])
    variance = np.diff(of_deaths, axis=0).var(ddof=1) / 2 + np.diff(of_survivors, axis=0).var(ddof=1) / 3
    assert found.value == pytest.approx(5 / 6 - 4.5 / 6)
    assert found.standard_error == pytest.approx(np.sqrt(variance))


def test_delong_needs_two_of_each_outcome():
    assert comparison.delong(np.array([1, 0, 0]), np.array([0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3])) is None


def test_few_deaths_never_give_a_verdict():
    died = np.array([1] * 5 + [0] * 200)
    risk = np.linspace(1, 0, 205)
    resampled = bootstrap(died, np.stack([risk, risk]), np.arange(205), 200)
    found = comparison.compare(died, np.stack([risk, risk]), resampled.auroc, ONE)[0]
    assert found.noninferior is None
    assert found.verdict == "cannot tell with 205 stays"


def test_one_outcome_gives_no_difference():
    died = np.zeros(20, np.uint8)
    risk = np.linspace(0, 1, 20)
    resampled = bootstrap(died, np.stack([risk, risk]), np.arange(20), 100)
    found = comparison.compare(died, np.stack([risk, risk]), resampled.auroc, ONE)[0]
    assert (found.value, found.ci95, found.noninferior, found.delong) == (None, None, None, None)


def test_risk_change_counts_who_crosses_the_threshold():
    died = np.array([1, 0, 1, 0])
    found = comparison.risk_change(died, np.array([0.3, 0.6, 0.4, 0.1]), np.array([0.6, 0.4, 0.45, 0.1]), 0.5)
    assert found.max_abs_dp == pytest.approx(0.3)
    assert (found.crossing, found.up, found.down, found.deaths_no_longer_flagged) == (2, 1, 1, 1)


def test_subgroups_tell_stays_deaths_and_whether_they_are_too_few():
    rng = np.random.default_rng(0)
    died, _, risk = pair(0.3, n=300)
    sex = np.where(np.arange(300) < 20, "F", "M")
    age = np.where(np.arange(300) % 2, 50.0, np.nan)
    stays = Stays(died, np.arange(300), age, sex, np.where(rng.random(300) < 0.5, "medical", ""))
    rows = {row["name"]: row for row in by_subgroup(stays, risk)}
    assert list(rows) == ["women", "men", "45 to 64", "medical"]
    assert rows["women"]["stays"] == 20
    assert rows["women"]["too_few"]
    assert rows["men"]["deaths"] == died[20:].sum()
    assert rows["men"]["auroc"] == pytest.approx(roc_auc_score(died[20:], risk[20:]))
    low, high = rows["men"]["ci95"]
    assert 0 < low < rows["men"]["auroc"] < high < 1
