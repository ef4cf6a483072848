"""Metadata in `.tflite` files, and what is said of files that are not what they claim."""

import json
import zlib

import numpy as np
import pytest
from condense_networks import lstm, stays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mortcond.core.errors import InputError
from mortcond.dataset import InputSpec
from mortcond.deploy import metadata, tflite
from mortcond.deploy.anatomy import anatomy
from mortcond.deploy.flatbuffer import Malformed
from mortcond.deploy.runtime import Predictor
from mortcond.variables import load

NETWORK = lstm((3, 3))
PLAIN = tflite.build(NETWORK).bytes
RECORD = {"inputs": {"feature_names": ["α", "mask->α"], "mean": [0.1, 1 / 3]}, "threshold": None, "n": 3}
FILE = metadata.attach(PLAIN, RECORD)


def written(tmp_path, data: bytes):
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    return path


def test_what_was_attached_is_read_and_the_model_predicts_the_same(tmp_path):
    path = written(tmp_path, FILE)
    assert metadata.read(path) == RECORD
    x, _ = stays()
    np.testing.assert_allclose(Predictor(path).predict(x), NETWORK.predict(x), atol=1e-6)


def test_attaching_again_replaces(tmp_path):
    path = written(tmp_path, metadata.attach(FILE, {"n": 4}))
    assert metadata.read(path) == {"n": 4}
    assert Predictor(path).metadata == {"n": 4}


def test_a_file_without_metadata_has_none_and_predicts(tmp_path):
    path = written(tmp_path, PLAIN)
    assert metadata.read(path) is None
    x, _ = stays()
    np.testing.assert_allclose(Predictor(path).predict(x), NETWORK.predict(x), atol=1e-6)


def test_a_changed_weight_is_told(tmp_path):
    data = bytearray(FILE)
    data[len(data) - 200] ^= 1
    path = written(tmp_path, bytes(data))
    for read in (metadata.read, Predictor):
        with pytest.raises(InputError, match="changed after it was written"):
            read(path)


def test_metadata_of_a_megabyte_is_refused(tmp_path):
    noise = np.random.default_rng(0).bytes(600_000).hex()
    path = written(tmp_path, metadata.attach(PLAIN, {"noise": noise}))
    with pytest.raises(InputError, match=r"metadata of [\d,]+ bytes"):
        Predictor(path)


def test_metadata_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = written(tmp_path, metadata.attach(PLAIN, {"bomb": "0" * (metadata.MOST_TEXT + 1)}))
    assert path.stat().st_size < 40_000
    with pytest.raises(InputError, match="unpacks to more than"):
        metadata.read(path)


@pytest.mark.parametrize("text", [b"[1, 2]", b"no json", b"\xff"])
def test_metadata_that_is_no_object_is_refused(tmp_path, text, monkeypatch):
    compressed = metadata.compress(text)
    monkeypatch.setattr(metadata, "compress", lambda _: compressed)
    with pytest.raises(InputError, match="metadata"):
        metadata.read(written(tmp_path, metadata.attach(PLAIN, {})))


@pytest.mark.parametrize("table", ["paper76", "extended"])
def test_a_table_of_variables_that_comes_with_it_costs_little(table):
    record = {"inputs": spec_of(table), "intended_use": metadata.INTENDED_USE, "limits": metadata.LIMITS}
    plain = len(zlib.compress(json.dumps(record).encode(), 9))
    assert len(metadata.attach(PLAIN, record)) - len(PLAIN) < 1_000 < plain


def spec_of(table: str) -> dict:
    variables, generator = load(table), np.random.default_rng(0)
    count = len(variables.columns(()))
    mean = np.where(np.arange(count) < 12, np.round(generator.normal(50, 30, count), 4), 0)
    normals = tuple(float(variable.normal_value or 0) for variable in variables)
    return InputSpec(variables, 48, (), normals, mean, np.ones(count), 0.13).to_dict()


def test_text_compressed_by_another_version_is_refused(tmp_path, monkeypatch):
    compressed = b"9" + metadata.compress(b"{}")[1:]
    monkeypatch.setattr(metadata, "compress", lambda _: compressed)
    with pytest.raises(InputError, match="a newer mortcond"):
        metadata.read(written(tmp_path, metadata.attach(PLAIN, {})))


def refusals(tmp_path, data: bytes) -> str:
    """Return how a file is taken: `read`, or the problem it is refused for."""
    path = written(tmp_path, data)
    try:
        embedded = metadata.extract(path.read_bytes(), path)
        anatomy(data)
    except (InputError, Malformed) as error:
        return str(error)
    return "read" if embedded is None or embedded.intact else "changed"


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0" * 64, b"\x18\0\0\0TFL3", b"PK\x03\x04" * 40, FILE[:100], FILE[:-1]]
)
def test_files_that_are_no_models_are_refused(tmp_path, data):
    assert refusals(tmp_path, data) != "read"
    with pytest.raises(InputError):
        Predictor(written(tmp_path, data))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(FILE) - 1), st.binary(min_size=1, max_size=12), st.booleans())
def test_no_change_goes_unseen(tmp_path, place, patch, cut):
    data = FILE[:place] if cut else FILE[:place] + patch + FILE[place + len(patch) :]
    if data != FILE:
        assert refusals(tmp_path, data) != "read"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_never_raise_anything_else(tmp_path, data, marked):
    refusals(tmp_path, data[:4] + b"TFL3" + data[4:] if marked else data)


@pytest.mark.slow
def test_mutated_files_without_metadata_never_crash_this_process(tmp_path):
    generator, x = np.random.default_rng(0), stays(2)[0]
    for _ in range(40):
        data = bytearray(PLAIN)
        for place in generator.integers(0, min(len(data), 2500), 3):
            data[place] = generator.integers(0, 256)
        try:
            Predictor(written(tmp_path, bytes(data))).predict(x)
        except InputError:
            continue


def test_a_model_of_something_else_is_refused(tmp_path):
    from mortcond.deploy import ops
    from mortcond.deploy.graph import Graph

    graph = Graph()
    main = graph.subgraph()
    a, b = main.input("float32", (-1, 3)), main.input("float32", (-1, 3))
    main.outputs = [ops.add(main, a, b)]
    graph.name(["a", "b"], ["sum"])
    with pytest.raises(InputError, match="no model of stays"):
        Predictor(written(tmp_path, metadata.attach(graph.to_bytes(), {})))


def test_other_features_and_hours_are_refused(tmp_path):
    model = Predictor(written(tmp_path, FILE))
    for shape in ((2, model.hours, model.features + 1), (2, model.hours - 1, model.features), (2, model.features)):
        with pytest.raises(InputError, match="features"):
            model.predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("number", [b"1", b"2"])
def test_what_was_compressed_with_an_earlier_dictionary_is_still_read(number):
    text = metadata.as_text({"inputs": {"feature_names": ["Glucose"]}, "parameters": 3}).encode()
    earlier = metadata.DICTIONARIES[number].read_bytes()
    assert metadata.decompress(number + metadata._deflated(text, earlier)) == text
