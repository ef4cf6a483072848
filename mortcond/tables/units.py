"""Units that other hospitals write -> the units of the table of variables, by `units.csv`.

Comes in: a value as text with its unit. Goes out: the text of the value in the variable's unit. A unit that is not in
the table is refused and never guessed: creatinine in another unit is another patient.
"""

import csv
import re
from importlib import resources

from mortcond.variables import Variable
from mortcond.variables.cleaning import LIMIT, number

_WITH_UNIT = re.compile(r"(.*?) \[(.*)\]", re.DOTALL)


def _conversions() -> dict[tuple[str, str, str], tuple[float, float]]:
    with (resources.files("mortcond.tables") / "units.csv").open(encoding="utf-8") as file:
        return {
            (row["unit"], written, row["variable"]): (float(row["factor"]), float(row["offset"]))
            for row in csv.DictReader(file)
            for written in row["written"].split("|")
        }


_CONVERSIONS = _conversions()


def conversion(variable: Variable, unit: str) -> tuple[float, float] | None:
    """Return factor and offset that bring a value from `unit` to the variable's unit, None where they are not known.

    A category has no unit: whatever is written there is ignored, as is an empty one.
    """
    written = " ".join(unit.lower().split())
    if not written or variable.categories or written == variable.unit.lower():
        return 1.0, 0.0
    if not variable.unit or variable.unit == "0/1":
        return 1.0, 0.0
    own = _CONVERSIONS.get((variable.unit, written, variable.name))
    return own or _CONVERSIONS.get((variable.unit, written, ""))


def known(variable: Variable) -> list[str]:
    """Return the units from which a value can be brought to the variable's."""
    return sorted({w for unit, w, name in _CONVERSIONS if unit == variable.unit and name in ("", variable.name)})


def with_unit(text: str, unit: str) -> str:
    """Return value and unit as one text: `98.6 [degF]`."""
    return f"{text} [{unit}]" if unit else text


def parts(text: str) -> tuple[str, str]:
    """Return value and unit of what `with_unit` made."""
    found = _WITH_UNIT.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def converted(variable: Variable, text: str, unit: str) -> str:
    """Return a value's text in the variable's unit; `<0.5` keeps its sign, and what is no number stays as it is."""
    factor, offset = conversion(variable, unit) or (1.0, 0.0)
    if (factor, offset) == (1.0, 0.0):
        return text
    sign = LIMIT.match(text)
    value = number(text[sign.end() :] if sign else text)
    return text if value is None else f"{sign[0] if sign else ''}{value * factor + offset!r}"
