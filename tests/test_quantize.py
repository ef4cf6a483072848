"""quantize: what it writes, what it checks, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_workspace import network, session, workspace

from mortcond import dataset as datasets
from mortcond.commands import quantize as room
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.core.manifest import read_manifest, rounded
from mortcond.deploy import metadata, perturbed
from mortcond.deploy.check import compare
from mortcond.deploy.runtime import Predictor


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return workspace(tmp_path)


@pytest.mark.parametrize("mode", ["int8", "dynamic", "float16", "float32"])
def test_one_file_with_its_origin_and_its_check(folder, mode):
    result = room.quantize(session("quantize", folder), folder / "lstm", mode=mode)
    path = folder / f"lstm-{mode}.tflite"
    assert (result["path"], result["size_bytes"]) == (str(path), path.stat().st_size)
    record = metadata.read(path)
    manifest = record["manifest"]
    assert (manifest["kind"], manifest["quantization"], manifest["arch"]) == ("tflite", mode, "lstm")
    assert [step["command"] for step in manifest["lineage"]] == ["preprocess", "train"]
    assert manifest["parent"]["sha256"] == manifest["inputs"]["model"]["sha256"]
    assert record["inputs"]["feature_names"]
    assert record["threshold"] == 0.21
    assert record["intended_use"]
    assert record["tensors"] == result["tensors"]
    assert manifest["extra"]["check"] == rounded(result["check"])
    test = datasets.load(folder / "dataset.npz").test
    risk = Predictor(path).predict(test.X)
    assert np.abs(risk - network().predict(test.X)).max() <= room.TOLERANCE[mode]
    json.dumps(result)


def test_the_mean_is_that_of_the_validation_stays(folder):
    result = room.quantize(session("quantize", folder))
    data = datasets.load(folder / "dataset.npz")
    written = Predictor(folder / "lstm-int8.tflite").predict(data.val.X)
    expected = network().predict(data.val.X)
    largest = result["check"]["tried"]["val"]["max_abs_dp"]
    assert largest == pytest.approx(np.abs(written - expected).max())
    assert result["check"]["mean_abs_dp"] == pytest.approx(np.abs(written - expected).mean())


def test_beyond_the_tolerance_nothing_is_written(folder):
    with pytest.raises(LimitError, match=r"differs from its parent by up to .* 1e-09 .* is allowed"):
        room.quantize(session("quantize", folder), tolerance=1e-9)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.npz", "lstm"]


def test_a_file_that_predicts_something_else_is_told(folder):
    room.quantize(session("quantize", folder))
    arrays = network().arrays()
    other = network().with_arrays(arrays | {"dense.0.bias": arrays["dense.0.bias"] + 1})
    val = datasets.load(folder / "dataset.npz").val
    assert compare(folder / "lstm-int8.tflite", other, val.X, val.y)["max_abs_dp"] > 0.1


def test_what_it_refuses(folder):
    with pytest.raises(UsageError, match="--mode int4 is unknown"):
        room.quantize(session("quantize", folder), mode="int4")
    room.quantize(session("quantize", folder))
    with pytest.raises(UsageError, match="exists already"):
        room.quantize(session("quantize", folder))
    with pytest.raises(InputError, match="is a file"):
        room.quantize(session("quantize", folder), folder / "lstm-int8.tflite", mode="dynamic")
    data = datasets.load(folder / "dataset.npz")
    datasets.save(folder / "dataset.npz", replace(data, meta=data.meta | {"note": "other data"}))
    with pytest.raises(InputError, match="other data"):
        room.quantize(session("quantize", folder), mode="dynamic")


def test_the_result_is_shown(folder):
    lines = list(room.render(room.quantize(session("quantize", folder))))
    assert "int8" in lines[0]
    assert "AUROC" in lines[1]


def test_a_changed_model_is_refused_and_where_it_is_meant_the_file_says_so(folder):
    recorded = read_manifest(folder / "lstm").sha256
    (folder / "lstm" / "model.keras").write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"lstm/model\.keras was changed after"):
        room.quantize(session("quantize", folder))
    assert not list(folder.glob("*lstm-int8*"))
    result = room.quantize(replace(session("quantize", folder), trust_changed=True))
    manifest = metadata.read(Path(result["path"]))["manifest"]
    assert manifest["options"]["trust_changed"] == {"value": True, "source": "default"}
    assert manifest["lineage"][-1]["changed"] is True
    assert manifest["parent"]["sha256"] != recorded
    assert manifest["metrics"] == {}  # the recorded ones are of other weights


def test_all_known_stays_and_changed_ones_are_tried(folder):
    found = room.quantize(session("quantize", folder))["check"]
    data = datasets.load(folder / "dataset.npz")
    assert found["tried"]["train"]["stays"] == len(data.train)
    assert found["tried"]["val"]["stays"] == found["stays"] == len(data.val)
    assert found["tried"]["perturbed"]["stays"] == min(len(data.train) + len(data.val), perturbed.STAYS)
    assert found["max_abs_dp"] == max(one["max_abs_dp"] for one in found["tried"].values())
    assert found["p999_abs_dp"] <= found["max_abs_dp"]


def test_a_change_that_only_a_training_stay_shows_is_refused(folder, monkeypatch):
    """The validation stays alone would let it pass."""
    from mortcond.deploy import check

    data, real = datasets.load(folder / "dataset.npz"), check.predict_apart

    def once_wrong(path, x):
        risk = real(path, x)
        if x.shape == data.train.X.shape and np.array_equal(x, data.train.X):
            risk[3] = (risk[3] + 0.5) % 1
        return risk

    monkeypatch.setattr(check, "predict_apart", once_wrong)
    with pytest.raises(LimitError, match=r"0\.5 on \d+ training stays"):
        room.quantize(session("quantize", folder))
    assert not (folder / "lstm-int8.tflite").exists()


def test_changed_stays_stay_possible():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(50, 6, 3)), rng.integers(0, 2, (50, 6, 2))], axis=2).astype(np.float32)
    X[:, 4:] = 0  # hours that nobody measured anything in
    changed = perturbed.perturbed(X, 0)
    assert changed.shape == X.shape
    assert set(np.unique(changed[:, :, 3:])) == {0, 1}
    assert (changed[:, 4:] == 0).all()
    assert changed[:, :4, :3].std() > 1.03 * X[:, :4, :3].std()
    assert np.array_equal(changed, perturbed.perturbed(X, 0))
    assert perturbed.perturbed(X[:0], 0).shape == (0, 6, 5)
