"""One reading of ids, flags, times and missing marks for all tables and forms. Comes in: a cell as text. Goes out: what
it means, as SQL for tables that DuckDB reads and as a function for lists that Python reads; both give the same.

Other programs save a table again in other words: pandas writes an id beside a gap as 142345.0, R 100000 as 1e+05, both
a gap as NA, PostgreSQL as \\N, Spark a time as 2150-03-01T08:30:00.000Z. An id stays a whole number of 64 bits: one
that has been through a floating-point number where that cannot hold it (beyond 2^53, or cut to 1.23457E+11) is refused,
since it may be another patient's by now.
"""

import re
from decimal import Decimal
from functools import cache

import pandas as pd

from mortcond.core.duckdb import duckdb

MISSING = (  # in any case, with blanks around
    *("", "na", "n/a", "nan", "nat", "null", "none", "nil", "missing", "\\n", "<na>", "(null)", "[null]", "#n/a"),
    *("#null!", "#na", "#n/a n/a", "-nan", "+nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", ".", "-", "--"),
    *("0000-00-00", "0000-00-00 00:00:00"),
)
TRUE = ("1", "true", "t")
FALSE = ("0", "false", "f")
EXACT_FLOAT = 2**53  # from here on a float of 64 bits does not hold every whole number
SHORTENED = 10**11  # Excel shortens whole numbers of 12 digits and more to 1.23457E+11
LONGEST = 2**63 - 1
_BLANKS = " \t\r\n\u00a0"
_DIGITS = re.compile(r"[-+]?[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?", re.ASCII)
_TIME = (
    r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
    r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?(Z|z|UTC|GMT|[-+][0-9]{2}(:?[0-9]{2})?))?)?"
)
_ZONE = r":[0-9.,]+ ?(Z|z|UTC|GMT|[-+][0-9]{2}(:?[0-9]{2})?)$"
_SAS_TIME = r"[0-9]{1,2}[A-Za-z]{3}[0-9]{4}([: ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?"
_SAS_FORMS = ("%d%b%Y:%H:%M:%S", "%d%b%Y:%H:%M", "%d%b%Y %H:%M:%S", "%d%b%Y %H:%M", "%d%b%Y")

FORMS = {  # kind of cell: what it should have been
    "whole": "no whole number, or one that lost digits (saved as 1.23E+11, or as a decimal beyond 2^53)",
    "flag": "no flag (0 or 1)",
    "seconds": "no date of the form 2130-02-04 04:00:00",
    "number": "no number",
}


def is_missing(text: str) -> bool:
    """Say whether a cell holds nothing, in the words of any program."""
    return text.strip(_BLANKS).lower() in MISSING


def whole(text: str) -> int | None:
    """Return the whole number of 64 bits that a cell holds, None where it is missing.

    Raises ValueError where it is something else, or has lost digits.
    """
    text = text.strip(_BLANKS)
    if text.lower() in MISSING:
        return None
    exact = _DIGITS.fullmatch(text) is not None
    if not exact and not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is {FORMS['whole']}")
    value = Decimal(text)
    limit = LONGEST if exact else (SHORTENED if "e" in text.lower() else EXACT_FLOAT) - 1
    if not -limit - exact <= value <= limit or value != value.to_integral_value():
        raise ValueError(f"{text!r} is {FORMS['whole']}")
    return int(value)


def same(text: str, value: int) -> bool:
    """Say whether a cell holds this whole number."""
    try:
        return whole(text) == value
    except ValueError:
        return False


def flag(text: str) -> bool | None:
    """Return the truth that a cell holds, None where it is missing; raises ValueError where it is something else."""
    word = text.strip(_BLANKS).lower()
    if word in MISSING:
        return None
    value = float(word) if _DECIMAL.fullmatch(word) else None
    if word in TRUE or value == 1:
        return True
    if word in FALSE or value == 0:
        return False
    raise ValueError(f"{text!r} is {FORMS['flag']}")


# The same as SQL of DuckDB. `cell` is an expression of type VARCHAR; `otherwise` one for what is neither a value nor
# missing: NULL, or `raising`.


def raising(cell: str, kind: str) -> str:
    """Return an expression that fails, whatever the cell holds: `scan.explain` then looks for the row."""
    return f"CAST('no {kind}: ' || {cell} AS {'BOOLEAN' if kind == 'flag' else 'BIGINT'})"


def missing_sql(cell: str) -> str:
    """Return the condition that a cell holds nothing."""
    return f"({cell} IS NULL OR {_among(cell, MISSING)})"


def whole_sql(cell: str, otherwise: str = "NULL") -> str:
    """Return the whole number of a cell as BIGINT, NULL where it is missing; see `whole`."""
    usual = f"CAST(TRY_CAST({cell} AS BIGINT) AS VARCHAR) = {cell}"
    decimal = f"regexp_full_match({_trimmed(cell)}, {_literal(_DECIMAL.pattern)})"
    value = f"TRY_CAST({_trimmed(cell)} AS DOUBLE)"
    kept = f"TRY_CAST({_trimmed(cell)} AS BIGINT)"
    digits = f"regexp_full_match({_trimmed(cell)}, {_literal(_DIGITS.pattern)})"
    limit = f"CASE WHEN contains(lower({cell}), 'e') THEN {SHORTENED} ELSE {EXACT_FLOAT} END"
    return f"""CASE WHEN {usual} THEN TRY_CAST({cell} AS BIGINT)
        WHEN {missing_sql(cell)} THEN NULL
        WHEN {digits} AND {kept} IS NOT NULL THEN {kept}
        WHEN {decimal} AND NOT {digits} AND abs({value}) < {limit} AND {value} = floor({value}) THEN {kept}
        ELSE {otherwise} END"""


def flag_sql(cell: str, otherwise: str = "NULL") -> str:
    """Return the truth of a cell as BOOLEAN, FALSE where it is missing; see `flag`."""
    value = f"TRY_CAST({_word(cell)} AS DOUBLE)"
    return f"""CASE WHEN {cell} IS NULL OR {cell} = '0' THEN FALSE WHEN {cell} = '1' THEN TRUE
        WHEN {_among(cell, (*MISSING, *FALSE))} OR {value} = 0 THEN FALSE
        WHEN {_among(cell, TRUE)} OR {value} = 1 THEN TRUE ELSE {otherwise} END"""


def seconds_sql(cell: str, otherwise: str = "NULL") -> str:
    """Return the seconds since 1970 of a date or time as DOUBLE, NULL where it is missing.

    A time with a zone is brought to UTC; one without is taken as it stands, so that differences are right where all
    times of a hospital are of one kind (`zone_sql` tells).
    """
    plain = f"strlen({cell}) = 19 AND substr({cell}, 17, 1) = ':'"
    usual = f"CASE WHEN {plain} THEN extract(epoch FROM TRY_CAST({cell} AS TIMESTAMP)) END"
    text = f"replace({_trimmed(cell)}, ',', '.')"
    bare = f"CASE WHEN {_zone(cell)} = '' THEN {text} ELSE regexp_replace({text}, ' ?([A-Za-z]+|[-+][0-9:]+)$', '') END"
    return f"""coalesce({usual}, CASE WHEN {missing_sql(cell)} THEN NULL
        WHEN regexp_full_match({_trimmed(cell)}, {_literal(_TIME)})
            THEN coalesce(extract(epoch FROM TRY_CAST({bare} AS TIMESTAMP)) - {_offset_seconds(cell)}, {otherwise})
        WHEN regexp_full_match({_trimmed(cell)}, {_literal(_SAS_TIME)})
            THEN coalesce(extract(epoch FROM try_strptime({_trimmed(cell)}, {list(_SAS_FORMS)})), {otherwise})
        ELSE {otherwise} END)"""


def zone_sql(cell: str) -> str:
    """Return which kind of zone a time has: '' none, 'UTC', or its offset such as '+02:00'; NULL for dates and gaps."""
    utc = "('Z', 'z', 'UTC', 'GMT', '+00', '+0000', '+00:00', '-00:00')"
    return f"""CASE WHEN {cell} IS NULL OR NOT contains({cell}, ':') THEN NULL
        WHEN {_zone(cell)} IN {utc} THEN 'UTC' ELSE {_zone(cell)} END"""


def number_sql(cell: str, otherwise: str = "NULL") -> str:
    """Return the number of a cell as DOUBLE, NULL where it is missing; what is infinite is none."""
    value = f"TRY_CAST({_trimmed(cell)} AS DOUBLE)"
    usual = f"isfinite(TRY_CAST({cell} AS DOUBLE)) AND NOT contains({cell}, '_')"
    return f"""CASE WHEN {usual} THEN TRY_CAST({cell} AS DOUBLE)
        WHEN {missing_sql(cell)} THEN NULL
        WHEN isfinite({value}) AND NOT contains({cell}, '_') THEN {value}
        ELSE {otherwise} END"""


READERS = {"whole": whole_sql, "flag": flag_sql, "seconds": seconds_sql, "number": number_sql}  # by kind of cell
_TYPES = {"whole": "Int64", "flag": "boolean", "seconds": "float64", "number": "float64"}


def read(texts: pd.Series, kind: str) -> tuple[pd.Series, pd.Series]:
    """Read a column of texts.

    Returns
    -------
    Its values (whole: Int64, flag: boolean, seconds and number: float64; NA or NaN where there is none), and which
    cells hold something else (bool).
    """
    codes, distinct = pd.factorize(texts, use_na_sentinel=True)
    if kind == "whole" and -1 not in codes and all(map(_plain, distinct)):  # as published: needs no SQL
        found = pd.Series(distinct.astype("int64").take(codes), texts.index, dtype="Int64")
        return found, pd.Series(False, texts.index)
    cells = pd.DataFrame({"c": pd.Series(distinct, dtype="object")})
    with _connection().cursor() as connection:
        connection.register("cells", cells)
        found = connection.execute(f"SELECT {READERS[kind]('c')}, {missing_sql('c')} FROM cells").fetchall()
    values = pd.Series([value for value, _ in found] + [None], dtype=_TYPES[kind])
    gaps = pd.Series([gap for _, gap in found] + [True], dtype="bool")
    picked, gap = values.take(codes), gaps.take(codes)  # -1, the last, is a cell that is not there
    picked.index = gap.index = texts.index
    return picked, picked.isna() & ~gap


def _plain(text: object) -> bool:
    """Say whether a cell is nothing but a few digits."""
    return isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < len(str(LONGEST))


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})  # to open one takes longer than to read a small column


def fault(text: str, kind: str) -> str:
    """Say what a cell should have been that is neither a value nor missing."""
    if kind == "whole" and not _DECIMAL.fullmatch(text.strip(_BLANKS)):
        return FORMS["number"]
    return FORMS[kind]


def _zone(cell: str) -> str:
    return f"regexp_extract({_trimmed(cell)}, {_literal(_ZONE)}, 1)"


def _offset_seconds(cell: str) -> str:
    """Return what a time's zone is ahead of UTC: +02, +0200 or +02:00, -05:30."""
    zone = _zone(cell)
    minutes = f"CASE WHEN length({zone}) > 3 THEN CAST(right({zone}, 2) AS INTEGER) ELSE 0 END"
    size = f"(CAST(substr({zone}, 2, 2) AS INTEGER) * 60 + {minutes}) * 60"
    return f"CASE left({zone}, 1) WHEN '+' THEN {size} WHEN '-' THEN -{size} ELSE 0 END"


def _trimmed(cell: str) -> str:
    return f"trim({cell}, {_literal(_BLANKS)})"


def _word(cell: str) -> str:
    return f"lower({_trimmed(cell)})"


def _among(cell: str, words: tuple[str, ...]) -> str:
    """Return the condition that a cell is one of these words; IN would become a join that looks at every row, read or
    not: this is looked at where a CASE has not been decided before.
    """
    return f"list_contains([{', '.join(map(_literal, words))}], {_word(cell)})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
