"""What was left out of the records, and why: counted and named, or refused. Comes in: readings of distinct texts with
how often they occur. Goes out: notes for the user; with `--strict` an InputError at the first text that is no value.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mortcond.core.errors import InputError
from mortcond.tables import cells
from mortcond.variables import Variable
from mortcond.variables.cleaning import LARGEST, Reading

SHOWN = 3  # texts in a note
_TEXT_LETTERS = 40  # of a text in a note


@dataclass
class LeftOut:
    """A tally of the texts that gave no value, by variable and reason."""

    strict: bool = False
    counts: dict[tuple[str, str], Counter] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # where a value is that no patient has

    def add(self, variable: Variable, text: str, reading: Reading, count: int, locate: Callable[[], str]) -> None:
        """Note a text that gave no value.

        Parameters
        ----------
        count
            How often it occurs.
        locate
            Gives "file, row n, column c" of its first occurrence, for the error.

        Raises
        ------
        InputError
            The tally is strict and the text is neither a value nor a mark for a missing one.
        """
        lost = "gap" if reading.lost == "text" and cells.is_missing(text) else reading.lost
        if self.strict and lost in ("text", "size"):
            listed = f"no category of {variable.name} ({', '.join(variable.categories)})"
            kind = listed if variable.categories else f"no number ({variable.name})"
            fault = f"{locate()}: {text!r} is {kind}."
            raise InputError(fault, "Mend the row, or leave out --strict: such values are then left out.")
        self.variables[variable.name] = variable
        if lost == "size" and variable.name not in self.places:  # few have such values; to look for one takes a while
            self.places[variable.name] = locate()
        self.counts.setdefault((variable.name, lost), Counter())[text] += count

    def notes(self) -> tuple[str, ...]:
        """Return a note for each variable and reason."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        for (name, lost), texts in sorted(self.counts.items()):
            if lost != "gap":  # a gap is no news
                count = sum(texts.values())
                what = _what(self.variables[name], lost, count)
                yield f"{name}: {count:,} {what} left out: {_examples(texts)}{self._place(name, lost)}"

    def _place(self, name: str, lost: str) -> str:
        return f" ({self.places[name]})" if lost == "size" and self.places[name] else ""


def _what(variable: Variable, lost: str, count: int) -> str:
    values = "value" if count == 1 else "values"
    if lost == "text":
        return f"{values} that {'is' if count == 1 else 'are'} {_kind(variable)}"
    if lost == "size":
        return f"{values} beyond {LARGEST:g}, which no patient has,"
    low = "" if variable.low is None else f"{variable.low:g}"
    high = "" if variable.high is None else f"{variable.high:g}"
    return f"implausible {values} (outside {low} to {high} {variable.unit})".replace(" )", ")")


def _kind(variable: Variable) -> str:
    return "no category" if variable.categories else "no number"


def _examples(texts: Counter) -> str:
    shown = [repr(text[:_TEXT_LETTERS]) for text, _ in sorted(texts.items(), key=lambda item: (-item[1], item[0]))]
    return ", ".join(shown[:SHOWN]) + f" and {len(shown) - SHOWN} more" * (len(shown) > SHOWN)
