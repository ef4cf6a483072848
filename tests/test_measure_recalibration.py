"""Recalibration: levels by deaths, what is fitted, and figures that no stay had a part in."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mortcond import scores
from mortcond.core.errors import InputError, LimitError
from mortcond.measure import recalibration


def hospital(stays: int, shift: float = -1.2, slope: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes and risks of a network that is off here: logit P(death) = shift + slope logit(risk)."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.0, 1.5, stays)
    truth = 1 / (1 + np.exp(-(shift + slope * logit)))
    return (rng.random(stays) < truth).astype(np.uint8), 1 / (1 + np.exp(-logit))


def test_the_fit_is_scikit_learns_unpenalised_one():
    died, risk = hospital(3000)
    found = recalibration.fit(died, risk, "slope")
    logit = np.log(risk / (1 - risk))[:, None]
    expected = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(logit, died)
    assert found.slope == pytest.approx(expected.coef_[0, 0], abs=1e-4)
    assert found.intercept == pytest.approx(expected.intercept_[0], abs=1e-4)
    assert (found.intercept, found.slope) == (pytest.approx(-1.2, abs=0.15), pytest.approx(0.6, abs=0.08))


def test_an_intercept_alone_makes_the_mean_risk_right_and_keeps_the_order():
    died, risk = hospital(500)
    found = recalibration.fit(died, risk, "intercept")
    moved = scores.recalibrated(risk, found.intercept, found.slope)
    assert found.slope == 1
    assert moved.mean() == pytest.approx(died.mean(), abs=1e-6)
    assert scores.auroc(died, moved) == pytest.approx(scores.auroc(died, risk), abs=1e-12)


@pytest.mark.parametrize(
    ("deaths", "level"), [(10, "intercept"), (99, "intercept"), (100, "slope"), (901, "intercept")]
)
def test_deaths_and_survivors_decide_the_level(deaths, level):
    assert recalibration.level_for(np.arange(1000) < deaths) == level


def test_too_few_deaths_are_refused():
    with pytest.raises(LimitError, match="1,000 stays with 9 deaths are too few"):
        recalibration.level_for(np.arange(1000) < 9)


def test_risks_that_fall_with_mortality_are_refused():
    died, risk = hospital(1000)
    with pytest.raises(InputError, match="do not rise with mortality"):
        recalibration.fit(died, 1 - risk, "slope")


def test_constant_risks_have_no_slope():
    died, _ = hospital(100)
    with pytest.raises(InputError, match="no finite recalibration"):
        recalibration.fit(died, np.full(100, 0.2), "slope")


def test_figures_after_come_from_fits_to_other_patients():
    died, risk = hospital(400)
    patients = np.arange(400) // 2
    after = recalibration.cross_fitted(died, risk, patients, "slope", 0)
    alone = recalibration.fit(died, risk, "slope")
    itself = scores.recalibrated(risk, alone.intercept, alone.slope)
    assert not np.allclose(after, itself), "each stay's own outcome had no part in it"
    changed = died.copy()
    changed[:2] = 1 - changed[:2]
    moved = recalibration.cross_fitted(changed, risk, patients, "intercept", 0)
    assert moved.shape == risk.shape
    found = recalibration.figures(died, risk, after, patients)
    assert abs(found["after"]["intercept"]) < 0.1 < abs(found["before"]["intercept"])
    assert found["after"]["slope"] == pytest.approx(1, abs=0.25)
    assert found["brier_difference"]["ci95"][1] < 0
    assert found["after"]["mean_risk"] == pytest.approx(died.mean(), abs=0.02)
