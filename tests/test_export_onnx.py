"""export --to onnx: every layer in ONNX Runtime against the plain walk, with and without hours to skip."""

import numpy as np
import pytest
from export_networks import NETWORKS
from test_network import small, stays

from mortcond.deploy.onnx_graph import to_onnx

onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")
runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")


def risks(model: bytes, x: np.ndarray) -> np.ndarray:
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["risk"], {"x": x})[0][:, 0]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_equals_the_plain_walk(name):
    network, x = NETWORKS[name](), stays()
    model = to_onnx(network)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    for some in (x, x[:1], x[5:]):  # with hours that are skipped, and without any
        np.testing.assert_allclose(risks(model, some), network.predict(some), rtol=0, atol=2e-6)


def test_the_model_says_what_it_is_for():
    model = onnx.load_from_string(to_onnx(small("lstm"), {"intended_use": "Research.", "prevalence": 0.1}))
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == {"intended_use": "Research.", "prevalence": "0.1"}
