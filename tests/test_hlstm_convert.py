"""A hidden-layer LSTM in the place of a trained LSTM."""

import numpy as np
import pytest
from condense_networks import hlstm, lstm, stays

from mortcond.condense.distil import soft_targets
from mortcond.condense.hlstm_convert import from_parent
from mortcond.core.console import Console


def distance(child, parent, x) -> float:
    return float(np.abs(child.predict(x) - parent.predict(x)).mean())


@pytest.mark.parametrize("units", [(5, 4), (4, 4), (3, 6), (4,), (4, 5, 4)])
@pytest.mark.parametrize("hidden", [(4,), (12,), (6, 6), (3, 5)])
def test_a_child_that_starts_from_its_parent_is_nearer_to_it_than_one_from_scratch(units, hidden):
    parent, (x, _) = lstm(units), stays(60)
    initial = hlstm(units[-1], hidden, seed=1)
    started = from_parent(parent, initial, x)
    assert [array.shape for array in started.arrays().values()] == [a.shape for a in initial.arrays().values()]
    unseen, _ = stays(60, seed=9)
    assert distance(started, parent, unseen) < 0.6 * distance(initial, parent, unseen)


def test_one_layer_and_twice_the_width_give_the_parent_itself():
    parent, (x, _) = lstm((4,)), stays(60)
    started = from_parent(parent, hlstm(4, (8,), seed=1), x)
    unseen, _ = stays(30, seed=9)
    np.testing.assert_allclose(started.predict(unseen), parent.predict(unseen), atol=1e-4)


def test_the_child_has_the_papers_size():
    child = from_parent(lstm((16, 16), 76), hlstm(16, (16,), 76, seed=1), stays(40, 76)[0])
    assert (child.arch, child.parameters) == ("hlstm", 6993)


def test_soft_targets_are_the_teachers_risks(monkeypatch):
    monkeypatch.setattr("mortcond.condense.distil.STAYS_AT_A_TIME", 7)
    teacher, (x, _) = lstm(), stays(20)
    risks = soft_targets(teacher, x, Console(quiet=True))
    assert risks.dtype == np.float32
    np.testing.assert_allclose(risks, teacher.predict(x), atol=1e-5)
