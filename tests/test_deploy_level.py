"""A new level in a `.tflite` file: risks move on the logit scale, in every mode and for every kind of network."""

import json
from pathlib import Path

import numpy as np
import pytest
from export_networks import NETWORKS
from test_network import stays

from mortcond.core.errors import InputError
from mortcond.deploy import integer, level, metadata
from mortcond.deploy.outline import outline
from mortcond.deploy.recovered import recover
from mortcond.deploy.runtime import Worker
from mortcond.deploy.tflite import build
from mortcond.deploy.weights import MODES
from mortcond.scores import recalibrated

SUMMARISED = ("measured", "wide")  # of logarithms: of counts, which are not below zero


def own_risks(data: bytes, x: np.ndarray) -> np.ndarray:
    return Worker(data, Path("file")).run(x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_risks_are_moved_and_nothing_else_is(name, mode):
    network = NETWORKS[name]()
    if mode == "integer" and not integer.fits(network):
        return
    x = np.abs(stays()) if name in SUMMARISED else stays()
    data, told = build(network, mode, x).bytes, json.loads(json.dumps(outline(network)))
    file, told = level.moved(metadata.attach(data, {"n": 1}), -0.7, 1.3, told, "file")
    expected = recalibrated(own_risks(data, x).astype(float), -0.7, 1.3)
    np.testing.assert_allclose(own_risks(file, x), expected, rtol=0, atol=1e-6)
    again, told = level.moved(file, 0.2, 0.9, told, "file")
    np.testing.assert_allclose(own_risks(again, x), recalibrated(expected, 0.2, 0.9), rtol=0, atol=2e-6)
    if mode in ("float32", "float16", "int8"):
        found = recover(again, network.arch, mode, told, "file").network
        np.testing.assert_allclose(found.predict(x), own_risks(again, x), rtol=0, atol=2e-6)


def test_a_stay_without_numbers_still_has_no_risk():
    network = NETWORKS["lstm"]()
    x = stays()
    x[0] = np.nan
    file, _ = level.moved(build(network, "dynamic", stays()).bytes, 0.5, 1.0, None, "file")
    assert np.isnan(own_risks(file, x)[0])


def test_what_does_not_end_with_a_logit_is_refused(monkeypatch):
    data = build(NETWORKS["dnn"]()).bytes
    monkeypatch.setattr(level, "_code", lambda graph, operation: set())
    with pytest.raises(InputError, match="does not end with a logit"):
        level.moved(data, 0.0, 1.0, None, "file")
