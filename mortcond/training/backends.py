"""What trains: TensorFlow, or numpy, which runs everywhere. Comes in: a name. Goes out: the class of a runner."""

from typing import Any

from mortcond.core.choices import Backend
from mortcond.core.errors import UsageError
from mortcond.core.libraries import require, usable

AUTO, TENSORFLOW, NUMPY = BACKENDS = tuple(Backend)


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
    return TENSORFLOW if usable("tensorflow") else NUMPY


def ready(backend: str, threads: int = 1) -> str:
    """Return the backend that is meant; TensorFlow has so many threads then, numpy always one.

    Raises as `chosen`, and UsageError where the number cannot be had.
    """
    name = chosen(backend)
    if name == TENSORFLOW:
        from mortcond.core.tensorflow import set_threads

        set_threads(threads)
    elif threads != 1:
        raise UsageError("--threads is an option of TensorFlow; numpy trains with one.", "Leave out --threads.")
    return name


def runner(backend: str) -> Any:
    """Return the class that trains: (network, settings, data, targets) -> an object with vectors, train and risks."""
    if chosen(backend) == TENSORFLOW:
        from mortcond.training.tensorflow_backend.runner import TensorFlowRunner

        return TensorFlowRunner
    from mortcond.training.numpy_backend.runner import NumpyRunner

    return NumpyRunner
