"""Pruning, part by part: what is cut, what a channel is worth, which stay, and when."""

import numpy as np
import pytest
from condense_networks import GENERAL, dnn, hlstm, lstm, stays
from hypothesis import given, settings
from hypothesis import strategies as st

from mortcond.channels import groups
from mortcond.condense.cut import cut, silence
from mortcond.condense.schedule import plan
from mortcond.condense.score import dissimilarity, input_weights, loss_changes, score
from mortcond.condense.select import Amount, normalised, removed_at_quantile, select
from mortcond.core.choices import Method, PruneSchedule
from mortcond.core.errors import UsageError

NETWORKS = {
    "lstm": lambda: lstm((5, 4)),
    "lstm of one layer": lambda: lstm((5,)),
    "lstm of three layers": lambda: lstm((6, 3, 5)),
    "hlstm": lambda: hlstm(4, (5,)),
    "hlstm with two hidden layers": lambda: hlstm(4, (5, 3)),
    "two layers of hlstm": lambda: hlstm(4, (5,), layers=2),
    "dnn": dnn,
    **GENERAL,
}


@pytest.mark.parametrize("axis", ["units", "hidden", "both"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_pruned_network_equals_the_full_one_with_those_channels_silenced(name, axis):
    network, (x, _) = NETWORKS[name](), stays()
    scores = score(network, "random", groups(network, axis), seed=3)
    kept = select(scores, Amount(0.5))
    pruned = cut(network, kept)
    np.testing.assert_allclose(pruned.predict(x), silence(network, kept).predict(x), atol=1e-6, rtol=0)
    if scores:
        assert pruned.parameters < network.parameters
        assert np.abs(pruned.predict(x) - network.predict(x)).max() > 1e-3, "these channels did something"


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_and_scope_gives_a_network_equal_to_the_silenced_one(name, scope, method):
    network, (x, y) = NETWORKS[name](), stays()
    scores = score(network, method, groups(network), x, y)
    assert {group: len(values) for group, values in scores.items()} == {g.name: g.size for g in groups(network)}
    kept = select(scores, Amount(0.6, scope=scope))
    pruned = cut(network, kept)
    assert all(len(indices) >= 1 for indices in kept.values())
    np.testing.assert_allclose(pruned.predict(x), silence(network, kept).predict(x), atol=1e-6, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_channels_of_any_gate_may_go(data):
    network, (x, _) = hlstm(4, (5, 3), layers=2), stays(6)
    kept = {
        group.name: np.array(sorted(data.draw(st.sets(st.integers(0, group.size - 1), min_size=1))))
        for group in groups(network)
    }
    pruned = cut(network, kept)
    assert [group.size for group in groups(pruned)] == [len(indices) for indices in kept.values()]
    np.testing.assert_allclose(pruned.predict(x), silence(network, kept).predict(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("network", "full", "half"),
    [
        (lambda: lstm((16, 16), 76), 8081, 3273),
        (lambda: dnn((256, 128, 64), 76), 60929, 20225),
        (lambda: hlstm(16, (16,), 76), 6993, 2985),
    ],
)
def test_parameter_counts_of_the_paper(network, full, half):
    network = network()
    kept = select(score(network, "mean", groups(network)), Amount(0.5))
    assert network.parameters == full
    assert cut(network, kept).parameters == half


def test_hidden_neurons_of_the_gates_are_an_axis_of_their_own():
    network = hlstm(16, (16,), 76)
    by_axis = {axis: [group.name for group in groups(network, axis)] for axis in ("units", "hidden", "both")}
    assert by_axis["units"] == ["recurrent.0"]
    assert len(by_axis["hidden"]) == 4
    assert set(by_axis["both"]) == {*by_axis["units"], *by_axis["hidden"]}
    kept = select(score(network, "mean", groups(network, "hidden")), Amount(0.5))
    assert cut(network, kept)["recurrent.0"].units == 16


# Scores


def test_mean_is_the_mean_absolute_weight_over_the_four_gates():
    network = lstm((3,))
    layer = network["recurrent.0"]
    unit_1 = [layer.kernel[:, gate * 3 + 1] for gate in range(4)] + [
        layer.recurrent_kernel[:, gate * 3 + 1] for gate in range(4)
    ]
    scores = score(network, "mean", groups(network))
    assert scores["recurrent.0"][1] == pytest.approx(np.abs(np.concatenate(unit_1)).mean())
    assert score(network, "l2", groups(network))["recurrent.0"][1] == pytest.approx(
        np.linalg.norm(np.concatenate(unit_1))
    )


def test_input_weights_of_a_hidden_neuron_are_its_column_of_h():
    network = hlstm(4, (5,))
    forget = next(group for group in groups(network) if group.name == "recurrent.0.forget.hidden.0")
    np.testing.assert_array_equal(input_weights(network, forget), network["recurrent.0"].hidden_gates[1].hidden[0].T)


@pytest.mark.parametrize("name", NETWORKS)
def test_first_order_change_of_the_loss_matches_a_weakened_channel(name):
    network, (x, y) = NETWORKS[name](), stays(8)
    group = groups(network)[0]
    changes = loss_changes(network, [group], x, y)[group.name]
    arrays = {key: array.astype(float).copy() for key, array in network.arrays().items()}
    weaker = 0.999
    for slot in group.outgoing:
        arrays[slot.array][slot.of(np.array([0]))] *= weaker
    risk, before = network.with_arrays(arrays).predict(x), network.predict(x)
    loss = [-np.where(y == 1, np.log(p), np.log(1 - p)) for p in (risk, before)]
    np.testing.assert_allclose(changes[:, 0], (loss[0] - loss[1]) / (1 - weaker), atol=2e-3)


def test_taylor_and_fisher_find_the_channel_that_nobody_reads():
    network, (x, y) = dnn((6,)), stays()
    arrays = network.arrays()
    arrays["dense.1.kernel"] = arrays["dense.1.kernel"].copy()
    arrays["dense.1.kernel"][4] = 0
    arrays["dense.0.bias"] = arrays["dense.0.bias"] + 1  # all of them speak
    silent = network.with_arrays(arrays)
    for method in ("taylor", "fisher"):
        scores = score(silent, method, groups(silent), x, y)["dense.0"]
        assert np.argmin(scores) == 4
        assert scores[4] == pytest.approx(0, abs=1e-12)


def test_correlation_removes_one_of_two_twins_and_the_constant_first():
    generator = np.random.default_rng(0)
    free = generator.normal(size=(200, 3))
    outputs = np.column_stack([free[:, 0], 2 * free[:, 0] + 1, free[:, 1], free[:, 2], np.full(200, 7.0)])
    scores = dissimilarity(outputs)
    assert np.argsort(scores, kind="stable")[:2].tolist() == [4, 0]
    assert scores[1] > 0.5, "the twin that is left is alone"


def test_random_depends_on_the_seed_alone():
    network = lstm()
    first, again, other = (score(network, "random", groups(network), seed=seed)["recurrent.0"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_data_beyond_the_sample_are_thinned_by_the_seed(monkeypatch):
    monkeypatch.setattr("mortcond.condense.score.STAYS", 4)
    network, (x, y) = dnn(), stays(30)
    drawn = np.sort(np.random.default_rng(5).permutation(30)[:4])
    expected = score(network, "fisher", groups(network), x[drawn], y[drawn])
    np.testing.assert_array_equal(score(network, "fisher", groups(network), x, y, 5)["dense.1"], expected["dense.1"])


# Selection


@pytest.mark.parametrize(
    ("size", "quantile", "gone"),
    [(16, 0.5, 8), (256, 0.5, 128), (16, 0.1, 2), (16, 0.9, 14), (16, 0.0, 0), (11, 0.1, 1), (1, 0.9, 0), (2, 0.99, 1)],
)
def test_as_many_go_as_lie_below_the_quantile(size, quantile, gone):
    assert removed_at_quantile(size, quantile) == gone
    values = np.random.default_rng(size).permutation(size).astype(float)
    assert (values < np.quantile(values, quantile)).sum() == gone, "the definition"
    assert len(select({"layer": values}, Amount(quantile))["layer"]) == size - gone


def test_equal_scores_do_not_change_the_count():
    kept = select({"layer": np.ones(16)}, Amount(0.5))["layer"]
    assert kept.tolist() == list(range(8, 16))


def test_over_all_layers_the_weak_layer_loses_more_but_never_all():
    scores = {"weak": np.array([0.1, 0.2, 0.3]), "strong": np.array([1.0, 2, 3, 4, 5])}
    kept = select(scores, Amount(0.5, scope="global"))
    assert kept["weak"].tolist() == [2]
    assert kept["strong"].tolist() == [2, 3, 4]
    assert {len(indices) for indices in select(scores, Amount(0.99, scope="global")).values()} == {1}


def test_keep_gives_the_number_of_units_of_all_or_each_layer():
    scores = {"a": np.arange(8.0), "b": np.arange(6.0)[::-1]}
    assert {name: len(kept) for name, kept in select(scores, Amount(keep=(4,))).items()} == {"a": 4, "b": 4}
    kept = select(scores, Amount(keep=(2, 5)))
    assert kept["a"].tolist() == [6, 7]
    assert kept["b"].tolist() == [0, 1, 2, 3, 4]


def test_gradual_steps_end_where_one_step_would():
    sizes = {"a": 16, "b": 7}
    scores = {"a": np.arange(16.0), "b": np.arange(7.0)}
    for amount in (Amount(0.6), Amount(0.6, scope="global"), Amount(keep=(3,))):
        left = scores
        for _, share in plan("gradual", parent_epochs=20).cuts:
            kept = select(left, amount, sizes, share)
            left = {name: values[kept[name]] for name, values in left.items()}
        once = select(scores, amount)
        assert {name: len(values) for name, values in left.items()} == {name: len(kept) for name, kept in once.items()}


def test_normalised_scores_compare_layers_of_unlike_weights():
    scores = normalised({"wide": np.array([0.1, 0.3]), "narrow": np.array([10.0, 30.0])})
    np.testing.assert_allclose(scores["wide"], scores["narrow"])


# Schedules


def test_the_papers_schedule_prunes_after_the_first_epoch_and_trains_nineteen_more():
    assert plan("epoch", parent_epochs=20).stages() == [(1.0, 2, 20)]


def test_rewind_scores_the_trained_parent():
    assert plan("rewind", parent_epochs=20, after_epoch=2).score_trained
    assert plan("rewind", parent_epochs=20, after_epoch=2).stages() == [(1.0, 3, 20)]


def test_final_adds_fine_tuning_to_the_parents_epochs():
    assert plan("final", parent_epochs=20).stages() == [(1.0, 21, 30)]
    assert plan("final", parent_epochs=20, epochs=20).stages() == [(1.0, 21, 20)], "no fine-tuning"


def test_gradual_cuts_less_and_less_and_trains_between():
    stages = plan("gradual", parent_epochs=20, steps=4).stages()
    assert [(first, last) for _, first, last in stages] == [(2, 3), (4, 5), (6, 7), (8, 20)]
    shares = [share for share, _, _ in stages]
    assert shares[-1] == 1
    assert np.all(np.diff(np.diff([0, *shares])) < 0)


@pytest.mark.parametrize("schedule", list(PruneSchedule))
@pytest.mark.parametrize("epochs", [2, 3, 20])
def test_every_schedule_trains_each_epoch_once(schedule, epochs):
    stages = plan(schedule, parent_epochs=epochs).stages()
    trained = [epoch for _, first, last in stages for epoch in range(first, last + 1)]
    assert trained == list(range(trained[0], trained[-1] + 1))
    assert stages[-1][0] == 1


def test_epochs_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="trained for 5 epochs"):
        plan("epoch", parent_epochs=5, after_epoch=6)
    with pytest.raises(UsageError, match="at least 3"):
        plan("epoch", parent_epochs=5, after_epoch=3, epochs=2)
