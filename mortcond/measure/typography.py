"""How numbers and words are set in the report. Comes in: plain values. Goes out: text; templates escape it."""

import re
from typing import Any

NONE = "–"


def words(value: Any) -> str:
    """Return a value as text; a dash for None; a true minus sign before numbers."""
    if value is None:
        return NONE
    return re.sub(r"(?<= )-(?=\d)", "−", str(value)).replace("95 %", "95\u00a0%")


def number(value: float | None, form: str = ",.0f") -> str:
    """Return a number in the given form with a true minus sign, a dash for None; zero has no sign."""
    if value is None:
        return NONE
    written = format(value, form)
    return written.lstrip("+-") if not float(written.replace(",", "")) else written.replace("-", "−")


def rounded(stays: int) -> int:
    """Return a planned number of stays, rounded up to the two digits that mean something."""
    digits = max(0, len(str(stays)) - 2)
    return -(-stays // 10**digits) * 10**digits
