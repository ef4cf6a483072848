"""How training walks a network: what is computed once, which nodes share a loop, each form equal to the plain one."""

from dataclasses import replace

import numpy as np
import pytest
from training_data import FEATURES, HOURS, split
from training_networks import NETWORKS, bidirectional, gru, hidden_lstm, joined, lstm, network, over_hours

from mortcond.core.tensorflow import tf
from mortcond.layers import Dropout
from mortcond.layers.operations import NUMPY
from mortcond.network import INPUT, evaluate, own_arrays
from mortcond.training.batches import flat
from mortcond.training.forward import Noise, without_features
from mortcond.training.settings import TrainSettings
from mortcond.training.tensorflow_backend import gates, loop
from mortcond.training.tensorflow_backend.epoch import _logits, _noise
from mortcond.training.tensorflow_backend.operations import TENSORFLOW
from mortcond.training.walk import Loop, Walk

X = split(9, 5).X


def loops(network) -> list[tuple[list[list[str]], bool]]:
    found = [step for step in Walk(network).order if isinstance(step, Loop)]
    return [([[node.name for node in stack] for stack in step.stacks], step.gated) for step in found]


@pytest.mark.parametrize("name", NETWORKS)
def test_risk_and_gradient_equal_those_of_the_plain_walk(name):
    network, walk = NETWORKS[name], Walk(NETWORKS[name])
    weights = tf.constant(flat(network))
    data = {key: tf.constant(values) for key, values in walk.prepare(X).items()}
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits = _logits(walk, weights, data, Noise())
    gradient = tape.gradient(logits, weights)
    with tf.GradientTape() as tape:
        named = {key: tf.constant(array) for key, array in network.arrays().items()}
        tape.watch(named)
        values = evaluate(network, TENSORFLOW, named, tf.constant(X))
        output = network.output
        plain = output.layer.sums(TENSORFLOW, own_arrays(named, output), values[output.inputs[0]])[:, 0]
    expected = tf.concat([tf.reshape(part, [-1]) for part in tape.gradient(plain, named).values()], 0)
    np.testing.assert_allclose(logits, plain, atol=1e-5)
    np.testing.assert_allclose(gradient, expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(tf.sigmoid(plain), network.predict(X), atol=1e-5)


@pytest.mark.parametrize("make", [lstm, hidden_lstm])
def test_both_kinds_of_loop_give_the_same_with_recurrent_dropout(make):
    network = bidirectional(make)
    (first, *_) = (step for step in Walk(network).order if isinstance(step, Loop))
    values = {name: tf.constant(array) for name, array in network.values(X).items()}
    kept = _noise(Walk(network), TrainSettings(recurrent_dropout=0.5), len(X), np.array([1, 2]), 3).states
    weights = {name: tf.constant(array) for name, array in network.arrays().items()}
    found = []
    for room in (gates, loop):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs = room.run(first, weights, values, kept)
            total = tf.reduce_sum([tf.reduce_sum(tf.sin(own)) for own in outputs.values()])
        found.append((outputs, tape.gradient(total, weights)))
    (one, one_gradient), (other, other_gradient) = found
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], atol=1e-6)
        assert np.abs(array - values[name]).max() > 1e-2  # something was dropped
    for name, array in one_gradient.items():
        if array is not None:
            np.testing.assert_allclose(array, other_gradient[name], atol=1e-5)


def test_a_gru_carries_its_whole_state_past_recurrent_dropout():
    layer = network("gru", width=3, layers=1)["recurrent.0"]
    closed = replace(layer, bias=np.repeat(np.float32([50, 0, 0]), 3))  # update = 1: the state stays
    h = np.ones((2, 3), np.float32)
    z = np.tile(closed.bias, (2, 1))
    (after,) = closed.step(NUMPY, closed.arrays(), z, h, kept=np.zeros_like(h))
    np.testing.assert_allclose(after, h)


def test_what_no_epoch_changes_is_computed_once():
    walk = Walk(joined())
    assert [node.name for node in walk.once] == ["some", "masking", "summary"]
    assert walk.data == (INPUT, "masking", "summary")
    assert "some" in [node.name for node in walk.every_batch]  # as large as the stays: not kept
    data = walk.prepare(X)
    values = joined().values(X)
    assert data[INPUT] is X
    np.testing.assert_allclose(data["summary"], values["summary"], atol=1e-6)
    np.testing.assert_array_equal(data["masking"], values["masking"])


def test_a_network_on_summaries_needs_no_stays():
    assert Walk(NETWORKS["dnn"]).data == ("summary",)
    assert Walk(over_hours()).data == (INPUT, "masking")


def test_dropout_right_after_a_summary_is_drawn_anew_in_every_batch():
    network = NETWORKS["dnn full"]
    network = replace(network, nodes=tuple(node for node in network.nodes if node.name != "dropout"))
    nodes = [network.nodes[0], replace(network.nodes[0], name="drop", layer=Dropout(0.5), inputs=("summary",))]
    nodes += [
        replace(node, inputs=("drop" if name == "summary" else "dense.0",))
        for node, name in ((network.nodes[1], "summary"), (network.nodes[2], "dense.0"))
    ]
    walk = Walk(replace(network, nodes=tuple(nodes)))
    assert walk.data == ("summary",)
    assert "drop" in [node.name for node in walk.every_batch]


def test_recurrent_nodes_over_the_same_hours_share_a_loop():
    assert loops(NETWORKS["deep lstm"]) == [([["recurrent.0", "recurrent.1", "recurrent.2"]], True)]
    both = [([["forward.0"], ["backward.0"]], True), ([["forward.1"], ["backward.1"]], True)]
    assert loops(bidirectional(lstm)) == both
    assert loops(bidirectional(gru)) == [(stacks, False) for stacks, _ in both]
    assert loops(joined()) == [
        ([["deep.0", "deep.1"], ["bare"]], True),
        ([["wide", "wider"], ["relu"]], False),
    ]


def test_a_feature_that_is_dropped_goes_from_its_summaries_too():
    walk = Walk(joined())
    data = {name: tf.constant(values) for name, values in walk.prepare(X).items()}
    factors = np.ones((len(X), FEATURES), np.float32)
    factors[:, 2] = 0
    left = without_features(walk, TENSORFLOW, data, tf.constant(factors))
    assert not np.any(left[INPUT][:, :, 2])
    np.testing.assert_array_equal(left["masking"], data["masking"])
    summary = np.reshape(left["summary"], (len(X), 6, FEATURES))
    assert not np.any(summary[:, :, 2])
    others = np.arange(FEATURES) != 2
    np.testing.assert_array_equal(summary[:, :, others], np.reshape(data["summary"], summary.shape)[:, :, others])


def test_dropped_units_are_as_many_as_asked_and_the_rest_is_scaled_up():
    settings, walk = TrainSettings(input_dropout=0.25, recurrent_dropout=0.5), Walk(joined())
    noise = _noise(walk, settings, 4000, np.array([1, 2]), 3)
    assert set(noise.states) == {node.name for node in walk.network.recurrent}
    found = [(noise.inputs, 0.25), (noise.states["wide"], 0.5), (noise.units["dropout.0"], 0.2)]
    for factors, rate in [*found, (noise.units["dropout.1"], 0.3)]:
        values = np.asarray(factors)
        assert set(np.unique(values).round(5)) == {0, np.float32(1 / (1 - rate)).round(5)}
        assert (values == 0).mean() == pytest.approx(rate, abs=0.02)
    assert noise.inputs.shape == (4000, FEATURES)
    assert HOURS > 1  # one draw for all hours


def test_every_dropout_layer_has_random_numbers_of_its_own():
    generator = np.random.default_rng(0)
    nodes = [node for node in network("dnn", width=6, layers=1, summary="full").nodes if node.name != "dropout"]
    drops, source = [], "dense.0"
    for index in range(10):  # more than there are streams in a step
        drops.append(replace(nodes[0], name=f"drop.{index}", layer=Dropout(0.5), inputs=(source,)))
        source = f"drop.{index}"
    many = replace(network("dnn"), nodes=(*nodes[:2], *drops, replace(nodes[2], inputs=(source,))))
    place = generator.integers(2**30, size=2, dtype=np.int32)
    drawn = [
        np.asarray(factors).tobytes()
        for step in range(3)
        for factors in _noise(Walk(many), TrainSettings(), 50, place, step).units.values()
    ]
    assert len(set(drawn)) == 30
