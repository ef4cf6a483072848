"""Libraries that not every installation has. Comes in: a name. Goes out: nothing, or a clear word what to install."""

from importlib.util import find_spec

from mortcond.core.errors import InputError
from mortcond.core.processor import lacks, refuse_unable

MODULES = {"scikit-learn": "sklearn"}  # where the module's name is not the package's
EXTRAS = {"tensorflow": "tensorflow", "keras": "tensorflow", "onnx": "onnx", "onnxruntime": "onnx"}
EXTRAS |= {"pyspark": "spark", "psycopg": "postgres"}


def require(package: str, purpose: str) -> None:
    """Raise InputError where a package is missing, or cannot run on this processor, that `purpose` needs.

    Nothing of it is imported.
    """
    if not installed(package):
        raise InputError(f"{purpose} needs {package}, which is not installed.", how_to_install(package))
    refuse_unable(package, purpose)


def how_to_install(package: str) -> str:
    """Return the remedy where a package is missing: the extra of mortcond that brings it in a version that fits."""
    wanted = f"'mortcond[{EXTRAS[package]}]'" if package in EXTRAS else package
    return f"Install it: pip install {wanted}"


def installed(package: str) -> bool:
    """Say whether a package is installed; nothing of it is imported."""
    return find_spec(MODULES.get(package, package)) is not None


def usable(package: str) -> bool:
    """Say whether a package is installed and this processor can run it; nothing of it is imported."""
    return installed(package) and not lacks(package)
