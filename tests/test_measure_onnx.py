"""The same weights as ONNX: equal to the network's plain evaluation. Runs where the extra `peers` is installed."""

from dataclasses import replace

import measure_workspace
import numpy as np
import pytest

from mortcond.core.errors import InputError
from mortcond.measure.onnx_graph import to_onnx

HOURS, FEATURES = 6, 9


def network(arch: str):
    rng = np.random.default_rng(1)
    if arch == "lstm":
        return measure_workspace.lstm(rng, FEATURES, HOURS, (5, 4))
    if arch == "hlstm":
        return measure_workspace.hlstm(rng, FEATURES, HOURS, 4)
    if arch == "linear":
        return measure_workspace.linear(rng, FEATURES, HOURS)
    masks = (6, 6, 7, -1, 8, 7, -1, -1, -1) if arch == "masked dnn" else (-1,) * FEATURES
    return replace(measure_workspace.dnn(rng, FEATURES, HOURS, (8, 4)), mask_columns=masks)


@pytest.mark.parametrize("arch", ["lstm", "linear", "dnn", "masked dnn"])
def test_onnx_runtime_gives_the_risks_of_the_network(arch):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).normal(size=(7, HOURS, FEATURES)).astype("f4")
    x[:, :, 6:] = x[:, :, 6:] > 0.8  # masks; some variables of some stays are never measured
    session = runtime.InferenceSession(to_onnx(network(arch)), providers=["CPUExecutionProvider"])
    risks = session.run(None, {"x": x})[0][:, 0]
    assert np.abs(risks - network(arch).predict(x)).max() < 1e-5


def test_a_hidden_layer_lstm_is_refused_with_a_reason():
    pytest.importorskip("onnx")
    with pytest.raises(InputError, match="no operator for a hidden-layer LSTM"):
        to_onnx(network("hlstm"))
