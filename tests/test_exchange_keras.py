"""Keras' networks, read without Keras: each small one equals its framework, or is refused with its reason."""

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
