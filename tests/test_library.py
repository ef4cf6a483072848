"""The library: `import mortcond` costs nothing, its functions are the commands, its objects show themselves."""

import gc
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mortcond
from mortcond.core.errors import InputError, UsageError
from mortcond.core.manifest import read_manifest
from mortcond.objects import Dataset, Facts, Model, Records, Report, TFLiteFile

STAYS, HOURS, FEATURES = 400, 6, 3


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return stays whose first feature tells, on the whole, who died."""
    generator = np.random.default_rng(seed)
    y = (generator.random(STAYS) < 0.3).astype(int)
    X = generator.normal(size=(STAYS, HOURS, FEATURES))
    X[:, :, 0] += y[:, None]
    return X, y


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_costs_nothing_and_tells_what_there_is():
    told = in_a_new_process(
        "import sys; before = set(sys.modules); import mortcond; loaded = set(sys.modules) - before; mortcond.train;"
        "print(sorted(loaded)); print(sorted(dir(mortcond))); print('numpy' in sys.modules, 'typer' in sys.modules)"
    ).splitlines()
    loaded = {name.partition(".")[0] for name in json.loads(told[0].replace("'", '"'))}
    assert loaded <= {"mortcond", *sys.stdlib_module_names}
    assert "mortcond.library" not in told[0]
    assert {"preprocess", "train", "hlstm_convert", "load", "dataset"} <= set(json.loads(told[1].replace("'", '"')))
    assert told[2] == "False False"


@pytest.mark.parametrize("name", ["dataset", "condense", "synth"])
def test_a_room_of_a_functions_name_is_the_function_too(name):
    told = in_a_new_process(
        f"import mortcond.{name}, inspect, mortcond; from mortcond import {name} as room;"
        f"print(callable(mortcond.{name}), room is mortcond.{name}, len(inspect.signature(mortcond.{name}).parameters))"
    )
    assert told.startswith("True True")


def test_every_function_is_documented_and_has_its_parameters():
    for name in dir(mortcond):
        if name.startswith("_"):
            continue
        function = getattr(mortcond, name)
        assert callable(function)
        if name not in ("dataset", "condense", "synth"):
            assert "Parameters\n" in inspect.getdoc(function)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mortcond.nonsense


def test_arrays_become_a_data_set_in_a_temporary_folder_and_on_disk(tmp_path):
    X, y = arrays()
    data = mortcond.dataset(X, y, subject_id=np.arange(STAYS) // 2, feature_names=("a", "b", "c"))
    assert isinstance(data, Dataset)
    assert data.feature_names == ("a", "b", "c")
    sizes = [len(split) for split in (data.train, data.val, data.test)]
    assert sum(sizes) == STAYS
    assert sizes[0] > 2 * max(sizes[1:])
    patients = [set(split.subject_id.tolist()) for split in (data.train, data.val, data.test)]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    np.testing.assert_array_equal(data.test.X, X[data.test.stay_id].astype(np.float32))
    np.testing.assert_array_equal(data.test.y, y[data.test.stay_id])
    assert "a data set" in data._repr_html_()

    kept = mortcond.dataset(X, y, out=tmp_path / "dataset.npz")
    assert mortcond.load(tmp_path / "dataset.npz") == kept
    with pytest.raises(UsageError, match="exists already"):
        mortcond.dataset(X, y, out=tmp_path / "dataset.npz")

    path = data.path
    assert path.exists()
    del data
    gc.collect()
    assert not path.exists()


def test_scaling_is_learnt_from_training_stays_and_leaves_masks_and_absent_hours():
    X, y = arrays()
    X[:, :, 1] = X[:, :, 1] > 0  # a mask
    X[:, -1] = 0  # an hour that is not there
    split = np.where(np.arange(STAYS) < 300, "train", "test")
    X[300:, :-1, 0] += 100
    data = mortcond.dataset(X, y, scale=True, split=split)
    known = np.concatenate([data.train.X, data.val.X])
    assert (known[:, -1] == 0).all()
    train = data.train.X[:, :-1]
    np.testing.assert_allclose(train[..., 0].mean(), 0, atol=1e-3)
    np.testing.assert_allclose(train[..., 0].std(), 1, atol=1e-3)
    assert set(np.unique(train[..., 1])) == {0, 1}
    assert data.test.X[:, :-1, 0].mean() > 50
    np.testing.assert_allclose(data.prepared(X[data.test.stay_id]), data.test.X, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"X": np.zeros((4, 2))}, "X is of shape"),
        ({"X": np.full((STAYS, HOURS, FEATURES), np.nan)}, r"X\[0, 0, 0\] is no finite number"),
        ({"y": np.zeros(3)}, "y is of shape"),
        ({"y": np.full(STAYS, 2)}, "something else than 0 and 1"),
        ({"stay_id": np.zeros(STAYS, int)}, "stay_id comes twice"),
        ({"stay_id": np.full(STAYS, "a")}, "Give whole numbers"),
        ({"split": np.full(STAYS, "dev")}, "split 'dev'"),
        ({"sex": np.full(STAYS, "x")}, "a sex that is not F, M"),
        ({"feature_names": ["a"]}, "feature names"),
        ({"subject_id": np.zeros(STAYS, int), "split": np.resize(["train", "test"], STAYS)}, "patient"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong, says):
    X, y = arrays()
    with pytest.raises(InputError, match=says):
        mortcond.dataset(**{"X": X, "y": y} | wrong)


def test_records_become_a_data_set_by_the_same_command(tmp_path):
    records = mortcond.synth(stays=100, hours=48, events_per_stay=50, workspace=tmp_path, quiet=True)
    assert isinstance(records, Records)
    data = mortcond.preprocess(records, workspace=tmp_path, quiet=True)
    assert data.path == tmp_path / "dataset.npz"
    assert len(data.feature_names) == 76
    assert data.manifest.options["source"] == {"value": str(records.path), "source": "python"}
    assert data.manifest.options["format"] == {"value": None, "source": "default"}
    told = mortcond.inspect("dataset.npz", workspace=tmp_path)
    assert isinstance(told, Facts)
    assert "preprocess" in told._repr_html_()
    with pytest.raises(InputError, match="There is no"):
        mortcond.load("nothing", workspace=tmp_path)


@pytest.mark.slow
def test_the_page_of_the_readme(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    died = generator.random(900) < 0.3
    X = generator.normal(size=(900, 8, 4)) + died[:, None, None]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))  # for the processes that check a file
    for name, array in {"X": X, "died": died.astype(int), "patient": np.arange(900) // 2}.items():
        np.save(f"{name}.npy", array)
    page = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    code = page.partition("## In Python")[2].partition("```python\n")[2].partition("```")[0]
    made: dict = {}
    exec(compile(code, "README.md", "exec"), made)
    assert made["report"].answer
    assert made["risk"].shape
    assert [path.suffix for path in (tmp_path / "artifacts").iterdir() if not path.name.startswith(".")] == [".tflite"]


def a_page(X: np.ndarray, y: np.ndarray, **where) -> tuple[Dataset, Model, Model, TFLiteFile, Report]:
    """Do what the README's page does, in temporary folders or in a workspace."""
    out = {"out": Path(where["workspace"]) / "dataset.npz"} if where else {}
    data = mortcond.dataset(X, y, scale=True, **out)
    model = mortcond.train(dataset=data, arch="lstm", width=4, layers=1, epochs=3, quiet=True, **where)
    pruned = mortcond.prune(model, quantile=0.5, quiet=True, **where)
    small = mortcond.quantize(pruned, mode="float16", quiet=True, **where)
    report = mortcond.bench([model, pruned, small], rounds=1, resamples=100, quiet=True, **where)
    return data, model, pruned, small, report


@pytest.mark.slow
def test_a_page_of_python_in_memory_and_on_disk(tmp_path):
    X, y = arrays()
    memory, disk = a_page(X, y), a_page(X, y, workspace=tmp_path)
    for data, model, pruned, small, report in (memory, disk):
        assert pruned.parameters < model.parameters
        assert len(model.history) == 3
        assert small.size_bytes == small.path.stat().st_size
        risks = small.predict(data.test)
        np.testing.assert_array_equal(mortcond.predict(small, data.test.X), risks)
        table = mortcond.predict(small, data, quiet=True)
        assert isinstance(table, pd.DataFrame)
        np.testing.assert_allclose(table.risk, risks, atol=1e-6)
        assert len(report.table) == 3
        assert report.answer
        for one in (data, model, pruned, small, report):
            assert "<pre" in one._repr_html_()
            assert type(mortcond.load(one.path)) is type(one)
        assert [step["name"] for step in pruned.manifest.lineage] == ["dataset", "lstm"]
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {
        *("dataset.npz", "lstm", "lstm-pruned50", "lstm-pruned50-float16.tflite", "bench"),
    }
    assert read_manifest(tmp_path / "lstm").option("width") == 4
    np.testing.assert_array_equal(memory[3].predict(X[:5]), disk[3].predict(X[:5]))
    path = memory[1].path
    del memory, data, model, pruned, small, report, one
    gc.collect()
    assert not path.exists()
