"""Keras' networks, read without Keras: each small one equals its framework, or is refused with its reason."""

import h5py
import numpy as np
import pytest
from networks_of_others import HOURS, KERAS, Case

from mortcond.core.errors import InputError
from mortcond.exchange.compare import probing_stays
from mortcond.exchange.load import Given, load

keras = pytest.importorskip("keras")


def risks(model, stays: np.ndarray, case: Case) -> np.ndarray:
    """What Keras itself puts out for some stays."""
    values = model.predict_on_batch(stays.reshape((len(stays), *model.input_shape[1:])))
    if values.shape[1] == 2:
        return values[:, 1]
    return 1 / (1 + np.exp(-values[:, 0])) if "logit" in case.name else values[:, 0]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("case", KERAS, ids=lambda case: case.name)
def test_a_network_of_keras_equals_it_or_is_refused(case, suffix, tmp_path):
    model, path = case.make(), tmp_path / f"network{suffix}"
    model.save(path)
    if case.refused:
        with pytest.raises(InputError, match=case.refused):
            load(path, Given(output=case.output, compare=False))
        return
    network = load(path, Given(output=case.output, compare=False)).network
    stays = probing_stays(network)
    np.testing.assert_allclose(network.predict(stays), risks(model, stays, case), atol=1e-5)


@pytest.mark.parametrize("case", KERAS[::4], ids=lambda case: case.name)
def test_a_model_in_memory_is_the_same_network(case):
    from mortcond.exchange.builder import Output
    from mortcond.exchange.keras_live import from_keras

    if not case.refused:
        assert from_keras(case.make(), output=Output(case.output)).hours == HOURS


@pytest.mark.parametrize("kind", ["Rescaling", "Normalization"])
def test_a_mask_before_a_scaling_of_a_keras_that_may_not_hand_it_on_is_refused(kind, tmp_path):
    scaling = {"Rescaling": {"scale": 0.5}, "Normalization": {"mean": 1.0, "variance": 4.0}}[kind]
    layers = [keras.layers.Input((HOURS, 5)), keras.layers.Masking(), getattr(keras.layers, kind)(**scaling)]
    model = keras.Sequential([*layers, keras.layers.LSTM(3), keras.layers.Dense(1, activation="sigmoid")])
    model.save(tmp_path / "network.h5")
    with h5py.File(tmp_path / "network.h5", "r+") as file:
        file.attrs["keras_version"] = "3.0.0"
    with pytest.raises(InputError, match=f"{kind}.*reads a mask, which not every Keras hands on"):
        load(tmp_path / "network.h5", Given(compare=False))


def test_the_axis_of_a_normalisation_inside_time_distributed_is_that_of_one_hour(tmp_path):
    inner = keras.layers.BatchNormalization(axis=1)
    layers = [keras.layers.Input((5, 5)), keras.layers.TimeDistributed(inner), keras.layers.LSTM(3)]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.5, 1.5, array.shape) for array in model.get_weights()])
    model.save(tmp_path / "network.keras")
    network = load(tmp_path / "network.keras", Given(compare=False)).network
    stays = probing_stays(network)
    np.testing.assert_allclose(network.predict(stays), model.predict_on_batch(stays)[:, 0], atol=1e-5)
