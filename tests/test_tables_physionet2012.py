"""The PhysioNet 2012 challenge: the same stays as folder, .tar.gz and .zip; its mapping and ties; bad input."""

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_forms import assert_same, column, prepare, tensor

from mortcond import dataset
from mortcond.commands.preprocess import preprocess
from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.core.session import Session
from mortcond.tables import Request, detect, physionet2012
from mortcond.tables.members import members
from mortcond.variables import load

HEAD = "Time,Parameter,Value"
ROWS = {  # the general descriptors, then the series, each text a row; 1003 has no series
    1001: """00:00,Age,54 00:00,Gender,0 00:00,Height,-1 00:00,ICUType,4 00:00,Weight,-1
        00:07,HR,73 00:07,NISysABP,147 00:07,SysABP,120 00:59,SysABP,0 01:00,GCS,15 01:01,GCS,3
        02:30,Temp,35.1 02:30,Temp,36.1 03:00,pH,735 03:30,FiO2,0.5 04:00,Urine,0 04:00,Urine,60""",
    1002: """00:00,Age,90 00:00,Gender,1 00:00,Height,431.8 00:00,ICUType,1 00:00,Weight,80.5
        47:59,HR,99 48:00,Lactate,2.5 48:00,SaO2,97 10:00,MechVent,1 12:00,NIMAP,70 12:00,MAP,65""",
    1003: "00:00,Age,-1 00:00,Gender,-1 00:00,Height,170 00:00,ICUType,2 00:00,Weight,70",
    1004: """00:00,Age,15 00:00,Gender,1 00:00,Height,180 00:00,ICUType,3 00:00,Weight,60
        05:00,RespRate,18 05:00,HR,-1 06:00,Glucose,150 06:00,Weight,61""",
}
STAYS = {id: rows.split() for id, rows in ROWS.items()}
DIED = {1001: 1, 1002: 0, 1003: 0, 1004: 1}


def texts(stays=STAYS) -> dict[str, str]:
    return {f"{id}.txt": "\n".join([HEAD, f"00:00,RecordID,{id}", *rows]) + "\n" for id, rows in stays.items()}


def outcomes(died=DIED) -> str:
    rows = [f"{id},6,1,5,-1,{flag}" for id, flag in died.items()]
    return "\n".join(["RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death", *rows]) + "\n"


def write_folder(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, newline="")
    return folder


def write_tar(path: Path, files: dict[str, str | bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def in_set(files: dict[str, str]) -> dict[str, str]:
    return {f"set-a/{name}": text for name, text in files.items()}


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_folder(tmp_path / "plain", texts() | {"Outcomes-a.txt": outcomes()})


@pytest.fixture
def read(tmp_path):
    """Read a source to (stays, events as {(stay, hours, variable): value}, records)."""
    import duckdb

    def call(source: Path, variables="paper76", **options):
        scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        table = load(variables)
        records = physionet2012.read(source, table, Request(scratch, console=Console(quiet=True), **options))
        rows = duckdb.connect().execute(f"SELECT * FROM read_parquet('{records.events}')").fetchall()
        return records, {(stay, round(hours, 4), table[index].name): value for stay, hours, index, value in rows}

    return call


def test_every_form_gives_the_same_tensor(tmp_path, folder):
    expected = tensor(folder, tmp_path / "w")
    assert expected["stay_id"].tolist() == [1001, 1002, 1004]
    loose = write_folder(tmp_path / "loose" / "set-a", texts())
    (loose.parent / "Outcomes-a.txt").write_text(outcomes())
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text(outcomes())
    crlf = {name: text.replace("\n", "\r\n") for name, text in (texts() | {"Outcomes-a.txt": outcomes()}).items()}
    halves = [dict(list(texts().items())[:2]), dict(list(texts().items())[2:])]
    two_sets = tmp_path / "two"
    write_tar(two_sets / "set-a.tar.gz", in_set(halves[0]))
    write_zip(two_sets / "set-b.zip", halves[1])
    forms = [
        (loose.parent, {}),
        (loose, {}),  # outcomes beside the folder
        (write_tar(tmp_path / "in_tar" / "set-a.tar.gz", in_set(texts()) | {"Outcomes-a.txt": outcomes()}), {}),
        (write_tar(tmp_path / "tgz" / "mine.tgz", texts()), {"outcomes": elsewhere}),
        (write_zip(tmp_path / "in_zip" / "set-a.zip", in_set(texts()) | {"Outcomes-a.txt": outcomes()}), {}),
        (write_folder(tmp_path / "crlf", crlf), {}),
        (write_folder(two_sets, {"Outcomes-a.txt": outcomes()}), {}),
    ]
    for source, options in forms:
        assert detect(source) == "physionet2012", source
        assert_same(expected, tensor(source, tmp_path / "w", **options))


def test_an_unpacked_set_counts_before_its_archive(tmp_path, folder):
    write_folder(folder.parent / "both" / "set-a", texts())
    write_tar(folder.parent / "both" / "set-a.tar.gz", in_set({"1001.txt": "broken"}))
    write_folder(folder.parent / "both", {"Outcomes-a.txt": outcomes()})
    assert_same(tensor(folder, tmp_path / "w"), tensor(folder.parent / "both", tmp_path / "w"))


def test_mapping_and_ties(read, folder):
    _, events = read(folder)
    minute = round(7 / 60, 4)
    assert events[1001, minute, "Systolic blood pressure"] == 120  # invasive before the cuff, though smaller
    assert events[1002, 12.0, "Mean blood pressure"] == 65
    assert events[1001, 2.5, "Temperature"] == 36.1  # the larger of two in one minute
    total = load("paper76")[load("paper76").names.index("Glascow coma scale total")]
    assert events[1001, 1.0, "Glascow coma scale total"] == total.categories.index("15")
    assert events[1001, 3.5, "Fraction inspired oxygen"] == 0.5  # not divided by 100: it is a fraction already
    assert events[1001, 3.0, "pH"] == 735  # paper76 has no ranges
    assert (1001, round(59 / 60, 4), "Systolic blood pressure") not in events  # 0 is missing
    assert (1004, 5.0, "Heart Rate") not in events  # -1 is missing
    assert (1001, 0.0, "Weight") not in events
    assert events[1002, 0.0, "Weight"] == 80.5
    assert events[1002, 0.0, "Height"] == 431.8


def test_facts_of_the_stays(read, folder):
    records, _ = read(folder)
    stays = records.stays.set_index("stay_id")
    assert stays.died.to_dict() == {1001: 1, 1002: 0, 1004: 1}
    assert stays.age.to_dict() == {1001: 54, 1002: 90, 1004: 15}  # every age stays in
    assert stays.sex.to_dict() == {1001: "F", 1002: "M", 1004: "M"}
    assert stays.icu_type.to_dict() == {1001: "surgical", 1002: "coronary care", 1004: "medical"}
    assert stays.subject_id.tolist() == stays.index.tolist()


def test_stays_without_series_are_dropped_and_counted(read, folder):
    records, _ = read(folder)
    assert records.dropped.to_dict("list") == {"stay_id": [1003], "reason": ["no_series"]}
    assert [(step.step, step.stays, step.dropped) for step in records.attrition] == [
        ("start", 4, 0),
        ("no_series", 3, 1),
        ("no_events_in_window", 3, 0),
    ]


def test_grid_fills_what_the_source_lacks(tmp_path, folder):
    names = load("paper76").feature_names
    data = tensor(folder, tmp_path / "w")
    assert column(data, names, "mask->Capillary refill rate", 1001) == [0] * 48
    assert column(data, names, "Capillary refill rate->0.0", 1001) == [1] * 48
    assert column(data, names, "Temperature", 1001) == pytest.approx([36.6] * 2 + [36.1] * 46)
    assert column(data, names, "mask->Glascow coma scale total", 1001)[:3] == [1, 1, 0]  # 01:00 is in hour 0
    assert column(data, names, "Glascow coma scale total->3", 1001) == [0] + [1] * 47
    assert column(data, names, "Heart Rate", 1002)[46:] == [86, 99]
    assert column(data, names, "Oxygen saturation", 1002)[47] == 97  # 48:00 is in the last hour


def test_extended_repairs_and_sums(read, folder):
    _, events = read(folder, "extended")
    assert events[1001, 3.0, "pH"] == 7.35
    assert events[1002, 0.0, "Height"] == pytest.approx(170)  # 170 cm that were taken for inches
    assert events[1001, 4.0, "Urine output"] == 60  # 0 and 60 in one minute; 0 is a measurement
    assert events[1002, 10.0, "Mechanical ventilation"] == 1
    assert events[1002, 48.0, "Lactate"] == 2.5
    assert events[1001, 1.0, "Glascow coma scale total"] == 15


def test_extended_facts_of_the_stay(tmp_path, folder):
    names = load("extended").feature_names
    data = tensor(folder, tmp_path / "w", variables="extended")
    assert column(data, names, "static->age", 1004) == [15] * 48
    assert column(data, names, "static->sex->F", 1001) == [1] * 48
    assert column(data, names, "static->icu_type->coronary care", 1002) == [1] * 48


def test_without_labels_no_outcomes_are_needed(read, tmp_path):
    records, _ = read(write_folder(tmp_path / "unlabelled", texts()), labels=False)
    assert records.stays.died.tolist() == [0, 0, 0]


def test_missing_records_are_told(read, tmp_path):
    more = write_folder(tmp_path / "more", texts() | {"Outcomes-a.txt": outcomes(DIED | {1009: 0})})
    records, _ = read(more)
    assert any("1 of 5 outcomes" in note for note in records.notes)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_and_files_never_matters(read, tmp_path, folder, seed):
    shuffled = {id: random.Random(seed + id).sample(rows, len(rows)) for id, rows in STAYS.items()}
    files = list((in_set(texts(shuffled)) | {"Outcomes-a.txt": outcomes()}).items())
    random.Random(seed).shuffle(files)
    source = write_tar(tmp_path / f"shuffled{len(list(tmp_path.iterdir()))}.tar.gz", dict(files))
    assert read(source)[1] == read(folder)[1]


def broken(folder: Path, name: str, old: str, new: str) -> Path:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    return folder


BAD_TEXTS = [
    ("1001.txt", "00:07,HR,73", "00:07,HR,fast", r"1001\.txt, row 8, column Value: 'fast' is no number \(Heart Rate\)"),
    ("1001.txt", "00:07,HR,73", "00:07,HR", r"1001\.txt, row 8: '00:07,HR' is no time, parameter and value"),
    ("1001.txt", "00:07,HR,73", "00:67,HR,73", r"1001\.txt, row 8, column Time: '00:67' is no time"),
    ("1001.txt", "00:07,HR,73", ",HR,73", r"1001\.txt, row 8, column Time: '.*' is no time"),
    ("1001.txt", "00:07,HR,73", "00:07,HR,7\xa03", r"1001\.txt, row 8: .* is no time, parameter and value"),
    ("1001.txt", "01:00,GCS,15", "01:00,GCS,16", r"1001\.txt, row 12, column Value: '16' is no category"),
    ("1001.txt", "Age,54", "Age,old", r"1001\.txt, row 3, column Value: 'old' is no age"),
    ("1001.txt", HEAD, "time;name;value", r"1001\.txt, row 1: the header is 'time;name;value'"),
    ("1001.txt", "RecordID,1001", "RecordID,1002", r"1001\.txt holds record 1002"),
    ("1001.txt", "00:00,RecordID,1001\n", "", r"1001\.txt has no row 00:00,RecordID"),
    (
        "Outcomes-a.txt",
        "In-hospital_death",
        "death",
        r"Outcomes-a\.txt has no column In-hospital_death; it has RecordID",
    ),
    (
        "Outcomes-a.txt",
        "1002,6,1,5,-1,0",
        "1002,6,1,5,-1,yes",
        r"Outcomes-a\.txt, row 3, column In-.*: 'yes' is neither",
    ),
    ("Outcomes-a.txt", "1002,6,1,5,-1,0", "1002,6,1,5", r"Outcomes-a\.txt, row 3, column In-.*: '' is neither"),
    ("Outcomes-a.txt", "1002,6", "b,6", r"Outcomes-a\.txt, row 3, column RecordID: 'b' is no record"),
    ("Outcomes-a.txt", "1002,6", "1001,6", r"Outcomes-a\.txt, row 3: record 1001 has two outcomes"),
    ("Outcomes-a.txt", "1002,6", "9,6", r"1 of 4 records have no outcome in .*Outcomes-a\.txt; the first is 1002"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD_TEXTS)
def test_bad_texts_are_named_with_file_and_row(read, folder, name, old, new, message):
    with pytest.raises(InputError, match=message) as error:
        read(broken(folder, name, old, new), strict=True)
    assert error.value.remedy


def test_a_truncated_archive_is_told(read, tmp_path):
    whole = write_tar(tmp_path / "set-a.tar.gz", in_set(texts()))
    content = whole.read_bytes()
    for length in (10, len(content) // 2, len(content) - 12, len(content) - 1):
        whole.write_bytes(content[:length])
        assert detect(whole) == "physionet2012"
        with pytest.raises(InputError, match=r"set-a\.tar\.gz is broken or cut off"):
            read(whole, labels=False)
    archive = write_zip(tmp_path / "set-a.zip", texts())
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"set-a\.zip is broken or cut off"):
        read(archive, labels=False)


@pytest.mark.parametrize("name", ["../1001.txt", "/tmp/1001.txt", "a/../../1001.txt", "..\\1001.txt"])
def test_unsafe_members_are_refused(read, tmp_path, name):
    for source in (write_tar(tmp_path / "set-a.tar.gz", {name: "x"}), write_zip(tmp_path / "set-a.zip", {name: "x"})):
        with pytest.raises(InputError, match="unsafe path"):
            read(source, labels=False)


def test_links_and_huge_members_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "set-a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("1001.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InputError, match="is a link"):
        list(members(path, lambda name: True))
    monkeypatch.setattr("mortcond.tables.members.LARGEST_BYTES", 10)
    with pytest.raises(InputError, match="too many for one record"):
        list(members(write_zip(tmp_path / "a.zip", texts()), lambda name: True))


def test_duplicate_records_are_told(read, tmp_path):
    source = write_tar(tmp_path / "set-a.tar.gz", texts() | in_set(texts()))
    with pytest.raises(InputError, match=r"Record 1001 is there twice: .*1001\.txt and .*set-a/1001\.txt"):
        read(source, labels=False)


def test_missing_and_empty_inputs(read, tmp_path, folder):
    with pytest.raises(InputError, match="There are no outcomes in or beside"):
        read(write_folder(tmp_path / "inner" / "unlabelled", texts()))
    with pytest.raises(InputError, match="There is no outcomes file"):
        read(folder, outcomes=tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"1001\.txt, row 1: the header is ''"):
        read(write_folder(tmp_path / "empty", {"1001.txt": ""}), labels=False)
    with pytest.raises(InputError, match="holds no record such as"):
        read(write_tar(tmp_path / "set-b.tar.gz", {"readme.md": "x"}), labels=False)
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="void is empty"):
        detect(tmp_path / "void")


def test_nothing_is_left_half_written(tmp_path, folder):
    broken(folder, "1001.txt", "00:07,HR,73", "soon,HR,73")
    with pytest.raises(InputError):
        preprocess(Session(workspace=tmp_path / "w", console=Console(quiet=True)), folder)
    assert list((tmp_path / "w").iterdir()) == []


@pytest.mark.slow
def test_set_a(test_data, tmp_path):
    result, data = prepare(test_data / "physionet2012", tmp_path)
    assert [step["stays"] for step in result["attrition"]] == [4000, 3997, 3996]
    assert sum(len(data.split(name)) for name in dataset.SPLITS) == 3996
    assert sum(int(data.split(name).y.sum()) for name in dataset.SPLITS) == 554


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda text: text.encode("utf-16"), "is text in UTF-16"),
        (lambda text: gzip.compress(text.encode()), "is compressed by gzip"),
        (lambda text: text.replace("\n", "\r").encode(), "lines end with a carriage return alone"),
    ],
)
def test_what_a_record_is_that_cannot_be_read(content, told, tmp_path):
    folder = write_folder(tmp_path / "in", texts() | {"Outcomes-a.txt": outcomes()})
    (folder / "1001.txt").write_bytes(content((folder / "1001.txt").read_text()))
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match=rf"1001\.txt {told}|1001\.txt is text whose {told}"):
        physionet2012.read(folder, load("paper76"), Request(tmp_path / "scratch", console=Console(quiet=True)))
