"""Calibration: temperature and bias, fitted on the validation split and folded into the last layer.

Comes in: a trained Network, validation stays. Goes out: the same Network with a rescaled last layer (Platt 1999, with
the logit as score), so that the artifact needs nothing else. The order of the risks stays.
"""

from dataclasses import dataclass, replace

import numpy as np

from mortcond.core.errors import InputError
from mortcond.models.network import Network


@dataclass(frozen=True)
class Calibration:
    """risk = sigmoid(logit / temperature + bias)."""

    temperature: float
    bias: float


def calibrate(network: Network, X: np.ndarray, y: np.ndarray) -> tuple[Network, Calibration]:
    """Return the calibrated network, and what was fitted.

    Raises InputError where the validation split lacks deaths or survivors, or where risks do not rise with mortality.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2:
        raise InputError("The validation split has only one outcome.", "Calibration needs both; leave out --calibrate.")
    risk = np.clip(network.predict(X), 1e-12, 1 - 1e-12)
    logit = np.log(risk / (1 - risk))
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(logit[:, None], y)
    slope, bias = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise InputError("On the validation split risks do not rise with mortality.", "Leave out --calibrate.")
    return folded(network, slope, bias), Calibration(1 / slope, bias)


def folded(network: Network, slope: float, intercept: float) -> Network:
    """Return the network whose logits are `intercept + slope` times what they were: its last layer takes both in."""
    last = network.dense[-1]
    kernel, bias = (last.kernel * slope).astype("f4"), (last.bias * slope + intercept).astype("f4")
    return replace(network, dense=(*network.dense[:-1], replace(last, kernel=kernel, bias=bias)))
