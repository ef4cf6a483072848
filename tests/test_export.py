"""export: what each form is, how it was checked, from which models it is made, and what is refused."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from deploy_workspace import NAMES, network, session, workspace

from mortcond import dataset as datasets
from mortcond.commands import export as room
from mortcond.core.errors import InputError, LimitError, UsageError
from mortcond.core.manifest import Manifest, read_manifest, write_manifest
from mortcond.deploy import compiled, trial


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A workspace whose model directory keeps its network, with something in the place of what TensorFlow writes."""
    workspace(tmp_path)
    directory = tmp_path / "lstm"
    manifest = read_manifest(directory)
    (directory / "model.keras").write_bytes(b"a Keras file")
    (directory / "saved_model.pb").write_bytes(b"a SavedModel")
    (directory / "variables").mkdir()
    (directory / "variables" / "variables.index").write_bytes(b"its weights")
    write_manifest(directory, Manifest(**(manifest.__dict__ | {"sha256": None})))
    return tmp_path


needs_compiler = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler on this machine")


def validation(folder: Path) -> np.ndarray:
    return datasets.load(folder / "dataset.npz").val.X


@needs_compiler
@pytest.mark.parametrize(("mode", "limit"), [(None, 1e-6), ("int8", 0.02)])
def test_c_is_a_source_and_a_header_that_equal_the_network(folder, tmp_path, mode, limit):
    result = room.export(session("export", folder), folder / "lstm", mode=mode, out=folder / "a ward's.c")
    assert [Path(path).name for path in result["files"]] == ["a ward's.c", "a ward's.h"]
    assert (result["mode"], result["check"]["split"], result["check"]["stays"]) == (mode or "float32", "val", 40)
    assert result["check"]["max_abs_dp"] < limit
    source, header = (Path(path).read_text(encoding="utf-8") for path in result["files"])
    build = tmp_path / "build"
    build.mkdir()
    risks = compiled.load(compiled.build(build, source, header, "a ward's"))(validation(folder))
    np.testing.assert_allclose(risks, network().predict(validation(folder)), rtol=0, atol=limit)
    assert read_manifest(folder / "lstm").sha256 in source
    assert "train: lstm" in header
    assert result["size_bytes"] == len(source.encode()) + len(header.encode())
    assert "DA_WARD_S_MAIN" in "".join(room.render(result))


def test_html_is_one_page_with_its_origin(folder):
    words = folder / "words.json"
    words.write_text(json.dumps({"language": "fr", "print": "Imprimer"}))
    result = room.export(session("export", folder), to="html", mode="int8", strings=words)
    text = (folder / "lstm.html").read_text(encoding="utf-8")
    assert result["files"] == [str(folder / "lstm.html")]
    assert '<html lang="fr"' in text
    assert read_manifest(folder / "lstm").sha256 in text
    assert '"threshold":0.21' in text
    if shutil.which("node"):
        assert result["check"]["by"] == "node"
        assert result["check"]["max_abs_dp"] < 0.02


def test_onnx_carries_its_metadata(folder):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    result = room.export(session("export", folder), to="onnx")
    assert result["check"]["max_abs_dp"] < 1e-5
    said = {entry.key: entry.value for entry in onnx.load(folder / "lstm.onnx").metadata_props}
    assert json.loads(said["manifest"])["name"] == "lstm"
    assert json.loads(said["inputs"])["feature_names"] == list(NAMES)
    assert said["intended_use"]


def test_what_the_directory_keeps_is_given_as_it_is(folder):
    assert room.export(session("export", folder), to="keras")["check"] is None
    assert (folder / "lstm.keras").read_bytes() == b"a Keras file"
    room.export(session("export", folder), to="savedmodel")
    found = {path.name: path.read_bytes() for path in (folder / "lstm-savedmodel").rglob("*") if path.is_file()}
    assert found == {"saved_model.pb": b"a SavedModel", "variables.index": b"its weights"}


def test_tflite_is_quantize(folder):
    result = room.export(session("export", folder), to="tflite")
    assert result["mode"] == "int8"
    assert Path(result["path"]).name == "lstm-int8.tflite"


@needs_compiler
@pytest.mark.parametrize("beside", [True, False])
def test_a_tflite_file_is_exported_as_it_is_with_and_without_its_directory(folder, beside):
    room.export(session("export", folder), to="tflite")
    if not beside:
        shutil.rmtree(folder / "lstm")
    result = room.export(session("export", folder), Path("lstm-int8.tflite"), out=folder / "small.c")
    assert result["mode"] == "int8"
    assert result["model"] == str(folder / "lstm-int8.tflite")
    assert result["check"]["max_abs_dp"] < 1e-5  # the same 8 bits, not those that rounding anew would choose


@needs_compiler
def test_without_the_data_set_it_is_checked_on_made_up_stays(folder):
    (folder / "dataset.npz").unlink()
    result = room.export(session("export", folder), mode="int8")
    assert (result["check"]["split"], result["check"]["stays"]) == ("made up", 64)
    with pytest.raises(InputError, match="no data set"):
        room.export(session("export", folder), dataset=folder / "none.npz", out=folder / "other.c")


@needs_compiler
def test_a_file_that_predicts_something_else_is_not_written(folder, monkeypatch):
    real = trial.of_c
    monkeypatch.setattr(trial, "of_c", lambda *given: (real(*given)[0] + 2e-5, "cc"))
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(
        LimitError, match=r"differs from .* by up to 2e-05 in probability on 40 stays; 1e-05 is allowed"
    ):
        room.export(session("export", folder))
    assert sorted(path.name for path in folder.iterdir()) == before


def test_without_anything_to_run_it_the_result_says_so(folder, monkeypatch):
    monkeypatch.setattr(compiled, "compiler", lambda: None)
    result = room.export(session("export", folder))
    assert result["check"] is None
    assert "It was not run" in "".join(room.render(result))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"to": "rust"}, "--to rust is unknown"),
        ({"to": "c", "mode": "float16"}, "--to c has no mode float16"),
        ({"to": "onnx", "mode": "int8"}, "--to onnx has no mode int8"),
        ({"to": "c", "strings": Path("de.json")}, "--strings is of no use with --to c"),
        ({"to": "c", "out": Path("risk")}, r"--out risk does not end in \.c"),
    ],
)
def test_options_that_contradict_each_other(folder, asked, message):
    with pytest.raises(UsageError, match=message):
        room.export(session("export", folder), **asked)


def test_what_it_refuses(folder):
    with pytest.raises(InputError, match="There is no model absent"):
        room.export(session("export", folder), Path("absent"))
    (folder / "lstm.h").write_text("of somebody")
    with pytest.raises(UsageError, match=r"lstm\.h exists already"):
        room.export(session("export", folder))
    (folder / "plain.tflite").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match=r"plain\.tflite"):
        room.export(session("export", folder), folder / "plain.tflite", out=folder / "plain.c")
    (folder / "lstm" / "network.npz").write_bytes(b"changed")
    with pytest.raises(InputError, match=r"network\.npz"):
        room.export(session("export", folder), out=folder / "changed.c")


def test_the_page_allows_its_own_script_and_style_alone(folder):
    room.export(session("export", folder), to="html")
    text = (folder / "lstm.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    for kind, element in (("script", "<script>"), ("style", "<style>")):
        content = text.split(element)[1].split(f"</{kind}>")[0]
        digest = hashlib.sha256(content.encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_no_tensorflow_is_loaded(folder, tmp_path):
    code = "import sys; from mortcond.cli import app; app(sys.argv[1:], standalone_mode=False); "
    code += "assert not {'tensorflow', 'keras'} & set(sys.modules), 'loaded'"
    command = [
        sys.executable,
        "-c",
        code,
        "export",
        str(folder / "lstm"),
        "--to",
        "html",
        "-o",
        str(tmp_path / "a.html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "loaded" not in done.stderr
    assert (tmp_path / "a.html").is_file(), done.stderr


@pytest.mark.parametrize(("runtime", "module"), [("c", None), ("onnx", "onnxruntime")])
def test_bench_measures_what_is_exported(folder, tmp_path, runtime, module):
    from mortcond.measure.worker import Worker

    pytest.importorskip(module or "ctypes")
    if runtime == "c" and compiled.compiler() is None:
        pytest.skip("there is no C compiler on this machine")
    x = validation(folder)
    np.save(tmp_path / "x.npy", x)
    worker = Worker()
    made = worker.start(runtime, str(folder / "lstm" / "model.keras"), str(tmp_path))["file"]
    worker.load(runtime, made, 1, str(tmp_path / "x.npy"))
    worker.predict(str(tmp_path / "risks.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "risks.npy"), network().predict(x), rtol=0, atol=1e-5)
    assert min(worker.measure(1, 0.01, 8)["us"]) > 0


@pytest.mark.parametrize("module", ["mortcond.deploy.compiled", "mortcond.deploy.onnx_graph"])
def test_a_directory_that_cannot_be_written_otherwise_ends_with_a_sentence(tmp_path, module):
    command = [sys.executable, "-m", module, str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("InputError: ")
