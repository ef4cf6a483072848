"""What this processor can run: a wheel built for AVX ends a process without AVX by "Illegal instruction", untellable.

Comes in: a package's name. Goes out: whether its wheel runs here, or an InputError, before anything of it is imported.
"""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from mortcond.core.errors import InputError

X86 = ("x86_64", "amd64")
NEEDS = {  # package: (from this major version on, the feature as numpy names it, what to do without)
    "tensorflow": (2, "AVX", "Train with --backend numpy, which runs on every processor."),
    "duckdb": (2, "AVX", "Install a version that does: pip install 'duckdb>=1.4,<2'"),
}


def lacks(package: str) -> str | None:
    """Return the feature that the installed wheel of a package needs and this processor has not; None: it runs."""
    if package not in NEEDS or platform.machine().lower() not in X86:
        return None
    first, feature, _ = NEEDS[package]
    major = _major(package)
    return feature if major is not None and major >= first and not _features().get(feature, True) else None


def refuse_unable(package: str, purpose: str) -> None:
    """Raise InputError where the installed wheel of a package cannot run on this processor."""
    feature = lacks(package)
    if feature:
        raise InputError(
            f"{purpose} needs {package} {version(package)}, which this processor cannot run: it has no {feature}.",
            NEEDS[package][2],
        )


@cache
def _features() -> dict[str, bool]:
    """Return what numpy found out about the processor."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__
    except ImportError:  # another numpy than is known: nothing is refused
        return {}
    return __cpu_features__


def _major(package: str) -> int | None:
    try:
        return int(version(package).partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return None
