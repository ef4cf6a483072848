"""The reader of npz files: what a file claims is checked before any of it takes memory."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_dataset import split_of

from mortcond import dataset
from mortcond.core import memory, npz
from mortcond.core.errors import InputError
from mortcond.dataset import Dataset
from mortcond.deploy import stays

FEATURES = ("a", "b", "mask->a")


@pytest.fixture
def stored(tmp_path) -> Path:
    splits = [split_of(n, 3, seed) for seed, n in enumerate((5, 2, 4))]
    dataset.save(tmp_path / "d.npz", Dataset(*splits, FEATURES, np.zeros(3), np.ones(3), {"prevalence": 0.1}))
    return tmp_path / "d.npz"


def rewritten(path: Path, changes: dict[str, bytes | np.ndarray], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a data set again with some members in other words: an array, or the very bytes of a .npy."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    for name, content in changes.items():
        if isinstance(content, np.ndarray):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, content)
            content = buffer.getvalue()
        members[f"{name}.npy"] = content
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return path


def npy(descr: str, shape: tuple[int, ...], content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


def whole(path: Path) -> None:
    dataset.load(path)


def batchwise(path: Path) -> None:
    """Read as predict does."""
    with stays.opened(path) as file:
        stays.header(file, ("train",))
        list(stays.batches(file, ("train",), 2))


def peak_bytes(action) -> int:
    tracemalloc.start()
    try:
        action()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


ZEROS = bytes(70_000_128)
BOMBS = {
    "names as long as books": {"feature_names": npy("<U1000000", (3,), ZEROS[:12_000_000])},
    "a name a letter, of very many": {"feature_names": npy("<U1", (3_000_000,), ZEROS[:12_000_000])},
    "zeros upon zeros": {"X_train": npy("<f4", (len(ZEROS) // 576, 48, 3), ZEROS)},
    "a shape larger than its bytes": {"X_train": npy("<f4", (500_000_000, 48, 3))},
    "a shape with a negative number": {"X_train": npy("<f4", (-1, 48, 3))},
    "a long mean": {"mean": npy("<f8", (1_500_000,), ZEROS[:12_000_000])},
    "brackets upon brackets": {"X_train": b"\x93NUMPY\x01\x00\x00\x10" + b"(" * 4096},
    "records": {"mean": np.zeros(3, [("a", "f4")])},
    "a date": {"mean": np.zeros(3, "M8[s]")},
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("read", [whole, batchwise])
def test_a_bomb_is_refused_before_it_takes_memory(stored, name, read):
    rewritten(stored, BOMBS[name])

    def attempt():
        with pytest.raises(InputError, match=r"d\.npz is no data set"):
            read(stored)

    assert peak_bytes(attempt) < 4_000_000


def test_outcomes_with_bytes_left_over_are_refused(stored):
    rewritten(stored, {"y_train": npy("|u1", (5,), bytes(6))})
    with pytest.raises(InputError, match="y_train should take 5 bytes by its shape, and has 6"):
        whole(stored)


def test_a_zip_that_lies_about_a_size_is_found_out(stored):
    with zipfile.ZipFile(stored) as file:
        entry = file.getinfo("X_train.npy")
        true = entry.file_size
    content = bytearray(stored.read_bytes())
    directory = content.index(b"PK\x01\x02")
    place = content.index(b"X_train.npy", directory) - 46 + 24  # the unpacked size in the central directory
    assert int.from_bytes(content[place : place + 4], "little") == true
    content[place : place + 4] = (2_200_000_000).to_bytes(4, "little")
    stored.write_bytes(content)
    with pytest.raises(InputError, match="cannot unpack to the 2,200,000,000 bytes"):
        dataset.load(stored)


def test_what_does_not_fit_the_memory_is_refused_by_name(stored, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 5000)
    with pytest.raises(InputError, match=r"d\.npz \(train, val, test\) takes 0 MB of memory") as caught:
        dataset.load(stored)
    assert "fewer stays" in caught.value.remedy
    assert memory.available_bytes() == 5000


def test_the_memory_that_is_left_is_known_here():
    assert memory.available_bytes() > 1_000_000


def test_a_container_has_what_its_group_may_still_take(tmp_path):
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("1500\n")
    assert memory._of_group(tmp_path) == 2500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_group(tmp_path) is None


def test_x_in_fortran_order_gives_the_same_stays(stored):
    with np.load(stored) as file:
        x = file["X_train"]
    rewritten(stored, {"X_train": np.asfortranarray(x)}, zipfile.ZIP_STORED)
    np.testing.assert_array_equal(dataset.load(stored).train.X, x)
    assert dataset.load(stored).train.X.flags.c_contiguous
    with stays.opened(stored) as file:
        found = np.concatenate([batch.x for batch in stays.batches(file, ("train",), 2)])
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("kind", ["i8", "f8", "b1"])
def test_outcomes_of_any_kind_are_read_where_they_are_0_and_1(stored, kind):
    rewritten(stored, {"y_train": np.array([0, 1, 1, 0, 0], kind)})
    assert dataset.load(stored).train.y.dtype == np.uint8
    assert dataset.load(stored).train.y.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("value", [-1, 2, 0.5, np.nan])
def test_outcomes_that_are_none_are_refused_with_their_place(stored, value):
    rewritten(stored, {"y_train": np.array([0, 1, value, 0, 0])})
    with pytest.raises(InputError, match=r"y_train\[2\] is .*an outcome is 0 \(survived\) or 1 \(died\)"):
        dataset.load(stored)


def test_ids_that_went_through_floats_are_refused(stored):
    rewritten(stored, {"stay_id_train": np.arange(5.0)})
    with pytest.raises(InputError, match="stay_id_train holds float64"):
        dataset.load(stored)


def test_a_byte_that_changed_is_found_by_the_checksum(stored):
    content = bytearray(stored.read_bytes())
    with zipfile.ZipFile(stored) as file:
        place = file.getinfo("X_val.npy").header_offset + 400
    content[place] ^= 1
    stored.write_bytes(content)
    with pytest.raises(InputError, match="CRC"):
        dataset.load(stored)


def test_weights_have_a_limit_altogether(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(1000), b=np.zeros(1000))
    assert set(npz.read_all(tmp_path / "w.npz", "holds nothing", "No.")) == {"a", "b"}
    with pytest.raises(InputError, match=r"w\.npz holds nothing .*16,000 bytes; at most 10,000"):
        npz.read_all(tmp_path / "w.npz", "holds nothing", "No.", most_bytes=10_000)
    with pytest.raises(InputError, match="no such file"):
        npz.read_all(tmp_path / "none.npz", "holds nothing", "No.")
