"""The version of the files that mortcond writes: older ones are read, newer ones are refused by their number.

Comes in: the JSON that stands in a data set, in manifest.json or in the metadata of a `.tflite` file. Goes out: the
same with the version of today in it; or an InputError. It changes when a file comes to mean something else, not when
something is added that an older reader can leave out.
"""

from typing import Any

from mortcond.core.errors import InputError

KEY = "format_version"
FORMAT_VERSION = 2  # 1 was mortcond 0.1, which wrote no number: its model directories keep their weights in model.keras


def stamped(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with today's version in it."""
    return record | {KEY: FORMAT_VERSION}


def known(record: dict[str, Any], what: str) -> dict[str, Any]:
    """Return a record, read from `what`, without its version.

    Raises InputError where that is a version which is not known yet.
    """
    version = record.get(KEY, 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{what} says that its format version is {version!r:.60}.", "Make it again.")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{what} was written by a newer mortcond: its format version is {version}, and this one reads up to "
            f"{FORMAT_VERSION}.",
            "Install the mortcond that wrote it, or a newer one.",
        )
    return {name: part for name, part in record.items() if name != KEY}
