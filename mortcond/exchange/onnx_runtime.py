"""onnxruntime on the file itself, to compare. Comes in: the network and the file. Goes out: how well they agree."""

from pathlib import Path

import numpy as np

from mortcond.exchange.compare import Agreement, agreement
from mortcond.exchange.onnx_file import SOME_STAYS, Form
from mortcond.network import Network


def compared(network: Network, path: Path, form: Form) -> Agreement:
    """Return how well a network agrees with onnxruntime on the file that it was read of.

    Raises InputError where a risk differs by more than 1e-5.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return agreement(network, lambda stays: risks(session, form, stays), f"onnxruntime {onnxruntime.__version__}")


def risks(session, form: Form, stays: np.ndarray) -> np.ndarray:
    """Return the risks of stays (stays, hours, features), so many at a time as the graph takes."""
    size = len(stays) if form.stays == SOME_STAYS else form.stays
    padded = np.concatenate([stays, stays[: -len(stays) % size]])
    parts = [_risks(session, form, padded[start : start + size]) for start in range(0, len(padded), size)]
    return np.concatenate(parts)[: len(stays)]


def _risks(session, form: Form, stays: np.ndarray) -> np.ndarray:
    x = stays.reshape(len(stays), -1) if len(form.axes) == 2 else stays
    x = x.transpose(1, 0, 2) if form.hours_first else x
    kind = np.float64 if "double" in session.get_inputs()[0].type else np.float32
    value = session.run(None, {form.name: np.ascontiguousarray(x, kind)})[-1]
    if isinstance(value, list):  # scikit-learn's: the probability of each class by its name
        return np.array([list(entry.values())[-1] for entry in value], float)
    value = np.asarray(value, float)
    if value.size == 2 * len(stays):
        first, second = value.reshape(len(stays), 2).T
        is_shares = np.allclose(first + second, 1) and np.all((second >= 0) & (second <= 1))
        return second if is_shares else 1 / (1 + np.exp(first - second))  # logits of two classes
    risk = value.reshape(len(stays))
    inside = np.all((risk >= 0) & (risk <= 1))
    return risk if inside else 1 / (1 + np.exp(-risk))  # a logit
