"""Errors a user can act on: one sentence what is wrong, one what to do, and the exit code of the design.

Comes in: a problem found anywhere. Goes out: an exception that the command line turns to a message without a traceback.
"""

import errno
import os

_OF_THE_DISK = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name)}


class MortcondError(Exception):
    """A fault that is not a bug.

    Parameters
    ----------
    problem
        One sentence: what is wrong, naming the file, row or column.
    remedy
        One sentence: what was expected, or what to do.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = ""):
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class UsageError(MortcondError):
    """The command was called wrongly: contradicting options, an output that exists, an unknown setting."""

    exit_code = 2


class InputError(MortcondError):
    """An input cannot be used: missing, truncated, of the wrong kind, empty."""

    exit_code = 3


class ChangedError(InputError):
    """An artifact was changed after it was written."""


class LimitError(MortcondError):
    """The work was done, and a stated limit (size, latency, AUROC drop) was not met.

    `result` and `render`, where given, are what the command would have returned: the user sees both.
    """

    exit_code = 4

    def __init__(self, problem: str, remedy: str = "", result: dict | None = None, render=None):
        super().__init__(problem, remedy)
        self.result, self.render = result, render


class Interrupted(MortcondError):
    """The user stopped the work; what was complete is on disk."""

    exit_code = 130


def as_mortcond_error(error: BaseException) -> MortcondError:
    """Return the clean form of what Python itself raises for a user's interrupt, memory, disk or path.

    An OSError that names neither file nor cause is a bug and raised again.
    """
    if isinstance(error, MortcondError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted.", "Nothing half-written is left; run the same command again.")
    if isinstance(error, MemoryError):
        return InputError("There is not enough memory for this.", "Close other programs, or use fewer stays.")
    if isinstance(error, BrokenPipeError):
        return Interrupted("The program that read the output has ended, so this one ends too.")
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's: of memory, where no disk is named
        error = of_the_disk(error) or error
        if not isinstance(error, OSError):
            return InputError("There is not enough memory for this.", "Close other programs, or use fewer stays.")
    if isinstance(error, OSError) and (error.filename or error.strerror):
        problem = f"{error.filename or 'The output'}: {error.strerror or error}."
        return InputError(problem, "Check the path, its permissions and the free space on the disk.")
    raise error


def of_the_disk(error: BaseException, path: object = None) -> OSError | None:
    """Return the OSError that an error is at bottom: libraries tell of a full disk in words of their own.

    None where it tells of none. `path`: what was being written, where the error does not say.
    """
    seen = error
    while seen is not None:
        number = seen.errno if isinstance(seen, OSError) else _told_errno(str(seen))
        if number in _OF_THE_DISK:
            full = seen if isinstance(seen, OSError) else OSError(number, os.strerror(number))
            full.filename = full.filename or (None if path is None else str(path))
            return full
        seen = seen.__cause__ or seen.__context__
    return None


def _told_errno(text: str) -> int | None:
    return next((number for number in _OF_THE_DISK if os.strerror(number).lower() in text.lower()), None)
