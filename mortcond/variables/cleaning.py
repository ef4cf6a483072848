"""Cleaning one value. Comes in: a text as a source wrote it, with its unit. Goes out: the number, or nothing.

The rules are those of `variables.RULES`. Values are few where records are many: adapters clean each distinct text once.
The benchmark's rules follow Harutyunyan et al. 2019 as its code runs, with its oddities.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mortcond.variables.table import Variable

NUMBER = re.compile(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*", re.ASCII)
DIGITS = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+", re.ASCII)
LIMIT = re.compile(r"^\s*([<>]=?|LESS THAN|GREATER THAN)", re.IGNORECASE)
TWO_PRESSURES = re.compile(r"([0-9]+)/([0-9]+)", re.ASCII)
FAHRENHEIT_FROM = 79
KILOGRAMS_PER_POUND = 0.453592
OUNCES_PER_POUND = 16
CENTIMETRES_PER_INCH = 2.54
TALLEST_METRES = 3
LARGEST = 1e15  # no measurement in any unit comes near (cells a litre reach 1e13), and float32 still computes with it


@dataclass(frozen=True)
class Reading:
    """What a text turned out to be: a value, or why there is none."""

    value: float | None  # in the variable's unit; of a category its index
    lost: str = ""  # text: neither number nor category; range: implausible; size: larger than LARGEST


def examine(variable: Variable, text: str, unit: str = "") -> Reading:
    """Return what a text means as a value of a variable; parameters as of `clean`."""
    if variable.rule == "presence":
        return Reading(1.0)
    if variable.categories:
        index = category(variable, text)
        return Reading(None, "text") if index is None else Reading(float(index))
    try:
        value = _NUMBERS[variable.rule](text, unit.lower())
    except ValueError:
        value = None
    if value is None:
        return Reading(None, "text")
    if not abs(value) <= LARGEST:
        return Reading(None, "size")
    below = variable.low is not None and value < variable.low
    above = variable.high is not None and value > variable.high
    return Reading(None, "range") if below or above else Reading(value)


def clean(variable: Variable, text: str, unit: str = "") -> float | None:
    """Return the value in the variable's unit (a category: its index), None where it is no measurement.

    Parameters
    ----------
    variable
        What was measured, with its rule and plausible range.
    text
        The value as the source wrote it, untrimmed.
    unit
        The unit as the source wrote it, in any case; with it, where known, the unit that goes with the item.
    """
    return examine(variable, text, unit).value


def category(variable: Variable, text: str) -> int | None:
    """Return the index of the category that a text means by the spellings of the table of variables, None if none."""
    meant = spelling(variable, text)
    return next((i for i, texts in enumerate(variable.spellings) if meant in texts), None)


def spelling(variable: Variable, text: str) -> str | None:
    """Return the spelling that a text of a category means, None where there is none, or where two may be meant.

    The spellings count as they are; where none is the text, also with other blanks, and 15.0 for 15. The words of the
    Glasgow coma scale count in any case; those of others (whose words the benchmark takes as they are) in capitals.
    """
    known = {word: index for index, words in enumerate(variable.spellings) for word in words}
    if text in known:
        return text
    any_case = variable.rule != "" or text.isupper()
    value, folded = number(text), _folded(text, any_case)
    meant = [
        word for word in known if _folded(word, any_case) == folded or (value is not None and number(word) == value)
    ]
    return meant[0] if len({known[word] for word in meant}) == 1 else None


def _folded(text: str, any_case: bool) -> str:
    words = " ".join(text.split())
    return words.casefold() if any_case else words


def number(text: str, unit: str = "") -> float | None:
    """Return the number that a text is, None where it is something else."""
    return float(text) if NUMBER.fullmatch(text) else None


def by_text(variable: Variable) -> bool:
    """Say whether of several values at one time the largest in text order counts, and not the largest number."""
    return variable.rule == "benchmark_text"


def points(category: str) -> int:
    """Return the points of the Glasgow coma scale with which the name of a category begins."""
    digits = re.match(r"\s*([0-9]+)", category)
    if not digits:
        raise ValueError(f"{category!r} does not begin with its points")
    return int(digits[1])


def _strict(text: str, unit: str = "") -> float:
    value = number(text)
    if value is None:
        raise ValueError(f"{text!r} is no number")
    return value


def _digits(text: str, unit: str = "") -> float | None:
    return float(text) if DIGITS.fullmatch(text) else None


def _pressure(part: int) -> Callable[[str, str], float]:
    def pressure(text: str, unit: str) -> float:
        if "/" not in text:
            return _strict(text)
        both = TWO_PRESSURES.fullmatch(text)
        if not both:
            raise ValueError(f"{text!r} is no pair of blood pressures")
        return float(both[part])

    return pressure


def _benchmark_fio2(text: str, unit: str) -> float:
    value = _strict(text)
    return value if "torr" in unit else value / 100  # a fraction becomes a hundredth of itself, as in the benchmark


def _fraction(text: str, unit: str) -> float | None:
    value = number(text)
    return value / 100 if value is not None and value > 1 else value


def _percent(parse: Callable[[str], float | None]) -> Callable[[str, str], float | None]:
    def percent(text: str, unit: str) -> float | None:
        value = parse(text)
        return value * 100 if value is not None and value <= 1 else value

    return percent


def _ph(text: str, unit: str) -> float | None:
    value = number(text)
    if value is None or value < 60:
        return value
    return value / 100 if value >= 600 else value / 10  # 735 and 73.5 for 7.35


def _celsius(parse: Callable[[str], float | None]) -> Callable[[str, str], float | None]:
    def celsius(text: str, unit: str) -> float | None:
        value = parse(text)
        return (value - 32) * 5 / 9 if value is not None and value >= FAHRENHEIT_FROM else value

    return celsius


def _kilograms(parse: Callable[[str], float | None]) -> Callable[[str, str], float | None]:
    def kilograms(text: str, unit: str) -> float | None:
        value = parse(text)
        if value is None:
            return None
        if "oz" in unit:
            value /= OUNCES_PER_POUND
        return value * KILOGRAMS_PER_POUND if "oz" in unit or "lb" in unit else value

    return kilograms


def _benchmark_height(text: str, unit: str) -> float:
    value = _strict(text)
    return float(round(value * CENTIMETRES_PER_INCH)) if "in" in unit else value  # round: half to even


def _centimetres(text: str, unit: str) -> float | None:
    value = number(text)
    if value is None:
        return None
    value = value * CENTIMETRES_PER_INCH if "in" in unit else value
    if value <= TALLEST_METRES:
        return value * 100
    return value / CENTIMETRES_PER_INCH if value > 100 * TALLEST_METRES else value


def _limit(text: str, unit: str) -> float | None:
    return number(LIMIT.sub("", text))


_NUMBERS: dict[str, Callable[[str, str], float | None]] = {
    "": number,
    "benchmark_text": _strict,
    "benchmark_systolic": _pressure(1),
    "benchmark_diastolic": _pressure(2),
    "benchmark_fio2": _benchmark_fio2,
    "benchmark_digits": _digits,
    "benchmark_saturation": _percent(_digits),
    "benchmark_temperature": _celsius(_strict),
    "benchmark_weight": _kilograms(_strict),
    "benchmark_height": _benchmark_height,
    "fraction": _fraction,
    "percent": _percent(number),
    "ph": _ph,
    "celsius": _celsius(number),
    "kilograms": _kilograms(number),
    "centimetres": _centimetres,
    "limit": _limit,
    "gcs_total": number,
}
