"""The model directory as others see it: TensorFlow, Keras and TFLite's own converter. Slow: they are loaded."""

import subprocess
import sys

import numpy as np
import pytest
from condense_networks import GENERAL, dnn, hlstm, lstm, stays
from deploy_workspace import session

from mortcond.core.artifacts import sha256
from mortcond.core.errors import InputError, as_mortcond_error
from mortcond.core.manifest import read_manifest
from mortcond.deploy import directory, metadata
from mortcond.exchange.load import Given, load

pytestmark = pytest.mark.slow

OTHERS = """
import sys, numpy as np, tensorflow as tf
folder, x = sys.argv[1], np.load(sys.argv[2])
served = tf.saved_model.load(folder).signatures["serving_default"]
converter = tf.lite.TFLiteConverter.from_saved_model(folder)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
interpreter = tf.lite.Interpreter(model_content=converter.convert())
risks = {"saved_model": served(stays=tf.constant(x))["risk"].numpy()}
risks["converted"] = interpreter.get_signature_runner("serving_default")(stays=x)["risk"]
import keras, mortcond.layers.keras_layers
risks["keras"] = keras.saving.load_model(folder + "/model.keras").predict(x, verbose=0)
np.savez(sys.argv[3], **risks)
"""


@pytest.mark.parametrize("name", ["lstm", "hlstm", "dnn", *GENERAL])
def test_saved_model_keras_file_and_the_stock_converter_agree(name, tmp_path):
    network = {
        "lstm": lstm((5, 4)),
        "hlstm": hlstm(4, (5, 3)),
        "dnn": dnn(),
        **{other: make() for other, make in GENERAL.items()},
    }[name]
    network = network.with_arrays({key: array.astype(np.float32) for key, array in network.arrays().items()})
    inputs = {"dataset": {"path": "dataset.npz", "sha256": "0" * 64}}
    manifest = session("train", tmp_path).manifest("model", name, inputs, arch=name, parameters=network.parameters)
    folder, x = tmp_path / name, stays(7)[0]
    (tmp_path / "kept").mkdir()
    network.save(tmp_path / "kept" / "epoch-001.npz")
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "seconds": 1.0}]
    directory.write_model(folder, network, manifest, rows, tmp_path / "kept", {"prevalence": 0.1})

    files = {path.name for path in folder.iterdir()}
    expected = {
        "saved_model.pb",
        "variables",
        "network.npz",
        "model.keras",
        "model.tflite",
        "history.csv",
        "checkpoints",
    }
    assert expected | {"manifest.json"} <= files
    assert read_manifest(folder).sha256 == sha256(folder)
    assert metadata.read(folder / "model.tflite")["prevalence"] == 0.1
    assert (folder / "history.csv").read_text().splitlines()[0] == "epoch,loss,seconds"

    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-c", OTHERS, str(folder), str(tmp_path / "x.npy"), str(tmp_path / "risk.npz")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    with np.load(tmp_path / "risk.npz") as risks:
        for other in risks.files:
            np.testing.assert_allclose(risks[other][:, 0], network.predict(x), rtol=0, atol=1e-5, err_msg=other)
    again = load(folder / "model.keras", Given(compare=False)).network
    np.testing.assert_allclose(again.predict(x), network.predict(x), rtol=0, atol=1e-6)


def test_an_interrupted_write_leaves_the_old_directory(tmp_path, monkeypatch):
    target = tmp_path / "lstm"
    target.mkdir()
    (target / "old").write_text("old")
    monkeypatch.setattr(directory, "tflite_bytes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        directory.write_model(target, lstm(), None, [], None, {})
    assert [path.name for path in tmp_path.iterdir()] == ["lstm"]
    assert (target / "old").read_text() == "old"


@pytest.mark.parametrize("limit", [0, 300, 3_000, 15_000, 30_000])
def test_a_disk_that_is_full_at_any_moment_is_told_as_such(tmp_path, limit):
    """TensorFlow, Keras and h5py tell of it in words of their own. The limit stands for the disk."""
    resource = pytest.importorskip("resource")
    (tmp_path / "lstm").mkdir()
    network, before = lstm(), resource.getrlimit(resource.RLIMIT_FSIZE)
    manifest = session("train", tmp_path).manifest("model", "lstm", {}, arch="lstm", parameters=network.parameters)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match=r"lstm|No such") as caught:
            directory.write_model(tmp_path / "lstm", network, manifest, [], None, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(as_mortcond_error(caught.value), InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["lstm"]
    assert list((tmp_path / "lstm").iterdir()) == []
