"""TensorFlow and Keras, imported without their start-up chatter: that is no result, no progress and no error.

Comes in: nothing. Goes out: `tf` and `keras`; every other module takes them from here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send what C++ writes to stderr nowhere: TensorFlow logs before any of its own switches is read."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _silent_stderr():
    import keras
    import tensorflow as tf

__all__ = ["keras", "tf"]
