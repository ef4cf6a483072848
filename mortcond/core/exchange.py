"""Two directories exchange their names in one step, so that at no moment either name is gone.

Comes in: two paths. Goes out: whether the system could do it. Linux (renameat2) and macOS (renamex_np).
"""

import ctypes
import os
import sys
from pathlib import Path

_HERE = -100  # AT_FDCWD of Linux: relative paths are relative to the working directory
_SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names; False where the system or the file system cannot, and nothing has changed."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            return library.renameat2(_HERE, names[0], _HERE, names[1], ctypes.c_uint(_SWAP)) == 0
        if sys.platform == "darwin":
            return library.renamex_np(names[0], names[1], ctypes.c_uint(_SWAP)) == 0
    except (AttributeError, OSError, TypeError):  # an old C library, or none
        pass
    return False
