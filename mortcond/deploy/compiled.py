"""An exported C file, compiled and called here: to check it before it gets its name, and to measure it.

Comes in: source and header. Goes out: a function from stays to risks. Needs a C compiler; the standard library loads
what it makes.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mortcond.core.errors import InputError
from mortcond.deploy.c import identifier

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu99", "-O3", "-shared", "-fPIC")


def compiler() -> str | None:
    """Return a C compiler of this machine: what CC names, else the first of COMPILERS; None: there is none."""
    names = (os.environ["CC"],) if os.environ.get("CC") else COMPILERS
    return next((found for found in map(shutil.which, names) if found), None)


def build(folder: Path, source: str, header: str, file: str) -> Path:
    """Compile a file in `folder`; return the shared library.

    Raises InputError where there is no compiler, or it refuses the file.
    """
    own = compiler()
    if own is None:
        raise InputError("There is no C compiler on this machine.", "Install gcc or clang, or name one with CC.")
    (folder / f"{file}.c").write_text(source, encoding="utf-8")
    (folder / f"{file}.h").write_text(header, encoding="utf-8")
    library = folder / f"{file}.so"
    command = [own, *FLAGS, "-o", str(library), str(folder / f"{file}.c"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise InputError(f"{own} does not compile {file}.c ({last}).", "Report this file.")
    return library


def load(library: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from stays, (stays, hours, features) float32, to their risks, (stays,)."""
    of_many = getattr(ctypes.CDLL(str(library)), f"{identifier(library.stem)}_risks")
    of_many.argtypes, of_many.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p), None

    def risks(x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, np.float32)
        found = np.empty(len(x), np.float32)
        of_many(x.ctypes.data, len(x), found.ctypes.data)
        return found

    return risks


def build_directory(directory: Path, target: Path) -> None:
    """Compile the network of a model directory; `target` is the shared library.

    Raises InputError where it does not say how its inputs are prepared, or nothing can compile it.
    """
    from mortcond.core.manifest import read_manifest
    from mortcond.dataset import InputSpec
    from mortcond.deploy import c, preparation
    from mortcond.deploy.about import about
    from mortcond.deploy.directory import load_network
    from mortcond.deploy.kept import record_of

    record = record_of(directory)
    if not record.get("inputs"):
        raise InputError(f"{directory} does not say how its inputs are prepared.", "Measure it by another --runtime.")
    spec = InputSpec.from_dict(record["inputs"])
    said = about(record, read_manifest(directory), spec.window_hours)
    written = c.write(load_network(directory), preparation.of(spec), said, target.stem)
    build(target.parent, *written, target.stem)


if __name__ == "__main__":
    from mortcond.deploy.kept import convert

    convert(build_directory)
