"""synth: rows of a CSV file as bytes, many millions of them, by table look-ups alone.

Comes in: one fixed-width byte-string array a column. Goes out: the lines as bytes. Every column is padded with NUL to
its width; the columns are laid side by side in one matrix of bytes, and the NULs fall away in one pass.
"""

from collections.abc import Iterator, Sequence

import numpy as np

ROWS_AT_ONCE = 16_384  # the matrix of so many rows stays in the processor's cache
FIRST_DAY = np.datetime64("2090-01-01")  # the first day that has a text; earlier ones occur as dates of birth only
LAST_DAY = np.datetime64("2230-01-01")
MINUTES_A_DAY = 1440


def header(names: Sequence[str]) -> bytes:
    """Return the header line, upper case and quoted, as the full MIMIC-III has it."""
    return (",".join(f'"{name}"' for name in names) + "\n").encode()


def lines(columns: Sequence[np.ndarray]) -> Iterator[bytes]:
    """Yield the lines of the rows, ROWS_AT_ONCE at a time.

    Parameters
    ----------
    columns
        Byte-string arrays `(rows,)` of dtype S, already quoted where they need it; empty = missing.
    """
    count = len(columns[0])
    for start in range(0, count, ROWS_AT_ONCE):
        yield _part([column[start : start + ROWS_AT_ONCE] for column in columns])


def _part(columns: Sequence[np.ndarray]) -> bytes:
    rows = len(columns[0])
    widths = [column.dtype.itemsize for column in columns]
    matrix = np.empty((rows, sum(widths) + len(widths)), np.uint8)
    end = 0
    for column, width in zip(columns, widths, strict=True):
        matrix[:, end : end + width] = np.ascontiguousarray(column).view(np.uint8).reshape(rows, width)
        end += width + 1
        matrix[:, end - 1] = ord(",")
    matrix[:, -1] = ord("\n")
    return matrix[matrix != 0].tobytes()


def quoted(text: str) -> bytes:
    """Return a text in double quotes, inner ones doubled; an empty text stays empty (missing)."""
    return b'"' + text.replace('"', '""').encode() + b'"' if text else b""


def texts(values: Sequence[str]) -> np.ndarray:
    """Return quoted texts as a byte-string array."""
    return np.array([quoted(value) for value in values] or [b""], "S")


def numbers(values: np.ndarray) -> np.ndarray:
    """Return whole numbers `(rows,)` as a byte-string array, 1 to 12 digits, without leading zeros."""
    digits = max(len(str(int(values.max(initial=0)))), 1)
    out = np.zeros((len(values), digits), np.uint8)
    rest = values.astype(np.int64)
    for place in range(digits - 1, -1, -1):  # an empty rest is a leading zero, except for the last digit
        rest, digit = np.divmod(rest, 10)
        out[:, place] = np.where((rest > 0) | (digit > 0) | (place == digits - 1), digit + ord("0"), 0)
    return np.ascontiguousarray(out).view(f"S{digits}").ravel()


def moments(times: np.ndarray) -> np.ndarray:
    """Return times `datetime64[s]` as `YYYY-MM-DD hh:mm:ss`, NaT as empty; for small tables."""
    written = np.char.replace(np.datetime_as_string(times, unit="s"), "T", " ").astype("S19")
    return np.where(np.isnat(times), np.array(b"", "S19"), written)


class MinuteText:
    """Texts of whole minutes since FIRST_DAY by two look-ups, the day and the minute of the day."""

    def __init__(self) -> None:
        self.days = np.datetime_as_string(np.arange(FIRST_DAY, LAST_DAY)).astype("S10")
        of_day = [f" {minute // 60:02}:{minute % 60:02}:00" for minute in range(MINUTES_A_DAY)]
        self.minutes = np.array(of_day, "S9")

    def __call__(self, minutes: np.ndarray) -> np.ndarray:
        """Return `(rows,)` texts of dtype S19 of `(rows,)` whole minutes since FIRST_DAY."""
        day, minute = np.divmod(minutes, MINUTES_A_DAY)
        out = np.empty((len(minutes), 19), np.uint8)
        out[:, :10] = self.days[day].view(np.uint8).reshape(-1, 10)
        out[:, 10:] = self.minutes[minute].view(np.uint8).reshape(-1, 9)
        return out.view("S19").ravel()
