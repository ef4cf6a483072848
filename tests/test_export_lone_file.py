"""export of a `.tflite` file without the directory it was made of: the file's own weights, the file's own risks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_workspace import session, workspace
from export_networks import NETWORKS
from test_network import stays

from mortcond import dataset as datasets
from mortcond.commands import export as room
from mortcond.core.errors import InputError
from mortcond.deploy import compiled, integer, metadata
from mortcond.deploy.outline import MOST_NUMBERS, Outline, outline
from mortcond.deploy.recovered import recover
from mortcond.deploy.runtime import Predictor, Worker
from mortcond.deploy.tflite import build
from mortcond.deploy.weights import MODES
from mortcond.network import Network

needs_compiler = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler on this machine")
SUMMARISED = ("measured", "wide")  # of logarithms: of counts, which are not below zero


def told(network: Network) -> dict:
    return json.loads(json.dumps(outline(network)))


def some_stays(name: str) -> np.ndarray:
    x = stays()
    return np.abs(x) if name in SUMMARISED else x


def own_risks(data: bytes, x: np.ndarray) -> np.ndarray:
    return Worker(data, Path("file")).run(x)


@pytest.mark.parametrize("mode", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_read_back_from_a_file_in_each_mode(name, mode):
    network, x = NETWORKS[name](), some_stays(name)
    data = build(network, mode, x).bytes
    found = recover(data, network.arch, mode, told(network), "file")
    np.testing.assert_allclose(found.network.predict(x), own_risks(data, x), rtol=0, atol=2e-6)
    assert {key: array.shape for key, array in found.network.arrays().items()} == {
        key: array.shape for key, array in network.arrays().items()
    }
    if mode == "float32":
        for key, array in network.arrays().items():
            np.testing.assert_allclose(found.network.arrays()[key], array, rtol=2e-6, atol=1e-7)
    assert bool(found.steps) == (mode == "int8")


@pytest.mark.parametrize("mode", ["dynamic", "integer"])
def test_files_that_round_what_they_multiply_give_their_weights(mode):
    for name in ("lstm", "gru", "hlstm", "dnn", "joined"):
        network, x = NETWORKS[name](), stays()
        if mode == "integer" and not integer.fits(network):
            continue
        found = recover(build(network, mode, x).bytes, network.arch, mode, told(network), "file").network
        for key, array in network.arrays().items():
            if array.ndim == 2 and not name.startswith(("hlstm", "dnn")):  # those are equalised
                assert (
                    np.abs(found.arrays()[key] - array).max() <= np.abs(array).max() / 20
                )  # a column makes up for others
        np.testing.assert_allclose(found.predict(x), network.predict(x), rtol=0, atol=0.01)


def test_features_far_off_have_weights_of_their_own():
    network, x = NETWORKS["lstm"](), stays()
    x[:, :, 2] *= 200
    data = build(network, "int8", x).bytes
    found = recover(data, network.arch, "int8", told(network), "file")
    np.testing.assert_allclose(found.network.predict(x), own_risks(data, x), rtol=0, atol=1e-5)


def test_an_outline_of_another_network_is_refused():
    network = NETWORKS["lstm"]()
    data = build(network, "float32").bytes
    for other in ("gru", "hlstm", "dnn", "activations"):
        with pytest.raises(InputError, match="cannot be read back"):
            recover(data, "lstm", "float32", told(NETWORKS[other]()), "file")
    with pytest.raises(InputError, match="cannot be read back"):
        recover(data, "lstm", "int8", told(network), "file")  # not how a file of 8 bits is written
    wider = replace(network, hours=network.hours + 1)
    with pytest.raises(InputError, match="cannot be read back"):
        recover(data, "lstm", "float32", told(wider), "file")


def test_broken_outlines_are_refused():
    whole = told(NETWORKS["lstm"]())
    name, kind, inputs, arrays, *rest = whole["nodes"][-1]
    wrong = [
        {},
        whole | {"hours": 0},
        whole | {"nodes": [[name, "unheard", inputs, arrays]]},
        whole | {"nodes": [[name, kind, ["nowhere"], arrays]]},
        whole | {"nodes": [[name, kind, inputs, {"kernel": [-1, 4]}]]},
        whole | {"nodes": [[name, kind, inputs, {"kernel": [MOST_NUMBERS, 2]}]]},
        whole | {"nodes": [[name, kind, inputs, arrays, *rest, {}, {}, {}, {}]]},
        whole | {"nodes": [[name]]},
    ]
    for one in wrong:
        with pytest.raises(InputError, match="cannot be read back"):
            recover(build(NETWORKS["lstm"](), "float32").bytes, "lstm", "float32", one, "file")


def test_an_outline_is_all_of_a_network_but_its_numbers():
    for make in NETWORKS.values():
        network = make()
        shape = Outline.of(network.arch, told(network))
        again = shape.filled(np.zeros(shape.size))
        assert [(n.name, n.layer.kind, n.inputs) for n in again.nodes] == [
            (n.name, n.layer.kind, n.inputs) for n in network.nodes
        ]


# The command.


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with files of a model and its data set, the model's directory gone."""
    folder = tmp_path_factory.mktemp("made")
    workspace(folder)
    for mode in ("int8", "dynamic"):
        room.export(session("export", folder), folder / "lstm", to="tflite", mode=mode)
    shutil.copy(folder / "lstm" / "model.tflite", folder / "whole.tflite")
    shutil.rmtree(folder / "lstm")
    (folder / "dataset.npz").rename(folder / "moved.npz")
    return folder


@pytest.fixture
def alone(made, tmp_path):
    """A folder with nothing but the files; the data set is in the folder above."""
    found = tmp_path / "alone"
    found.mkdir()
    shutil.copy(made / "moved.npz", tmp_path / "dataset.npz")
    for file in made.glob("*.tflite"):
        shutil.copy(file, found)
    return found


def risks_of(path: Path, x: np.ndarray) -> np.ndarray:
    return Predictor(path).predict(x)


@needs_compiler
def test_c_keeps_the_8_bits_of_a_lone_file(alone, tmp_path):
    file = alone / "lstm-int8.tflite"
    result = room.export(session("export", alone), file)
    assert (result["mode"], result["model"], result["check"]["split"]) == ("int8", str(file), "made up")
    assert result["check"]["max_abs_dp"] < 2e-6
    source, header = (Path(path).read_text(encoding="utf-8") for path in result["files"])
    x = datasets.load(tmp_path / "dataset.npz").val.X
    risks = compiled.load(compiled.build(tmp_path, source, header, "lstm-int8"))(x)
    np.testing.assert_allclose(risks, risks_of(file, x), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("name", "limit"), [("whole", 2e-6), ("lstm-int8", 2e-6), ("lstm-dynamic", 0.02)])
def test_onnx_of_a_lone_file_gives_its_risks(alone, tmp_path, name, limit):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    result = room.export(
        session("export", alone), alone / f"{name}.tflite", to="onnx", dataset=tmp_path / "dataset.npz"
    )
    assert (result["mode"], result["check"]["split"]) == ("float32", "val")
    assert result["check"]["max_abs_dp"] < limit


def test_html_of_a_lone_file_gives_its_risks(alone):
    result = room.export(session("export", alone), alone / "lstm-int8.tflite", to="html")
    assert '"threshold":0.21' in (alone / "lstm-int8.html").read_text(encoding="utf-8")
    if shutil.which("node"):
        assert result["check"]["max_abs_dp"] < 2e-6


def test_tflite_of_a_lone_file_is_itself_or_in_another_mode(alone, tmp_path):
    file = alone / "lstm-int8.tflite"
    same = room.export(session("export", alone), file, to="tflite", out=alone / "same.tflite")
    assert Path(same["path"]).read_bytes() == file.read_bytes()
    wide = room.export(session("export", alone), file, to="tflite", mode="float32")
    x = datasets.load(tmp_path / "dataset.npz").val.X
    np.testing.assert_allclose(risks_of(Path(wide["path"]), x), risks_of(file, x), rtol=0, atol=2e-6)
    record = metadata.read(Path(wide["path"]))
    assert (record["manifest"]["quantization"], record["manifest"]["parent"]["name"]) == ("float32", "lstm-int8")
    assert record["inputs"] == metadata.read(file)["inputs"]
    rounded = room.export(
        session("export", alone), alone / "whole.tflite", to="tflite", mode="int8", dataset=tmp_path / "dataset.npz"
    )
    assert rounded["check"]["max_abs_dp"] < 0.01


def test_lone_files_that_cannot_be_read_back_are_refused(alone):
    file = alone / "lstm-int8.tflite"
    record = metadata.read(file)
    old = alone / "old.tflite"
    old.write_bytes(metadata.attach(file.read_bytes(), {k: v for k, v in record.items() if k != "network"}))
    with pytest.raises(InputError, match="does not say how its network is built, and lstm, which"):
        room.export(session("export", alone), old)
    shapes = json.loads(json.dumps(record["network"]).replace('"masking"', '"dropout"'))
    other = alone / "other.tflite"
    other.write_bytes(metadata.attach(file.read_bytes(), record | {"network": shapes}))
    with pytest.raises(InputError, match="cannot be read back"):
        room.export(session("export", alone), other)
    assert not list(alone.glob("*.c"))


def test_every_mode_has_an_outline():
    network = NETWORKS["dnn"]()
    assert all(build(network, mode).outline == outline(network) for mode in MODES)
