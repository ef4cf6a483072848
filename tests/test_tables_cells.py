"""One reading of cells: the SQL and the function give the same for every spelling; nothing lost, nothing rounded."""

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond.tables import cells

WHOLE = {"7": 7, "007": 7, "+7": 7, "-7": -7, " 7 ": 7, "7.0": 7, "7.": 7, "7.00": 7, "2e3": 2000, "1E+05": 100_000}
WHOLE |= {"1.5e+1": 15, "9007199254740991.0": 2**53 - 1, "9007199254740993": 2**53 + 1}
WHOLE |= {"9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63)}
NO_WHOLE = [
    *("7.5", "x7", "0x10", "1_000", "1,000", "7 8", "inf", "1e400", "1e-1", "true", "12-34"),
    *("9223372036854775808", "99999999999999999999", "1.23457E+11", "9.00719925474099e+15", "9007199254740993.0"),
]
GAPS = ["", " ", "NA", "na", "N/A", "NULL", "null", "\\N", "NaT", "nan", "NaN", "<NA>", "None", "#N/A", "(null)", "."]
TRUTHS = {"1": True, "1.0": True, "1e0": True, "TRUE": True, "t": True, "0": False, "0.0": False}
TRUTHS |= {"false": False, "F": False, "00": False}
AT = 5685409800.0  # 2150-03-01 08:30:00
TIMES = {
    **dict.fromkeys(["2150-03-01 08:30:00", "2150-03-01T08:30:00", "2150-03-01 08:30", "2150-3-1 8:30"], AT),
    **dict.fromkeys(["2150/03/01 08:30:00", " 2150-03-01 08:30:00 ", "2150-03-01 08:30:00.000"], AT),
    **dict.fromkeys(["2150-03-01 08:30:00+00:00", "2150-03-01T08:30:00Z", "2150-03-01 08:30:00 UTC"], AT),
    **dict.fromkeys(
        ["2150-03-01T08:30:00.000Z", "2150-03-01 08:30:00+00", "2150-03-01 08:30+0000", "2150-03-01 09:00+00:30"], AT
    ),
    **dict.fromkeys(["2150-03-01T08:30:00.000+00:00", "2150-03-01 08:30:00.000000 UTC"], AT),
    **dict.fromkeys(["2150-03-01 10:30:00+02:00", "2150-03-01 03:30:00-05", "2150-03-01 10:30:00 +0200"], AT),
    **dict.fromkeys(["01MAR2150:08:30:00", "01mar2150 08:30:00"], AT),
    "2150-03-01 08:30:00.5": AT + 0.5,
    "2150-03-01 08:30:00,5": AT + 0.5,
    "2150-03-01": AT - 30_600,
    "1830-03-01": -4412880000.0,
}
NO_TIMES = [
    *("soon", "3/1/2150 8:30", "3/1/21 8:30", "01.03.2150", "2150-02-30 08:30:00", "2150-13-01", "45000", "45000.5"),
    *("2150-03-01 08:30 PM", "2150-03-01 08:30:00 BC", "2150-03-01 08:61:00", "infinity", "20150301", "20:30"),
    *("2150-03-01 08:30:00 Europe/Berlin", "31FEB2150", "2150-03-01 08:30:00 PM"),
]
ZONES = {
    "2150-03-01 08:30:00": "",
    "2150-03-01T08:30:00Z": "UTC",
    "2150-03-01 08:30+02:00": "+02:00",
    "2150-03-01": None,
}
ZONES |= {"2150-03-01 08:30:00.0 +00:00": "UTC", "2150-03-01": None, "NaT": None}


@pytest.fixture(scope="module")
def sql():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")

        def call(expression, text, *more):
            return connection.execute(f"SELECT {expression('c', *more)} FROM (SELECT ? AS c)", [text]).fetchone()[0]

        yield call


@pytest.mark.parametrize("text", WHOLE)
def test_whole_numbers(sql, text):
    assert cells.whole(text) == WHOLE[text]
    assert sql(cells.whole_sql, text) == WHOLE[text]


@pytest.mark.parametrize("text", NO_WHOLE)
def test_no_whole_numbers(sql, text):
    with pytest.raises(ValueError, match="is no whole number"):
        cells.whole(text)
    assert sql(cells.whole_sql, text) is None
    with pytest.raises(duckdb.Error, match="no whole"):
        sql(cells.whole_sql, text, cells.raising("c", "whole"))


@pytest.mark.parametrize("text", GAPS)
def test_gaps(sql, text):
    assert cells.is_missing(text)
    assert sql(cells.missing_sql, text) is True
    assert (cells.whole(text), cells.flag(text)) == (None, None)
    for reader in (cells.whole_sql, cells.seconds_sql, cells.number_sql):
        assert sql(reader, text, "1 / 0 + CAST('x' AS BIGINT)") is None
    assert sql(cells.flag_sql, text) is False


@pytest.mark.parametrize("text", TRUTHS)
def test_flags(sql, text):
    assert cells.flag(text) is TRUTHS[text]
    assert sql(cells.flag_sql, text) is TRUTHS[text]


@pytest.mark.parametrize("text", ["2", "-1", "x", "0.5", "error", "yes"])
def test_no_flags(sql, text):
    with pytest.raises(ValueError, match="is no flag"):
        cells.flag(text)
    with pytest.raises(duckdb.Error, match="no flag"):
        sql(cells.flag_sql, text, cells.raising("c", "flag"))


@pytest.mark.parametrize("text", TIMES)
def test_times(sql, text):
    assert sql(cells.seconds_sql, text) == TIMES[text]


@pytest.mark.parametrize("text", NO_TIMES)
def test_no_times(sql, text):
    assert sql(cells.seconds_sql, text) is None
    with pytest.raises(duckdb.Error, match="no seconds"):
        sql(cells.seconds_sql, text, cells.raising("c", "seconds"))


@pytest.mark.parametrize("text", ZONES)
def test_zones(sql, text):
    assert sql(cells.zone_sql, text) == ZONES[text]


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_a_whole_number_comes_back_as_it_was_written(sql, value):
    assert cells.whole(str(value)) == sql(cells.whole_sql, str(value)) == value


@given(text=st.text("0123456789.eE+-_ x", max_size=20))
def test_sql_and_function_agree(sql, text):
    try:
        expected = cells.whole(text)
    except ValueError:
        expected = None
    assert sql(cells.whole_sql, text) == expected


@pytest.mark.parametrize("text", ["7.5", "x7", "1.23457E+11", "1E+12", "9007199254740993.0", "1e400", "1_000", "0x10"])
def test_what_would_join_by_rounding_is_refused(sql, text):
    with pytest.raises(duckdb.Error, match="no whole"):
        sql(lambda cell: cells.whole_sql(cell, cells.raising(cell, "whole")), text)


@pytest.mark.parametrize(
    "texts", [["7", "007", "12", "7"], ["9223372036854775807", "1"], ["7", None], ["7", "1.0"], []]
)
def test_a_column_of_digits_is_read_as_every_other(texts):
    found, bad = cells.read(pd.Series(texts, dtype="object"), "whole")
    assert found.tolist() == [pd.NA if text is None else cells.whole(text) for text in texts]
    assert str(found.dtype) == "Int64"
    assert not bad.any()
