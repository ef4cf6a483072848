"""Summaries of measured hours against a plain loop, and wherever else they are computed; hinges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mortcond.layers import Dense, Hinges, Measured
from mortcond.layers.measured import KINDS, SHRINKAGE, of_features
from mortcond.layers.operations import NUMPY
from mortcond.network import Network, Node, chain

NAMES = ("Heart rate", "GCS->1", "GCS->2", "pH", "static->age", "mask->Heart rate", "mask->GCS", "mask->pH")
MASKS = (5, 6, 6, 7, -1, -1, -1, -1)
HOURS = 6


def stays(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 2, (count, HOURS, len(NAMES))).astype(np.float32)
    x[:, :, 5:] = generator.random((count, HOURS, 3)) < 0.4
    x[0, :, 5:] = 0  # nothing was ever measured
    return x


def plainly(values: np.ndarray, mask: np.ndarray, kind: str) -> float:
    """One summary of one number of one stay, (hours,) each, by what its name says; nan where it is unknown."""
    measured = np.flatnonzero(mask > 0)
    if kind == "count":
        return np.log1p(len(measured))
    if kind == "since":
        return len(mask) - (measured[-1] + 1) if len(measured) else len(mask)
    if not len(measured):
        return np.nan
    held = values[measured].astype(float)
    if kind == "slope":
        apart = measured - measured.mean()
        return (apart * held).sum() / ((apart**2).sum() + SHRINKAGE)
    found = {"last": held[-1], "first": held[0], "least": held.min(), "largest": held.max()}
    return (found | {"mean": held.mean(), "deviation": held.std()})[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_summary_is_what_a_plain_loop_gives(kind):
    x, layer = stays(30), Measured((0, 3), (5, 7), (kind,))
    raw, known = layer._raw(NUMPY, x), layer._known(NUMPY, x)
    for stay in range(len(x)):
        for place, (number, mask) in enumerate(((0, 5), (3, 7))):
            expected = plainly(x[stay, :, number], x[stay, :, mask], kind)
            assert known[stay, place] == (not np.isnan(expected))
            if not np.isnan(expected):
                assert raw[stay, place] == pytest.approx(expected, abs=1e-4)


@given(arrays(np.bool_, (5, HOURS)), st.sampled_from(sorted(KINDS)))
def test_hours_without_a_measurement_do_not_matter(mask, kind):
    x = stays(5)
    x[:, :, 5] = mask
    other = np.where(x[:, :, 5:6] > 0, x, 777.0).astype(np.float32)
    other[:, :, 5:] = x[:, :, 5:]
    layer = Measured((0,), (5,), (kind,)).fitted(stays(40, seed=2))
    np.testing.assert_allclose(layer.forward(NUMPY, {}, other), layer.forward(NUMPY, {}, x), atol=1e-4)


def test_never_measured_is_the_training_median_and_what_is_far_counts_as_the_99th_percentile():
    x = stays(200)
    layer = Measured((0,), (5,), ("mean",)).fitted(x)
    measured = x[:, :, 5].sum(1) > 0
    means = (x[..., 0] * x[..., 5]).sum(1)[measured] / x[:, :, 5].sum(1)[measured]
    assert layer.missing[0] == pytest.approx(np.median(means), rel=1e-5)
    far = x.copy()
    far[3, :, 0], far[3, :, 5] = 1e6, 1
    assert layer.forward(NUMPY, {}, far)[3, 0] == pytest.approx((layer.high[0] - layer.centre[0]) / layer.spread[0])
    assert layer.forward(NUMPY, {}, x)[0, 0] == pytest.approx((layer.missing[0] - layer.centre[0]) / layer.spread[0])


def test_training_stays_come_out_standardised():
    x = stays(300)
    z = of_features(NAMES, MASKS, tuple(KINDS)).fitted(x).forward(NUMPY, {}, x)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-3)


def test_a_summary_that_never_varies_says_nothing():
    x = stays(50)
    x[:, :, 4] = 3.0
    z = of_features(NAMES, MASKS).fitted(x).forward(NUMPY, {}, x)
    age = 4  # of "last", the first kind: after two numbers' and two categories' own
    assert np.abs(z[:, age]).max() < 1e-6
    assert np.abs(z[:, 0]).max() > 0.5


def test_categories_and_static_facts_have_fewer_summaries():
    layer = of_features(NAMES, MASKS)
    assert layer.width(hours=HOURS) == 2 * 5 + 2 * 2 + 1  # two numbers, two categories, age
    origins = layer.carried(np.arange(len(NAMES)), hours=HOURS)
    assert sorted(set(origins.tolist())) == [0, 1, 2, 3, 4]
    assert np.count_nonzero(origins == 4) == 1


def network() -> Network:
    x, generator = stays(100, seed=5), np.random.default_rng(0)
    measured = of_features(NAMES, MASKS, tuple(KINDS))
    width = 4 * measured.width(hours=HOURS)
    output = Dense(generator.normal(0, 0.1, (width, 1)), np.zeros(1), "sigmoid")
    nodes = [Node("measured", measured), Node("hinges", Hinges(), ("measured",)), Node("o", output, ("hinges",))]
    return chain("wide", len(NAMES), HOURS, nodes).fitted(x)


def test_hinges_are_what_lies_beyond_a_quantile():
    x = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    layer = Hinges((0.5,)).fitted(x)
    beyond = np.maximum(x - np.quantile(x, 0.5, axis=0), 0)
    np.testing.assert_allclose(layer.forward(NUMPY, {}, x), np.concatenate([x, beyond], axis=1), atol=1e-6)


def test_the_statistics_are_saved_and_no_weights(tmp_path):
    net = network()
    net.save(tmp_path / "network.npz")
    read = Network.load(tmp_path / "network.npz")
    assert read.structure() == net.structure()
    assert read.parameters == len(net["o"].kernel) + 1
    np.testing.assert_array_equal(read.predict(stays(9)), net.predict(stays(9)))


def test_keras_and_litert_give_the_same():
    from ai_edge_litert.interpreter import Interpreter

    from mortcond.deploy.tflite import build
    from mortcond.exchange.keras_model import to_keras

    net, x = network(), stays(20, seed=7)
    expected = net.predict(x)
    np.testing.assert_allclose(to_keras(net).predict_on_batch(x)[:, 0], expected, atol=1e-5)
    runner = Interpreter(model_content=build(net).bytes).get_signature_runner("serving_default")
    np.testing.assert_allclose(runner(stays=x)["risk"][:, 0], expected, atol=1e-5)


def test_a_file_of_keras_is_read_back(tmp_path):
    from mortcond.exchange.keras_model import to_keras
    from mortcond.exchange.load import load

    net, x = network(), stays(20, seed=7)
    to_keras(net).save(tmp_path / "network.keras")
    np.testing.assert_allclose(load(tmp_path / "network.keras").network.predict(x), net.predict(x), atol=1e-6)
