"""Whatever bytes the records hold: they are read, or refused as unusable input; nothing else happens."""

import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mortcond import tables
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.tables import Request
from mortcond.tables.members import members
from mortcond.variables import load

FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.sampled_from(["", "0", "1", "-1", "1e999", "nan", "00:00", "48:00", "HR", "x", '"', "é", "'", " 7 ", "7,8"])
TABLE = st.lists(st.lists(CELLS, min_size=1, max_size=5).map(",".join), max_size=6).map("\n".join)
CONTENT = st.one_of(TABLE.map(str.encode), st.binary(max_size=60))


@pytest.fixture
def attempt(tmp_path):
    """Write files and read them; anything but success and InputError goes through."""

    def call(format: str, files: dict[str, bytes], variables: str = "paper76") -> None:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        for name, content in files.items():
            (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "in" / name).write_bytes(content)
        (folder / "scratch").mkdir()
        request = Request(folder / "scratch", console=Console(quiet=True))
        with suppress(InputError):
            records = tables.read(folder / "in", load(variables), request, format)
            assert set(records.stays.columns) == set(tables.STAY_COLUMNS)

    return call


def after(header: bytes) -> st.SearchStrategy[bytes]:
    """Return contents with a sound header and any rows, and contents of any form."""
    return st.one_of(CONTENT.map(lambda rows: header + b"\n" + rows), CONTENT)


@FUZZ
@given(record=after(b"Time,Parameter,Value\n00:00,RecordID,7"), outcomes=after(b"RecordID,In-hospital_death\n7,1"))
def test_physionet2012(attempt, record, outcomes):
    attempt("physionet2012", {"7.txt": record, "Outcomes-a.txt": outcomes})


@FUZZ
@example(events=b"stay_id,hours,variable,value\n\r", stays=b"stay_id,subject_id,died\n7,7,1")
@example(events=b"stay_id,hours,variable,value\n7,1,Heart Rate,80", stays=b"stay_id,subject_id,died\n\r")
@given(events=after(b"stay_id,hours,variable,value\n7,1,Heart Rate,80"), stays=after(b"stay_id,subject_id,died\n7,7,1"))
def test_events(attempt, events, stays):
    attempt("events", {"events.csv": events, "stays.csv": stays})


@FUZZ
@given(series=after(b"Hours,Heart Rate,pH\n1,80,7.4"), listed=after(b"stay,y_true\n1_episode1_timeseries.csv,1"))
def test_benchmark(attempt, series, listed):
    attempt("benchmark", {"train/listfile.csv": listed, "train/1_episode1_timeseries.csv": series})


@FUZZ
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_damaged_archive_is_read_or_refused(tmp_path, place, junk):
    path: Path = tmp_path / "set-a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("7.txt")
        member.size = 3000
        archive.addfile(member, io.BytesIO(bytes(range(250)) * 12))
    content = bytearray(path.read_bytes())
    content[place : place + len(junk)] = junk
    path.write_bytes(bytes(content))
    with suppress(InputError):
        list(members(path, lambda name: name.endswith(".txt")))
