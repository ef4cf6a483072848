"""What trains: TensorFlow, or numpy, which runs everywhere. Comes in: a name. Goes out: the class of a runner."""

from importlib.util import find_spec
from typing import Any

from mortcond.core.errors import UsageError
from mortcond.core.libraries import require
from mortcond.core.processor import lacks

AUTO, TENSORFLOW, NUMPY = BACKENDS = ("auto", "tensorflow", "numpy")


def chosen(backend: str) -> str:
    """Return the backend that is meant: auto is TensorFlow where it is installed and this processor can run it.

    Raises UsageError where there is none of this name, InputError where TensorFlow is asked for and cannot be had.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--backend is {backend!r}.", f"Use one of {', '.join(BACKENDS)}.")
    if backend == TENSORFLOW:
        require("tensorflow", "--backend tensorflow")
    if backend != AUTO:
        return backend
    return TENSORFLOW if has_tensorflow() else NUMPY


def has_tensorflow() -> bool:
    """Say whether TensorFlow and Keras are installed and run here."""
    return all(find_spec(name) is not None for name in ("tensorflow", "keras")) and lacks("tensorflow") is None


def runner(backend: str) -> Any:
    """Return the class that trains: (network, settings, data, targets) -> an object with vectors, train and risks."""
    if chosen(backend) == TENSORFLOW:
        from mortcond.training.tensorflow_backend.runner import TensorFlowRunner

        return TensorFlowRunner
    from mortcond.training.numpy_backend.runner import NumpyRunner

    return NumpyRunner
