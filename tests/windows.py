"""A Windows as far as it can be had elsewhere: what that system lacks or refuses is lacking or refused.

    python windows.py COMMAND [OPTION ...]      runs mortcond so, and ends with its exit code

No fcntl, no resource, no sysconf, no SIGHUP; folders cannot be opened, what is only read cannot be synced, names hold
no colon and no `CON`, an open file cannot be renamed or replaced; a text file of ours that is opened without an
encoding is an error, as it would be cp1252 there.
"""

import builtins
import importlib
import io
import os
import signal
import sys
import warnings
from pathlib import PurePath

RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}
FORBIDDEN = set(':*?"<>|')
opened: dict[int, tuple[str, bool]] = {}  # by descriptor: path, whether it may be written
plain_open, plain_close, plain_fsync, plain_replace, io_open = os.open, os.close, os.fsync, os.replace, io.open


def refuse_name(path) -> None:
    """Raise OSError where Windows has no such name; its own folders and devices are not looked at."""
    if isinstance(path, int) or not isinstance(path, str | os.PathLike):
        return
    for part in PurePath(os.fspath(path)).parts:
        odd = FORBIDDEN & set(part) or part.partition(".")[0].lower() in RESERVED or part[-1:] in (" ", ".")
        if odd and part not in (".", ".."):
            raise OSError(22, f"Invalid argument: {path}")
    if os.fspath(path).startswith("/dev/") and os.fspath(path) != os.devnull:
        raise FileNotFoundError(2, "No such file", str(path))


def open_descriptor(path, flags, *more, **named):
    refuse_name(path)
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    descriptor = plain_open(path, flags, *more, **named)
    opened[descriptor] = os.path.abspath(path), bool(flags & (os.O_WRONLY | os.O_RDWR))
    return descriptor


def close_descriptor(descriptor):
    opened.pop(descriptor, None)
    plain_close(descriptor)


def sync(descriptor):
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if number in opened and not opened[number][1]:
        raise OSError(9, "Bad file descriptor")
    plain_fsync(descriptor)


def replace(source, target, **named):
    refuse_name(target)
    for path in (source, target):
        if os.path.abspath(path) in open_files():
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
    plain_replace(source, target, **named)


def open_files() -> set[str]:
    """Return the paths that this process has open, as the system knows them."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return found


def open_file(file, *more, **named):
    refuse_name(file)
    return io_open(file, *more, **named)


def become_windows() -> None:
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    for name in ("sysconf", "sched_getaffinity", "statvfs", "fork", "getuid", "mkfifo"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGHUP", "SIGKILL", "SIGALRM", "setitimer"):
        delattr(signal, name)
    os.open, os.close, os.fsync, os.replace, os.rename = open_descriptor, close_descriptor, sync, replace, replace
    builtins.open = io.open = open_file
    warnings.filterwarnings("error", category=EncodingWarning, module=r"mortcond\.")


if __name__ == "__main__":
    for module in ("ctypes.util", "multiprocessing", "subprocess", "tempfile", "uuid", "numpy", "pandas"):
        importlib.import_module(module)  # as they are on this system
    become_windows()
    from mortcond.cli import main

    sys.argv = ["mortcond", *sys.argv[1:]]
    main()
