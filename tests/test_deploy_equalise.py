"""Equalised weights predict the same, and one scale a matrix fits them better."""

import numpy as np
import pytest
from condense_networks import GENERAL, dnn, hlstm, lstm, stays

from mortcond.deploy.equalise import equalise
from mortcond.deploy.rounding import quantise
from mortcond.network import Network

PAIRS = [("dense.0.kernel", "dense.0.bias", "dense.1.kernel"), ("hidden.0", None, "output")]  # into, bias, out of


def uneven(network: Network) -> Network:
    """Return the same network with ReLU units of very unlike ranges: what goes in is scaled, what comes out as much."""
    arrays, generator = dict(network.arrays()), np.random.default_rng(1)
    for into, bias, out_of in PAIRS:
        prefixes = [name.removesuffix(into) for name in arrays if name.endswith(into)]
        for prefix in [prefix for prefix in prefixes if prefix + out_of in arrays]:
            name = prefix + into
            factor = 10.0 ** generator.uniform(-2, 2, arrays[name].shape[1])
            arrays[name] = arrays[name] * factor
            arrays[prefix + out_of] = arrays[prefix + out_of] / factor[:, None]
            if bias:
                arrays[prefix + bias] = arrays[prefix + bias] * factor
    return network.with_arrays(arrays)


def rounded(network: Network) -> Network:
    def to_eight_bits(array: np.ndarray) -> np.ndarray:
        stored, quantization = quantise(array)
        return stored * quantization.scale

    arrays = network.arrays()
    return network.with_arrays(
        {name: to_eight_bits(array) if array.ndim == 2 else array for name, array in arrays.items()}
    )


NETWORKS = [dnn(), hlstm(hidden=(5,)), hlstm(hidden=(5,), layers=2), lstm(), *(make() for make in GENERAL.values())]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.arch)
def test_the_network_predicts_the_same(network):
    x, _ = stays()
    network = uneven(network)
    assert equalise(network).predict(x) == pytest.approx(network.predict(x), abs=1e-12)


@pytest.mark.parametrize("network", [dnn(), hlstm(hidden=(5,))], ids=lambda network: network.arch)
def test_eight_bits_lose_less(network):
    x, _ = stays(count=200)
    network = uneven(network)
    expected = network.predict(x)
    before, after = (np.abs(rounded(form).predict(x) - expected).mean() for form in (network, equalise(network)))
    assert after < before / 4


def test_a_unit_that_nothing_reaches_is_left_as_it_is():
    network = dnn()
    kernel = network["dense.0"].kernel.copy()
    kernel[:, 2] = 0
    dead = network.with_arrays(network.arrays() | {"dense.0.kernel": kernel})
    x, _ = stays()
    assert equalise(dead).predict(x) == pytest.approx(dead.predict(x), abs=1e-12)


def test_all_dense_matrices_get_one_scale():
    network = equalise(uneven(dnn()))
    scales = {float(quantise(layer.kernel.T)[1].scale[0]) for layer in (node.layer for node in network.tail)}
    assert len(scales) == 1
