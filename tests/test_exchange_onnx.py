"""ONNX files, of PyTorch and scikit-learn: each network equals its framework, or is refused with its reason."""

import warnings

import numpy as np
import pytest
from networks_of_others import TORCH, Case

from mortcond.core.errors import InputError
from mortcond.exchange.compare import probing_stays
from mortcond.exchange.load import Given, load

pytest.importorskip("onnx")


def exported(case: Case, path) -> object:
    """Write a network of PyTorch; one stay at a time where its example has one."""
    torch = pytest.importorskip("torch")
    module, example = case.make()
    how = {} if len(example) == 1 else {"dynamic_axes": {"x": {0: "stays"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), str(path), dynamo=False, input_names=["x"], **how)
    return module


def risks(module, stays: np.ndarray, case: Case) -> np.ndarray:
    """What PyTorch itself puts out for some stays."""
    import torch

    with torch.no_grad():
        values = module(torch.from_numpy(stays)).numpy().astype(float)
    if case.output == "logit":
        return 1 / (1 + np.exp(-(values[:, 1] - values[:, 0] if values.shape[1] == 2 else values[:, 0])))
    return values[:, -1]


@pytest.mark.parametrize("case", TORCH, ids=lambda case: case.name)
def test_a_network_of_pytorch_equals_it_or_is_refused(case, tmp_path):
    path = tmp_path / "network.onnx"
    module = exported(case, path)
    if case.refused:
        with pytest.raises(InputError, match=case.refused):
            load(path, Given(output=case.output, compare=False))
        return
    network = load(path, Given(output=case.output, compare=False)).network
    stays = probing_stays(network)
    np.testing.assert_allclose(network.predict(stays), risks(module, stays, case), atol=1e-5)


@pytest.mark.parametrize("case", [TORCH[3], TORCH[7], TORCH[12]], ids=lambda case: case.name)
def test_the_import_compares_with_onnxruntime(case, tmp_path):
    pytest.importorskip("onnxruntime")
    exported(case, tmp_path / "network.onnx")
    agreement = load(tmp_path / "network.onnx", Given(output=case.output)).agreement
    assert agreement.largest_difference < 1e-5
    assert "onnxruntime" in agreement.with_what
