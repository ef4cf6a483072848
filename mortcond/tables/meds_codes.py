"""The codes of MEDS data sets: what each means, by the patterns of `meds_codes.csv` and the table of variables.

Comes in: the codes that a data set holds. Goes out: those that tell of stays, and those that measure an item. The codes
for the same thing differ between published versions, so they are patterns and no list.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from mortcond.tables.charted import Item

NO_UNIT = ("UNK", "")
_STORED = "item_stored"


def _patterns() -> list[tuple[str, re.Pattern]]:
    with (resources.files("mortcond.tables") / "meds_codes.csv").open(encoding="utf-8") as file:
        return [(row["kind"], re.compile(row["pattern"])) for row in csv.DictReader(file)]


PATTERNS = _patterns()


@dataclass(frozen=True)
class Codes:
    """The codes of one data set that count."""

    kinds: dict[str, frozenset[str]]  # birth, sex, admission, ... -> the codes
    measured: dict[str, tuple[int, str]]  # code -> place of its item in the list of items, unit
    stored: int  # codes whose time is when the result was stored, and not when the sample was taken

    @property
    def of_stays(self) -> frozenset[str]:
        return frozenset().union(*self.kinds.values())


def sort_out(codes: Iterable[str], items: list[Item]) -> Codes:
    """Return what each code means; an item is an id of MIMIC, or a code (before its unit) of the column `meds`."""
    refs = {item.item: ref for ref, item in enumerate(items)}
    kinds: dict[str, set[str]] = {kind: set() for kind, _ in PATTERNS if not kind.startswith("item")}
    measured, stored = {}, 0
    for code in codes:
        own = next((head for head in _heads(code) if head in refs), None)
        if own is not None:
            measured[code] = (refs[own], _unit(code, own))
            continue
        for kind, pattern in PATTERNS:
            found = pattern.fullmatch(code)
            if not found:
                continue
            if kind in kinds:
                kinds[kind].add(code)
            elif found[1] in refs:
                measured[code] = (refs[found[1]], _unit(code, code[: found.end(1)]))
                stored += kind == _STORED
    return Codes({kind: frozenset(found) for kind, found in kinds.items()}, measured, stored)


def tail(code: str) -> str:
    """Return what follows the first part of a code: the care unit of ICU_ADMISSION//Medical ICU."""
    return code.partition("//")[2]


def _heads(code: str) -> Iterable[str]:
    """Yield a code and all its beginnings that end before a `//`."""
    parts = code.split("//")
    return ("//".join(parts[:count]) for count in range(len(parts), 0, -1))


def _unit(code: str, head: str) -> str:
    unit = code[len(head) :].rpartition("//")[2]
    return "" if unit in NO_UNIT else unit
