"""Rounding to 8 bits: what it must keep, and what it gains by looking at the inputs."""

import numpy as np
import pytest
from condense_networks import GENERAL, dnn, hlstm, lstm, stays
from hypothesis import given, settings
from hypothesis import strategies as st

from mortcond.deploy import tflite
from mortcond.deploy.moments import second_moments
from mortcond.deploy.rounding import INT8_LIMIT, quantise
from mortcond.deploy.weights import row_factors


def inputs_alike(observations=400, inputs=12, seed=0) -> np.ndarray:
    """Return inputs that have much in common, as features of stays do."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(observations, 3)) @ generator.normal(size=(3, inputs))
    return common + 0.1 * generator.normal(size=(observations, inputs))


@pytest.mark.parametrize("seed", range(5))
def test_products_with_inputs_that_are_alike_change_much_less(seed):
    x, rows = inputs_alike(seed=seed), np.random.default_rng(seed + 100).normal(size=(30, 12))
    errors = []
    for moments in (None, x.T @ x):
        stored, quantization = quantise(rows, moments)
        errors.append(np.square(x @ (stored * quantization.scale[0] - rows).T).sum())
    assert errors[1] < 0.5 * errors[0]


def test_independent_inputs_are_rounded_to_the_nearest():
    rows = np.random.default_rng(0).normal(size=(7, 5))
    np.testing.assert_array_equal(quantise(rows, np.eye(5))[0], quantise(rows)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.booleans())
def test_stored_numbers_are_within_eight_bits_and_zeros_stay(seed, exponent, learned):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(5, 6)) * 2.0**exponent
    rows[:, generator.integers(6)] = 0
    rows[generator.integers(5)] = 0
    x = generator.normal(size=(9, 6))
    stored, quantization = quantise(rows, x.T @ x if learned else None)
    assert stored.dtype == np.int8
    assert np.abs(stored).max(initial=0) <= INT8_LIMIT
    assert (stored[rows == 0] == 0).all()
    if not learned:
        step = float(quantization.scale[0])
        assert np.abs(stored * step - rows).max() <= 0.5 * step * (1 + 1e-6)


def test_inputs_that_were_never_other_than_zero_do_no_harm():
    rows = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_array_equal(quantise(rows, np.zeros((3, 3)))[0], quantise(rows)[0])
    x = inputs_alike(inputs=3)
    x[:, 1] = 0
    assert np.abs(quantise(rows, x.T @ x)[0].astype(int) - quantise(rows)[0]).max() < 40


def test_a_scale_is_used_again_where_it_is_large_enough():
    _, large = quantise(np.array([[1.0]]))
    stored, same = quantise(np.array([[0.5, -0.1]]), like=large)
    assert same.scale[0] == large.scale[0]
    assert stored.tolist() == [[63, -13]]
    assert quantise(np.array([[2.0]]), like=large)[1].scale[0] > large.scale[0]


def test_row_factors_stretch_every_row_to_the_same_range():
    kernel = np.random.default_rng(0).normal(size=(6, 4)) * np.array([1, 0.01, 5, 0])
    stretched = kernel / row_factors(kernel)
    largest = np.abs(stretched).max(0)
    np.testing.assert_allclose(largest, [largest[0], largest[0], largest[0], 0], rtol=1e-6)


NETWORKS = {
    "lstm": lstm(),
    "lstm of one layer": lstm((4,)),
    "lstm of three layers": lstm((4, 3, 2)),
    "hlstm of two layers": hlstm(layers=2),
    "dnn": dnn(),
    **{name: make() for name, make in GENERAL.items()},
    "dnn with masks": dnn(masks=(4, 5, -1, -1, -1, -1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_there_are_moments_for_every_matrix_of_a_graph(name, monkeypatch):
    network, asked = NETWORKS[name], {}
    monkeypatch.setattr(
        "mortcond.deploy.weights.quantise",
        lambda rows, moments=None, like=None: (
            asked.setdefault(len(asked), (rows, moments, like)),
            quantise(rows, moments, like),
        )[1],
    )
    tflite.build(network, "int8", stays()[0])
    matrices = [(rows, moments) for rows, moments, like in asked.values() if like is None]
    assert len(matrices) >= len(network.tail)
    for rows, moments in matrices:
        assert moments.shape == (rows.shape[1],) * 2
        assert np.linalg.eigvalsh(moments).min() > -1e-6 * max(moments.max(), 1)


def test_moments_of_a_dense_layer_are_those_of_its_inputs():
    network, (x, _) = dnn(), stays()
    first = x.mean(1).astype(np.float64)
    found = second_moments(network, x)
    np.testing.assert_allclose(found["dense.0"], first.T @ first, rtol=1e-5)
    second = np.maximum(first @ network["dense.0"].kernel + network["dense.0"].bias, 0)
    np.testing.assert_allclose(found["dense.1"], second.T @ second, rtol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "hlstm of two layers", "dnn"])
def test_risks_come_nearer_to_the_parents(name):
    from pathlib import Path

    from mortcond.deploy.runtime import Worker

    network = NETWORKS[name]
    known, _ = stays(300, seed=1)
    known += np.linspace(-1, 1, 300, dtype=np.float32)[:, None, None] * (known != 0)
    held, expected = known[::2], network.predict(known[::2])
    changes = []
    for learned in (None, known[1::2]):
        worker = Worker(tflite.build(network, "int8", learned).bytes, Path("model.tflite"))
        changes.append(np.abs(worker.run(held) - expected).mean())
    assert changes[1] < changes[0]


def test_a_layer_that_is_all_zeros_is_written():
    network = dnn((), masks=(4, 5, -1, -1, -1, -1))
    network = network.with_arrays({name: array * 0 for name, array in network.arrays().items()})
    assert tflite.build(network, "int8", stays()[0]).bytes
