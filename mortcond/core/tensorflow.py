"""TensorFlow and Keras, imported without their start-up chatter: that is no result, no progress and no error.

Comes in: nothing. Goes out: `tf` and `keras`; every other module takes them from here.

TensorFlow gets one thread when it is imported. The number of threads decides in which order sums are taken, and so the
last bit of every weight; TensorFlow takes all cores, and can take no other number once it has computed anything. Left
to later, what a command trains would depend on what its process did before.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mortcond.core.errors import UsageError
from mortcond.core.libraries import require

THREADS = 1  # these networks are so small that more mostly cost


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


require("tensorflow", "This")  # before its import, which would end the process
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _silent_stderr():
    import keras
    import tensorflow as tf

__all__ = ["keras", "set_threads", "tf"]


def set_threads(threads: int) -> None:
    """Let TensorFlow compute with so many threads.

    Raises UsageError where it has computed with another number in this process.
    """
    settings = tf.config.threading
    if threads == settings.get_intra_op_parallelism_threads() == settings.get_inter_op_parallelism_threads():
        return
    try:
        settings.set_intra_op_parallelism_threads(threads)
        settings.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        raise UsageError(
            f"TensorFlow has been at work in this process with another number of threads than {threads}.",
            "Start a new process, or import mortcond.core.tensorflow before TensorFlow computes anything.",
        ) from None


with suppress(UsageError):  # where TensorFlow was used before: `set_threads` tells whoever needs the number
    set_threads(THREADS)
