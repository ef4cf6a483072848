"""Files that want to run code or read other files: nothing of them is executed, and nothing else is touched."""

import base64
import json
import marshal
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest
from networks_of_others import KERAS, TORCH

from mortcond.core.errors import InputError
from mortcond.exchange import keras_archive
from mortcond.exchange.load import Given, load

keras = pytest.importorskip("keras")
UNCOMPARED = Given(compare=False)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that every piece of hostile code here would write, and a module that writes it when it is imported."""
    path = tmp_path / "canary"
    (tmp_path / "hostile_module.py").write_text(f"open({str(path)!r}, 'w').close()\n\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    return path


def keras_file(path, change) -> None:
    """A .keras file of an LSTM with its configuration changed by `change`."""
    KERAS[1].make().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def lambda_layer(canary) -> dict:
    code = compile(f"open({str(canary)!r}, 'w')", "hostile", "eval")
    text = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    config = {"name": "evil", "trainable": True, "dtype": "float32", "function": function}
    return {"module": "keras.layers", "class_name": "Lambda", "config": config, "registered_name": None, "name": "evil"}


def test_a_lambda_layer_is_refused_and_not_run(canary, tmp_path):
    path = tmp_path / "evil.keras"
    keras_file(path, lambda config: config["config"]["layers"].insert(1, lambda_layer(canary)))
    with pytest.raises(InputError, match=r"evil \(Lambda\).*code"):
        load(path)
    assert not canary.exists()


def test_a_layer_of_a_module_of_its_own_is_refused_and_not_imported(canary, tmp_path):
    path = tmp_path / "evil.keras"

    def change(config):
        config["config"]["layers"][1] |= {"module": "hostile_module", "class_name": "LSTM", "registered_name": "LSTM"}

    keras_file(path, change)
    with pytest.raises(InputError, match="hostile_module"):
        load(path)
    assert not canary.exists()


@pytest.mark.parametrize("where", ["initializer", "compile", "build", "policy"])
def test_what_changes_no_risk_is_not_handed_on_to_keras(canary, tmp_path, where):
    path = tmp_path / "evil.keras"
    evil = {"module": "hostile_module", "class_name": "Evil", "config": {}, "registered_name": "Evil"}

    def change(config):
        layer = config["config"]["layers"][1]
        if where == "initializer":
            layer["config"] |= {"kernel_initializer": evil, "bias_regularizer": evil, "recurrent_constraint": evil}
        elif where == "compile":
            config["compile_config"] = {"optimizer": evil, "loss": evil}
        elif where == "build":
            layer["build_config"] = config["build_config"] = {"input_shape": evil}
        else:
            layer["config"]["dtype"] = evil | {"config": {"name": "float32"}}

    keras_file(path, change)
    assert load(path).agreement.largest_difference < 1e-5
    assert not canary.exists()


def test_an_activation_that_is_code_is_refused(canary, tmp_path):
    path = tmp_path / "evil.keras"
    evil = {"module": "hostile_module", "class_name": "function", "config": "Evil", "registered_name": "Evil"}
    keras_file(path, lambda config: config["config"]["layers"][1]["config"].update(activation=evil))
    with pytest.raises(InputError, match="activation of its own"):
        load(path)
    assert not canary.exists()


def test_hdf5_with_a_lambda_is_refused(canary, tmp_path):
    path = tmp_path / "evil.h5"
    KERAS[1].make().save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"].insert(1, lambda_layer(canary))
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match="Lambda"):
        load(path, UNCOMPARED)
    assert not canary.exists()


@pytest.mark.parametrize("how", ["link", "external", "virtual"])
def test_hdf5_that_reads_another_file_is_refused(tmp_path, how):
    path, secret = tmp_path / "evil.h5", tmp_path / "secret.h5"
    KERAS[1].make().save(path)
    shape = (5, 16)
    with h5py.File(secret, "w") as other:
        other["numbers"] = np.ones(shape, np.float32)
    with h5py.File(path, "r+") as file:
        names = [name for name in _arrays(file) if file[name].shape == shape]
        del file[names[0]]
        if how == "link":
            file[names[0]] = h5py.ExternalLink(str(secret), "/numbers")
        elif how == "external":
            file.create_dataset(names[0], shape, np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        else:
            layout = h5py.VirtualLayout(shape, np.float32)
            layout[:] = h5py.VirtualSource(str(secret), "numbers", shape)
            file.create_virtual_dataset(names[0], layout)
    with pytest.raises(InputError, match="no array of this file"):
        load(path, UNCOMPARED)


def _arrays(file) -> list[str]:
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


class Evil:
    """A pickle that writes the canary when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["network.pkl", "network.pt", "network.onnx", "network.h5"])
def test_a_pickle_is_refused_and_not_read(canary, tmp_path, name):
    path, data = tmp_path / name, pickle.dumps(Evil(canary))
    if name.endswith(".pt"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
    else:
        path.write_bytes(data)
    with pytest.raises(InputError, match="pickle"):
        load(path)
    assert not canary.exists()


def test_of_a_saved_model_only_description_and_numbers_are_read(canary, tmp_path):
    """Its graph could hold operators that write files: here it is no graph at all, and nobody notices."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\xff no graph")
    with pytest.raises(InputError, match="without Keras' own description"):
        load(folder)
    record = {"class_name": "Sequential", "config": {"name": "s", "layers": [lambda_layer(canary)]}}
    text = json.dumps(record | {"keras_version": "2.9.0"}).encode()
    path, body = b"root", b""
    for number, value in ((3, path), (5, text)):
        body += bytes([number << 3 | 2]) + _varint(len(value)) + value
    (folder / "keras_metadata.pb").write_bytes(bytes([1 << 3 | 2]) + _varint(len(body)) + body)
    with pytest.raises(InputError):
        load(folder)
    assert not canary.exists()


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def test_onnx_that_reads_another_file_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = _onnx(tmp_path)
    (tmp_path / "inner").mkdir()
    model = onnx.load(path)
    (tmp_path / "secret").write_bytes(bytes(1 << 12))
    for location in ("../secret", str(tmp_path / "secret"), "link"):
        target = tmp_path / "inner" / "network.onnx"
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = 1
        tensor.external_data.add(key="location", value=location)
        target.write_bytes(model.SerializeToString())
        (tmp_path / "inner" / "link").unlink(missing_ok=True)
        (tmp_path / "inner" / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(InputError, match="no file beside it"):
            load(target, UNCOMPARED)


def test_an_operator_of_another_library_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = _onnx(tmp_path)
    model = onnx.load(path)
    model.graph.node[-1].domain = "com.evil"
    model.opset_import.add(domain="com.evil", version=1)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="not supported"):
        load(path)


def _onnx(folder):
    torch = pytest.importorskip("torch")
    module, example = TORCH[0].make()
    torch.onnx.export(module, (example,), str(folder / "network.onnx"), dynamo=False, input_names=["x"])
    return folder / "network.onnx"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(99), b"{}", bytes(300)])
def test_bytes_that_are_no_network_are_an_input_error(tmp_path, content):
    path = tmp_path / "network.any"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load(path)


def test_a_bomb_in_a_zip_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_archive, "MOST_BYTES", 1 << 20)
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="larger"):
        load(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "network.keras"
    KERAS[1].make().save(path)
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_gives_a_network_or_a_clean_error(whole, tmp_path, seed):
    path, generator = tmp_path / "network.keras", np.random.default_rng(seed)
    data = bytearray(whole)
    for place in generator.integers(0, len(data), 1 + seed % 5):
        data[place] = generator.integers(0, 256)
    path.write_bytes(data[: generator.integers(0, len(data))] if seed % 7 == 0 else data)
    try:
        network = load(path, UNCOMPARED).network
    except InputError:
        return
    assert np.isfinite(network.predict(np.zeros((1, network.hours, network.features)))).all()
