"""Libraries that not every installation has. Comes in: a name. Goes out: nothing, or a clear word what to install."""

from importlib.util import find_spec

from mortcond.core.errors import InputError
from mortcond.core.processor import refuse_unable

MODULES = {"scikit-learn": "sklearn"}  # where the module's name is not the package's


def require(package: str, purpose: str) -> None:
    """Raise InputError where a package is missing, or cannot run on this processor, that `purpose` needs.

    Nothing of it is imported.
    """
    if find_spec(MODULES.get(package, package)) is None:
        raise InputError(f"{purpose} needs {package}, which is not installed.", f"Install it: pip install {package}")
    refuse_unable(package, purpose)
