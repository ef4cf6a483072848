"""The split by patient, and what is warned of."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond import cohort
from mortcond.core.errors import InputError


def stays(patients, split="", died=0) -> pd.DataFrame:
    return pd.DataFrame({"subject_id": np.array(patients, np.int64), "split": split, "died": died})


def test_shares():
    split, rule = cohort.assign(stays(range(20_000)), seed=0)
    shares = [(split == name).mean() for name in cohort.SPLITS]
    np.testing.assert_allclose(shares, [0.70, 0.15, 0.15], atol=0.01)
    assert "seed 0" in rule


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.integers(0, 99))
def test_adding_patients_moves_none(patients, seed):
    alone, _ = cohort.assign(stays(patients), seed)
    more, _ = cohort.assign(stays([*patients, *range(50)]), seed)
    np.testing.assert_array_equal(more[: len(patients)], alone)
    by_patient = dict(zip(patients, alone, strict=True))
    assert [by_patient[patient] for patient in patients] == alone.tolist()


def test_another_seed_gives_another_split():
    first, second = (cohort.assign(stays(range(1000)), seed)[0] for seed in (0, 1))
    assert (first != second).mean() > 0.3


@pytest.mark.parametrize("header", ["", "subject,test\n"])
def test_split_file_in_the_form_of_the_benchmark(tmp_path, header):
    path = tmp_path / "testset.csv"
    path.write_text(header + "".join(f"{patient},{int(patient % 4 == 0)}\n" for patient in range(4000)))
    split, rule = cohort.assign(stays(range(5000)), 0, path)
    assert (split[:4000:4] == "test").all()
    rest = np.delete(split, range(0, 4000, 4))
    assert set(rest) == {"train", "val"}
    assert (rest == "val").mean() == pytest.approx(15 / 85, abs=0.02)
    assert "testset.csv" in rule


def test_split_file_with_names(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("1,train\n2,val\n\n3,test\n")
    assert cohort.assign(stays([1, 2, 3]), 0, path)[0].tolist() == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1,0\n2,x\n", "row 2: '2,x' is no patient with a split"),
        ("1,0\n2\n", "row 2: '2' is no patient"),
        ("1,0\n1,1\n", "row 2: patient 1 has two splits"),
        ("1,0,7\n", "row 1"),
        ("", "lists no patient"),
    ],
)
def test_split_file_with_a_fault(tmp_path, text, fault):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        cohort.assign(stays([1]), 0, path)


def test_split_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="There is no split file"):
        cohort.assign(stays([1]), 0, tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes(b"1,0\n\xff,1\n")
    with pytest.raises(InputError, match="no UTF-8"):
        cohort.assign(stays([1]), 0, path)


def test_the_split_of_the_source():
    patients = range(300)
    split, rule = cohort.assign(stays(patients, ["test" if p < 50 else "train" for p in patients]), 0)
    assert (split[:50] == "test").all()
    assert set(split[50:]) == {"train", "val"}
    split, _ = cohort.assign(stays([1, 2, 3], ["val", "train", "test"]), 0)
    assert split.tolist() == ["val", "train", "test"]
    assert rule.startswith("of the source")


def test_a_patient_in_two_splits_of_the_source():
    with pytest.raises(InputError, match="Patient 7 is in two splits"):
        cohort.assign(stays([7, 7], ["train", "test"]), 0)


def test_warnings():
    made = stays(range(400), died=[int(i % 4 == 0) for i in range(400)])
    enough = cohort.summary(made, np.repeat(["train", "test"], 200))
    assert enough["train"] == {"stays": 200, "patients": 200, "deaths": 50}
    assert cohort.warnings(enough) == []
    few = cohort.warnings(cohort.summary(made, np.array(["train"] * 395 + ["test"] * 5)))
    assert few == ["The test split is too small (5 stays with 1 deaths): an AUROC on it means little."]
    none = cohort.warnings(cohort.summary(made.assign(died=0), np.repeat("test", 400)))
    assert any("only one outcome" in text for text in none)
