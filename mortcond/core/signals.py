"""Signals and parents: SIGTERM and SIGHUP end a command as Ctrl-C does, and a worker ends when its parent has.

Comes in: the signals of this process, the number of the parent. Goes out: KeyboardInterrupt, or the end.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
PARENT = "PARENT_OF_MORTCOND"  # environment variable: the process that a worker belongs to
SECONDS_BETWEEN_LOOKS = 0.5


def end_like_an_interrupt() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, so that every block cleans up; one that is ignored stays so."""
    for number in ENDINGS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


@contextmanager
def asked_to_stop(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGINT, SIGTERM or SIGHUP came; a second one raises KeyboardInterrupt.

    Outside the main thread nothing is caught: whoever runs us there has own ways to stop.
    """
    came: list[int] = []

    def note(number, frame) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        _lose_terminal(number)
        with suppress(OSError):
            say("Stopping after this epoch; press Ctrl-C again to stop at once.")

    before = {}
    try:
        for number in (signal.SIGINT, *ENDINGS):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    except ValueError:
        yield lambda: False
        return
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def environment_of_worker() -> dict[str, str]:
    """Return the environment in which a child process finds who its parent is."""
    return os.environ | {PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """End this process soon after the one that started it with `environment_of_worker`, whatever it is doing."""
    parent = int(os.environ.pop(PARENT, 0))  # its own children have another
    if parent and hasattr(os, "getppid"):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _interrupt(number, frame) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is cleaning up
    _lose_terminal(number)
    raise KeyboardInterrupt


def _lose_terminal(number: int) -> None:
    """After SIGHUP the terminal is gone: whatever is still said must not be an error of its own."""
    if number != getattr(signal, "SIGHUP", None):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            if stream.isatty():
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
