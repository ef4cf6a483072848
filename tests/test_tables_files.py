"""Files as other programs leave them: what can be read is read as if it were clean, the rest is called what it is."""

import gzip
import os
import zipfile
from pathlib import Path

import duckdb
import pytest
from table_forms import assert_same, tensor

from mortcond.core.errors import InputError
from mortcond.tables import detect, files, scan

EVENTS = "stay_id,hours,variable,value\n" + "".join(
    f"{stay},{hour}.5,Heart Rate,{70 + stay + hour}\n" for stay in range(1, 7) for hour in range(0, 48, 6)
)
STAYS = "stay_id,subject_id,died,age,sex,split\n" + "".join(
    f"{stay},{stay},{stay % 2},{50 + stay},F,{'train' if stay < 4 else 'test'}\n" for stay in range(1, 7)
)


def write(folder: Path, events: bytes | str = EVENTS, name: str = "events.csv", stays: str = STAYS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(events.encode() if isinstance(events, str) else events)
    (folder / "stays.csv").write_text(stays)
    return folder


@pytest.fixture
def expected(tmp_path):
    return tensor(write(tmp_path / "plain"), tmp_path / "w")


def indexed(text: str, name: str = "") -> str:
    """Return a CSV with a first column as pandas writes its index."""
    head, *rows = text.splitlines()
    return "\n".join([f"{name},{head}", *(f"{number},{row}" for number, row in enumerate(rows))]) + "\n"


def trailing(text: str, marks: str = ",") -> str:
    return "".join(line + marks + "\n" for line in text.splitlines())


PACKED = gzip.compress(EVENTS.encode())
SAME = {
    "an index of pandas": (indexed(EVENTS), "events.csv"),
    "an index of R": (indexed(EVENTS, '""'), "events.csv"),
    "a trailing comma": (trailing(EVENTS), "events.csv"),
    "two nameless columns": (trailing(indexed(EVENTS), ",,"), "events.csv"),
    "zeros behind gzip": (PACKED + b"\0" * 512, "events.csv.gz"),
    "one zero behind gzip": (PACKED + b"\0", "events.csv.gz"),
    "zeros between gzips": (
        gzip.compress(EVENTS[:100].encode()) + b"\0" * 9 + gzip.compress(EVENTS[100:].encode()),
        "events.csv.gz",
    ),
    "a mark of byte order": (b"\xef\xbb\xbf" + EVENTS.encode(), "events.csv"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_others_add_changes_nothing(tmp_path, expected, case):
    assert_same(expected, tensor(write(tmp_path / "in", *SAME[case]), tmp_path / "w"))


def test_an_index_of_pandas_in_the_stays(tmp_path, expected):
    assert_same(expected, tensor(write(tmp_path / "in", stays=trailing(indexed(STAYS))), tmp_path / "w"))


OTHER = {
    "UTF-16": (EVENTS.encode("utf-16"), "events.csv", r"events\.csv is text in UTF-16.*iconv -f utf-16"),
    "UTF-16 without a mark": (EVENTS.encode("utf-16-le"), "events.csv", r"is text in UTF-16 without a mark"),
    "UTF-16 within gzip": (gzip.compress(EVENTS.encode("utf-16")), "events.csv.gz", r"is text in UTF-16"),
    "gzip": (PACKED, "events.csv", r"events\.csv is compressed by gzip.*ends with \.csv\.gz"),
    "a workbook": (b"PK\x03\x04" + b"\0" * 60, "events.csv", r"zip archive or an Excel workbook.*as CSV"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"x" * 60, "events.csv", r"compressed by zstd.*Unpack"),
    "a login page": (b"\n<!DOCTYPE html><html>", "events.csv", r"web page.*Log in"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "events.csv", r"pointer of Git LFS"),
    "semicolons": (EVENTS.replace(",", ";"), "events.csv", r"row 1: the columns are parted by semicolons"),
    "tabs": (EVENTS.replace(",", "\t"), "events.csv", r"row 1: the columns are parted by tabs"),
    "a note for Excel": ("sep=,\n" + EVENTS, "events.csv", r"row 1: 'sep=,' is a note for Excel"),
    "an empty first line": ("\n" + EVENTS, "events.csv", r"is empty, or its first row is"),
    "text as gzip": (EVENTS, "events.csv.gz", r"Not a gzipped file.*ending of that form"),
    "text as Parquet": (EVENTS, "events.parquet", r"cannot be read.*ending of that form"),
    "carriage returns": (EVENTS.replace("\n", "\r"), "events.csv", r"lines end with a carriage return alone"),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path, case):
    content, name, message = OTHER[case]
    with pytest.raises(InputError, match=message):
        tensor(write(tmp_path / "in", content, name), tmp_path / "w")


def test_latin1_bytes_in_a_path(tmp_path, expected):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Universit\xe4t"))
    try:
        write(folder)
    except OSError:
        pytest.skip("this file system takes no names that are no UTF-8")
    assert_same(expected, tensor(folder, tmp_path / "w"))
    named = folder.parent / os.fsdecode(b"stays-\xe4.csv")
    (folder / "stays.csv").rename(named)
    assert_same(expected, tensor(folder, tmp_path / "w", outcomes=named))
    assert_same(expected, tensor(folder, folder / "workspace", outcomes=named))


def test_ids_that_went_through_floats_of_32_bits(tmp_path):
    path = tmp_path / "events.parquet"
    duckdb.sql("SELECT CAST(16777217 AS FLOAT) AS stay_id, 1.0 AS hours").write_parquet(str(path))
    with pytest.raises(InputError, match=r"column stay_id: floats of 32 bits do not hold every id"):
        files.header(path)


def test_text_as_bytes_in_parquet(tmp_path):
    path = tmp_path / "events.parquet"
    duckdb.sql("SELECT encode('µmol') AS stay_id").write_parquet(str(path))
    with scan.connect(tmp_path, "500MB", 1) as connection:
        assert scan.frame(connection, scan.single(path).sql(("stay_id",))).stay_id.tolist() == ["µmol"]


RECORD = "Time,Parameter,Value\n00:00,RecordID,{id}\n00:00,Age,{age}\n00:00,Gender,1\n00:00,ICUType,3\n"


def records(change=lambda text: text, ages=(("61",), ("62",), ("99", "100", "98"), ("85", "9"))) -> dict[str, str]:
    found = {}
    for number, known in enumerate(ages, 1):
        text = RECORD.format(id=700 + number, age=known[0])
        text += "".join(f"00:00,Age,{age}\n" for age in known[1:])
        text += "".join(f"{hour:02}:10,HR,{60 + number + hour}\n" for hour in range(0, 48, 5))
        found[f"{700 + number}.txt"] = change(text)
    return found


OUTCOMES = "RecordID,SAPS-I,In-hospital_death\n" + "".join(f"{700 + n},5,{n % 2}\n" for n in range(1, 5))


def zipped(path: Path, separator: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (records() | {"Outcomes-a.txt": OUTCOMES}).items():
            entry = zipfile.ZipInfo()
            entry.filename = f"set-a{separator}{name}"
            archive.writestr(entry, text)
    return path


def unpacked(folder: Path, change=lambda text: text, outcomes: str = OUTCOMES, prefix: str = "") -> Path:
    folder.mkdir()
    for name, text in records(change).items():
        (folder / f"{prefix}{name}").write_text(text)
    (folder / "Outcomes-a.txt").write_text(outcomes)
    return folder


def quoted(text: str) -> str:
    return "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()) + "\n"


def test_physionet_as_other_programs_save_it(tmp_path):
    plain = tensor(zipped(tmp_path / "slash.zip", "/"), tmp_path / "w", variables="extended")
    assert plain["age"].tolist() == [61, 62, 100, 85]
    forms = [zipped(tmp_path / "backslash.zip", "\\"), unpacked(tmp_path / "unpacked", prefix="set-a\\")]
    forms.append(unpacked(tmp_path / "quoted", quoted))
    forms.append(unpacked(tmp_path / "indexed", indexed))
    as_float = OUTCOMES.replace(",0\n", ",0.0\n").replace(",1\n", ",1.0\n").replace("701", "701.0")
    forms.append(unpacked(tmp_path / "floats", lambda text: text.replace("1\n", "1.0\n"), as_float))
    for form in forms:
        assert detect(form) == "physionet2012"
        assert_same(plain, tensor(form, tmp_path / "w", variables="extended"))
