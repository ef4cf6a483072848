"""The public benchmark's folder: the same stays as from other sources, its splits, what is refused."""

import random
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_forms import assert_same, column, prepare, tensor

from mortcond.core.console import Console
from mortcond.core.errors import InputError
from mortcond.tables import Request, benchmark, detect, mimic3
from mortcond.variables import load

CHANNELS = tuple(variable.name for variable in load("paper76"))
HEADER = ",".join(["Hours", *CHANNELS])


def row(hours: float, **channels: str) -> str:
    """Return a row of a time series; channels by name with _ for the space."""
    cells = {name.replace("_", " "): text for name, text in channels.items()}
    assert set(cells) <= set(CHANNELS)
    return ",".join([str(hours), *(cells.get(name, "") for name in CHANNELS)])


SERIES = {
    "train/11_episode1_timeseries.csv": [
        row(0.0, Heart_Rate="80", Mean_blood_pressure="-8"),
        row(1.5, Heart_Rate="99.5", Glascow_coma_scale_eye_opening="None"),
        row(1.75, Fraction_inspired_oxygen="0.005", Temperature="37.123456789"),
    ],
    "train/11_episode2_timeseries.csv": [row(47.5, pH="7.25", Capillary_refill_rate="1.0")],
    "train/12_episode1_timeseries.csv": [row(48.0, Glascow_coma_scale_total="3")],
    "test/21_episode1_timeseries.csv": [row(2.0, Glascow_coma_scale_verbal_response="1.0 ET/Trach")],
    "test/22_episode1_timeseries.csv": [],
}
DIED = {"11_episode1": 1, "11_episode2": 0, "12_episode1": 0, "21_episode1": 1, "22_episode1": 0}


def write(root: Path, series: dict[str, list[str]] = SERIES, header: str = HEADER) -> Path:
    for folder in ("train", "test"):
        (root / folder).mkdir(parents=True)
        names = [name.split("/")[1] for name in series if name.startswith(folder)]
        rows = [f"{name},{DIED[name.removesuffix('_timeseries.csv')]}" for name in names]
        (root / folder / "listfile.csv").write_text("\n".join(["stay,y_true", *rows]) + "\n")
    for name, rows in series.items():
        (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "plain")


@pytest.fixture
def read(tmp_path):
    """Read a source to (records, events as {(stay, hours, variable): value})."""

    def call(source: Path, variables="paper76", **options):
        scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        table = load(variables)
        records = benchmark.read(source, table, Request(scratch, console=Console(quiet=True), **options))
        rows = duckdb.connect().execute(f"SELECT * FROM read_parquet('{records.events}')").fetchall()
        return records, {(stay, hours, table[index].name): value for stay, hours, index, value in rows}

    return call


def shuffled_columns(rows: list[str], seed: int) -> tuple[str, list[str]]:
    order = [0, *random.Random(seed).sample(range(1, len(CHANNELS) + 1), len(CHANNELS))]
    lines = [line.split(",") for line in [HEADER, *rows]]
    header, *moved = [",".join(line[place] for place in order) for line in lines]
    return header, moved


def test_every_form_gives_the_same_tensor(tmp_path, folder):
    expected = tensor(folder, tmp_path / "w")
    assert expected["stay_id"].tolist() == [11001, 11002, 12001, 21001]
    within = write(tmp_path / "whole" / "in-hospital-mortality")
    mixed = write(tmp_path / "mixed")  # each file with columns in an order of its own, and Windows' line ends
    for seed, (name, rows) in enumerate(SERIES.items()):
        header, moved = shuffled_columns(rows, seed)
        (mixed / name).write_bytes("\r\n".join([header, *moved, ""]).encode())
    for source in (within.parent, within, mixed):
        assert detect(source) == "benchmark"
        assert_same(expected, tensor(source, tmp_path / "w"))
    assert_same(expected, tensor(as_events(folder, tmp_path / "events"), tmp_path / "w"))


def as_events(root: Path, target: Path) -> Path:
    """Write the same stays as a table of events and one of stays."""
    target.mkdir()
    events, stays = ["stay_id,hours,variable,value"], ["stay_id,subject_id,died,split"]
    for name, rows in SERIES.items():
        folder, file = name.split("/")
        patient, episode = file.removesuffix("_timeseries.csv").split("_episode")
        stay = int(patient) * 1000 + int(episode)
        stays.append(f"{stay},{patient},{DIED[f'{patient}_episode{episode}']},{folder}")
        cells = [line.split(",") for line in rows]
        events += [f"{stay},{line[0]},{c},{text}" for line in cells for c, text in zip(CHANNELS, line[1:]) if text]  # noqa: B905
    (target / "events.csv").write_text("\n".join(events))
    (target / "stays.csv").write_text("\n".join(stays))
    return target


def test_values_stand_as_they_are(tmp_path, read, folder):
    _, found = read(folder)
    assert found[11001, 0.0, "Mean blood pressure"] == -8
    assert found[11001, 1.75, "Fraction inspired oxygen"] == 0.005  # the benchmark divided it by 100 already
    assert found[11001, 1.75, "Temperature"] == 37.123456789
    names = load("paper76").feature_names
    data = tensor(folder, tmp_path / "w")
    assert column(data, names, "Heart Rate", 11001)[:3] == [80, 99.5, 99.5]
    assert column(data, names, "Glascow coma scale eye opening->None", 11001)[:2] == [0, 1]  # None is a category
    assert column(data, names, "Glascow coma scale total->3", 12001)[46:] == [0, 1]  # 48 h is in the last hour
    assert column(data, names, "Glascow coma scale verbal response->1.0 ET/Trach", 21001)[:2] == [0, 1]


def test_extended_merges_the_wordings(read, folder):
    _, found = read(folder, "extended")
    eye = load("extended")[load("extended").names.index("Glascow coma scale eye opening")]
    assert eye.categories[int(found[11001, 1.5, "Glascow coma scale eye opening"])] == "1 none"
    assert (11001, 0.0, "Mean blood pressure") not in found


def test_folders_are_the_split(tmp_path, folder):
    result, data = prepare(folder, tmp_path / "w")
    assert data.test.stay_id.tolist() == [21001]
    assert sorted([*data.train.stay_id.tolist(), *data.val.stay_id.tolist()]) == [11001, 11002, 12001]
    assert set(data.train.subject_id.tolist()).isdisjoint(data.val.subject_id.tolist())
    assert [(step["step"], step["stays"], step["patients"]) for step in result["attrition"]] == [
        ("start", 5, 4),
        ("no_events_in_window", 4, 3),
    ]


def test_the_benchmarks_validation_list_counts(tmp_path, folder):
    (folder / "val_listfile.csv").write_text("stay,y_true\n12_episode1_timeseries.csv,0\n")
    _, data = prepare(folder, tmp_path / "w")
    assert (data.train.stay_id.tolist(), data.val.stay_id.tolist()) == ([11001, 11002], [12001])


def test_one_folder_alone_is_enough(read, folder):
    shutil.rmtree(folder / "train")
    records, _ = read(folder)
    assert (records.stays.split == "test").all()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_never_matters(read, tmp_path, folder, seed):
    shuffled = {name: random.Random(seed).sample(rows, len(rows)) for name, rows in SERIES.items()}
    assert read(write(tmp_path / f"shuffled{len(list(tmp_path.iterdir()))}", shuffled))[1] == read(folder)[1]


FIRST = "train/11_episode1_timeseries.csv"
BAD_TEXTS = [
    (FIRST, "99.5", "fast", r"11_episode1_timeseries\.csv, row 3, column Heart Rate: 'fast' is no number"),
    (FIRST, "None", "Asleep", r"11_episode1_timeseries\.csv, row 3, column Glascow coma scale eye.*'Asleep' is no cat"),
    (FIRST, "1.5,", "soon,", r"11_episode1_timeseries\.csv, row 3, column Hours: 'soon' is no number"),
    (FIRST, "1.5,", "1.5,,", r"11_episode1_timeseries\.csv, row 3: 19 columns, not 18"),
    (FIRST, "Hours", "Time", r"11_episode1_timeseries\.csv, row 1: the columns are not Hours and channels but 'Time"),
    (FIRST, "Height", "Weight", r"11_episode1_timeseries\.csv, row 1: the columns are not Hours and channels"),
    ("train/listfile.csv", "y_true", "died", r"train/listfile\.csv has no column y_true"),
    ("train/listfile.csv", "csv,1", "csv,2", r"train/listfile\.csv, row 2, column y_true: '2' is neither 0 nor 1"),
    (
        "train/listfile.csv",
        "11_episode1",
        "eleven",
        r"listfile\.csv, row 2, column stay: 'eleven_time.*' is no name such",
    ),
    ("train/listfile.csv", "11_episode1", "13_episode1", r"train/listfile\.csv, row 2: there is no .*13_episode1"),
    ("train/listfile.csv", "11_episode1", "11_episode2", r"train/listfile\.csv, row 3: 11_episode2.* is listed twice"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD_TEXTS)
def test_bad_texts_are_named_with_file_row_and_column(read, folder, name, old, new, message):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read(folder, strict=True)
    assert error.value.remedy


def test_unusable_folders(read, folder):
    (folder / FIRST).write_bytes(b"Hours,\xe9\n")
    with pytest.raises(InputError, match=r"11_episode1_timeseries\.csv, row 1: a byte that is no UTF-8"):
        read(folder)
    (folder / FIRST).write_text("")
    with pytest.raises(InputError, match=r"11_episode1_timeseries\.csv, row 1: the columns are not Hours"):
        read(folder)
    shutil.copy(folder / "train" / "12_episode1_timeseries.csv", folder / "test")
    with (folder / "test" / "listfile.csv").open("a") as file:
        file.write("12_episode1_timeseries.csv,0\n")
    (folder / FIRST).write_text(HEADER)
    with pytest.raises(InputError, match=r"12_episode1.* is in the list files of both train and test"):
        read(folder)
    for part in ("train", "test"):
        (folder / part / "listfile.csv").write_text("stay,y_true\n")
    with pytest.raises(InputError, match="list files list no stay"):
        read(folder)


@pytest.mark.slow
def test_the_demo_as_benchmark_files_gives_the_reference(test_data, tmp_path):
    """The demo's cleaned events, written as the benchmark writes them, become the benchmark's own tensor."""
    variables, scratch = load("paper76"), tmp_path / "scratch"
    scratch.mkdir()
    records = mimic3.read(test_data / "mimic3-demo", variables, Request(scratch, console=Console(quiet=True)))
    rows = duckdb.connect().execute(f"SELECT * FROM read_parquet('{records.events}') ORDER BY ALL").fetchall()
    cells: dict[tuple[int, float], dict[str, str]] = {}
    for stay, hours, index, value in rows:
        texts = variables[index].categories
        cells.setdefault((stay, hours), {})[variables[index].name] = texts[int(value)] if texts else repr(value)
    (tmp_path / "train").mkdir()
    listed = ["stay,y_true"]
    for stay, subject, died in records.stays[["stay_id", "subject_id", "died"]].itertuples(index=False):
        name = f"{subject}_episode{stay % 1000}_timeseries.csv"
        series = [[repr(h), *(found.get(c, "") for c in CHANNELS)] for (id, h), found in cells.items() if id == stay]
        (tmp_path / "train" / name).write_text("\n".join([HEADER, *map(",".join, series)]) + "\n")
        listed.append(f"{name},{died}")
    (tmp_path / "train" / "listfile.csv").write_text("\n".join(listed) + "\n")
    data = tensor(tmp_path, tmp_path / "w")
    names = {s * 1000 + i % 1000: i for i, s in records.stays[["stay_id", "subject_id"]].itertuples(index=False)}
    place = {names[int(stay)]: X for stay, X in zip(data["stay_id"], data["X"], strict=True)}
    reference = np.load(test_data / "reference" / "mimic3-demo-ihm-tensors.npz")
    assert len(place) == 57
    for stay, X in zip(reference["icustay_id"], reference["X_raw"], strict=True):
        np.testing.assert_allclose(place[int(stay)], X, atol=1e-5)
