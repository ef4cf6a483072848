"""import: networks of others become model directories; their data, their proof, and what the commands make of them."""

import csv
import pickle

import h5py
import numpy as np
import pytest
from networks_of_others import FEATURES, HOURS, KERAS

from mortcond import dataset as datasets
from mortcond.commands.import_ import import_
from mortcond.commands.predict import predict
from mortcond.commands.preprocess import preprocess
from mortcond.core.errors import InputError, UsageError
from mortcond.core.session import Session
from mortcond.dataset.arrays import from_arrays
from mortcond.deploy.runtime import Predictor
from mortcond.exchange import preparation
from mortcond.exchange.compare import probing_stays
from mortcond.exchange.load import Given, load
from mortcond.network import Network
from mortcond.variables import load as load_variables


@pytest.fixture
def session(tmp_path) -> Session:
    return Session(workspace=tmp_path, overwrite=True)


@pytest.fixture
def lstm(tmp_path):
    """A .keras file of an LSTM, and the model."""
    pytest.importorskip("keras")
    model = KERAS[0].make()
    model.save(tmp_path / "theirs.keras")
    return tmp_path / "theirs.keras", model


def stays(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(3, 2, (count, HOURS, FEATURES)), generator.integers(0, 2, count)


def test_an_imported_network_predicts_as_its_framework(lstm, session, tmp_path):
    path, model = lstm
    result = import_(session, path)
    assert result["agreement"]["largest_difference"] < 1e-5
    x = stays()[0].astype(np.float32)
    risks = Predictor(tmp_path / "theirs").predict(x)
    np.testing.assert_allclose(risks, model.predict_on_batch(x)[:, 0], atol=1e-5)
    assert Network.load(tmp_path / "theirs" / "network.npz").parameters == result["parameters"]


def test_known_risks_decide(lstm, session, tmp_path):
    path, model = lstm
    x, y = stays()
    data = from_arrays(x, y, scale=False)
    datasets.save(tmp_path / "x.npz", data)
    ids = np.concatenate([data.split(name).stay_id for name in datasets.SPLITS])
    known = dict(zip(range(len(x)), model.predict_on_batch(x.astype(np.float32))[:, 0], strict=True))
    for shift in (0.0, 1e-3):
        with (tmp_path / "risks.csv").open("w", newline="") as file:
            rows = [(stay, known[stay] + (shift if stay == ids[5] else 0)) for stay in ids]
            csv.writer(file).writerows([("stay_id", "risk"), *rows])
        how = {"check": tmp_path / "x.npz", "risks": tmp_path / "risks.csv", "compare": False}
        if shift:
            with pytest.raises(InputError, match=r"risks\.csv has"):
                import_(session, path, out=tmp_path / "wrong", **how)
            assert not (tmp_path / "wrong").exists()
        else:
            assert import_(session, path, **how)["risks"]["stays"] == len(x)


def test_scaling_of_unknown_columns_is_kept_for_arrays(lstm, session, tmp_path):
    path, _ = lstm
    x, y = stays()
    with (tmp_path / "scaling.csv").open("w", newline="") as file:
        rows = [(f"column {index}", 3, 2, int(index != 1)) for index in range(FEATURES)]
        csv.writer(file).writerows([("column", "mean", "std", "scaled"), *rows])
    import_(session, path, scaling=tmp_path / "scaling.csv", compare=False)
    np.savez(tmp_path / "arrays.npz", X=x, y=y)
    preprocess(session, tmp_path / "arrays.npz", for_model=tmp_path / "theirs", out=tmp_path / "d.npz")
    data = datasets.load(tmp_path / "d.npz")
    wanted = (x.astype(np.float32) - np.where(np.arange(FEATURES) == 1, 0, 3)) / np.where(
        np.arange(FEATURES) == 1, 1, 2
    )
    np.testing.assert_allclose(data.test.X, wanted[data.test.stay_id], rtol=1e-5, atol=1e-6)
    result = predict(session, tmp_path / "theirs", tmp_path / "d.npz", out=tmp_path / "p.csv")
    assert result["stays"] == len(data.test)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"check": "x.npz"}, UsageError, "need each other"),
        ({"scaling": "s.csv", "normalizer": "n"}, UsageError, "say the same"),
        ({"window": 7}, InputError, "takes 6 hours"),
        ({"variables": "paper76"}, InputError, "76 columns"),
        ({"output": "logit"}, InputError, "ends in a sigmoid"),
    ],
)
def test_what_does_not_fit_is_refused(lstm, session, options, error, word, tmp_path):
    with pytest.raises(error, match=word):
        import_(session, lstm[0], out=tmp_path / "none", compare=False, **options)
    assert not (tmp_path / "none").exists()


def test_weights_alone_need_their_shape(lstm, session, tmp_path):
    _, model = lstm
    model.save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(InputError, match="weights alone"):
        import_(session, tmp_path / "only.weights.h5", compare=False)
    (tmp_path / "shape.json").write_text(model.to_json())
    weights = tmp_path / "only.weights.h5"
    result = import_(session, weights, model_config=tmp_path / "shape.json", out=tmp_path / "whole")
    assert result["agreement"]["largest_difference"] < 1e-5


# The scaling.


def test_the_benchmarks_normaliser_is_read_without_unpickling(tmp_path):
    names = load_variables("paper76").feature_names
    generator = np.random.default_rng(0)
    moments = {"means": generator.normal(size=76), "stds": generator.uniform(1, 2, 76)}
    (tmp_path / "n").write_bytes(pickle.dumps(moments, protocol=2))
    scaling = preparation.normalizer_of(tmp_path / "n", names)
    continuous = np.array(["->" not in name for name in names])
    assert continuous.sum() == 12
    np.testing.assert_array_equal(scaling.mean, np.where(continuous, moments["means"], 0))
    np.testing.assert_array_equal(scaling.std, np.where(continuous, moments["stds"], 1))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_a_hostile_normaliser_is_refused_and_not_run(tmp_path):
    (tmp_path / "n").write_bytes(pickle.dumps({"means": Evil(tmp_path / "canary"), "stds": np.ones(76)}, protocol=2))
    with pytest.raises(InputError, match="posix system"):
        preparation.normalizer_of(tmp_path / "n", load_variables("paper76").feature_names)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("a,1,0,1", "cannot scale"),
        ("a,x,1,1", "no number"),
        ("a,1,1,yes", "neither 0 nor 1"),
        ("a,nan,1,1", "cannot scale"),
    ],
)
def test_a_broken_scaling_names_its_row(tmp_path, row, word):
    (tmp_path / "s.csv").write_text(f"column,mean,std,scaled\n{row}\n")
    with pytest.raises(InputError, match=f"row 2.*{word}"):
        preparation.scaling_of(tmp_path / "s.csv")


def test_columns_in_another_order_than_the_tables_are_refused(tmp_path):
    names = list(load_variables("paper76").feature_names)
    names[0], names[5] = names[5], names[0]
    rows = "\n".join(f'"{name}",0,1,0' for name in names)
    (tmp_path / "s.csv").write_text(f"column,mean,std,scaled\n{rows}\n")
    with pytest.raises(InputError, match="not for the columns of paper76"):
        preparation.variables_of("paper76", preparation.scaling_of(tmp_path / "s.csv"), 76)


# Arrays of one's own, as a file.


def test_arrays_in_a_file_become_a_data_set(session, tmp_path):
    x, y = stays(200)
    x[:, :, 4] = x[:, :, 4] > 3  # a mask stays as it is
    np.savez(tmp_path / "arrays.npz", X=x, y=y, stay_id=np.arange(200) + 7, feature_names=list("abcde"))
    result = preprocess(session, tmp_path / "arrays.npz", out=tmp_path / "d.npz")
    data = datasets.load(tmp_path / "d.npz")
    assert result["splits"]["train"]["stays"] == len(data.train)
    assert data.feature_names == tuple("abcde")
    np.testing.assert_allclose(data.mean[:4], x[data.train.stay_id - 7][:, :, :4].mean((0, 1)), rtol=1e-6)
    assert (data.mean[4], data.std[4]) == (0, 1)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"X": np.zeros((4, 6)), "y": np.zeros(4)}, "not .stays, hours, features"),
        ({"X": np.zeros((4, 2, 3)), "y": np.zeros(3)}, "y"),
        ({"X": np.zeros((4, 2, 3)), "y": np.zeros(4), "z": np.zeros(4)}, "z is not known"),
        ({"X": np.full((4, 2, 3), np.nan), "y": np.zeros(4)}, "finite"),
    ],
)
def test_a_file_of_other_arrays_is_refused(arrays, word, session, tmp_path):
    np.savez(tmp_path / "arrays.npz", **arrays)
    with pytest.raises(InputError, match=word):
        preprocess(session, tmp_path / "arrays.npz", out=tmp_path / "d.npz")
    assert not (tmp_path / "d.npz").exists()


# What others trained for this very task.


def pretrained(folder, start: str):
    return next((folder / "pretrained").glob(f"{start}*.state"))


def test_the_public_benchmarks_network_gives_the_risks_that_others_published(test_data, session, tmp_path):
    """Through preprocess, import and predict: all 57 stays of the open demo, from the float32 .tflite file."""
    folder = test_data / "pretrained"
    how = {"scaling": folder / "ihm_normalizer.csv", "risks": folder / "demo_published_risks.csv"}
    preprocess(session, test_data / "mimic3-demo", scale=False, out=tmp_path / "raw.npz")
    path = pretrained(test_data, "r2k")
    result = import_(session, path, check=tmp_path / "raw.npz", out=tmp_path / "theirs", **how)
    assert result["risks"]["stays"] == 57
    assert result["risks"]["largest_difference"] < 1e-6
    preprocess(session, test_data / "mimic3-demo", for_model=tmp_path / "theirs", out=tmp_path / "d.npz")
    data = datasets.load(tmp_path / "d.npz")
    with (folder / "demo_published_risks.csv").open() as file:
        known = {int(row["icustay_id"]): float(row["published_risk"]) for row in csv.DictReader(file)}
    for name in datasets.SPLITS:
        split = data.split(name)
        risks = Predictor(tmp_path / "theirs").predict(split.X)
        np.testing.assert_allclose(risks, [known[int(stay)] for stay in split.stay_id], atol=1e-5)
    predict(session, tmp_path / "theirs", test_data / "mimic3-demo", out=tmp_path / "p.csv")
    with (tmp_path / "p.csv").open() as file:
        rows = {int(row["stay_id"]): float(row["risk"]) for row in csv.DictReader(file) if row["risk"]}
    assert max(abs(rows[stay] - risk) for stay, risk in known.items()) < 1.5e-6  # both have six decimals


def test_the_bidirectional_lstm_is_kept_as_such(test_data):
    from mortcond.exchange.load import load

    imported = load(pretrained(test_data, "k_lstm"))
    assert imported.network.parameters == 7569
    assert imported.origin == "Keras 2.1.2"
    assert [node.layer.gate_activation for node in imported.network.recurrent] == ["hard_sigmoid_keras2"] * 3


def test_neither_needs_tensorflow(test_data):
    import subprocess
    import sys

    code = "import sys; from pathlib import Path; from mortcond.exchange.load import load; load(Path(sys.argv[1]))"
    code += "; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    for start in ("k_lstm", "r2k"):
        subprocess.run([sys.executable, "-c", code, str(pretrained(test_data, start))], check=True)


# Weights alone, with the architecture.


def keras_of(arch: str, units: tuple[int, ...] = (5, 4)):
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Input((None, 7)), keras.layers.Masking(0.0)]
    for place, width in enumerate(units):
        kind = keras.layers.GRU if arch == "gru" else keras.layers.LSTM
        layer = kind(width, return_sequences=place + 1 < len(units), bias_initializer="random_normal")
        layers.append(keras.layers.Bidirectional(layer) if arch == "bilstm" else layer)
    return keras.Sequential([*layers, keras.layers.Dropout(0.3), keras.layers.Dense(1, activation="sigmoid")])


@pytest.mark.parametrize("arch", ["lstm", "gru", "bilstm"])
def test_weights_alone_take_the_shape_of_an_architecture(arch, session, tmp_path):
    model = keras_of(arch)
    model.save_weights(tmp_path / "only.weights.h5")
    model.save(tmp_path / "whole.keras")
    found = load(tmp_path / "only.weights.h5", Given(arch=arch, window=6, compare=False)).network
    whole = load(tmp_path / "whole.keras", Given(window=6, compare=False)).network
    x = probing_stays(whole)
    np.testing.assert_array_equal(found.predict(x), whole.predict(x))


def test_weights_alone_of_keras_2_take_its_gates(tmp_path):
    generator = np.random.default_rng(0)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["layer_names"] = b"2.1.2", [b"mask", b"lstm_1", b"lstm_2", b"out"]
        for name, shapes in {
            "mask": [],
            "lstm_1": [(7, 20), (5, 20), (20,)],
            "lstm_2": [(5, 16), (4, 16), (16,)],
            "out": [(4, 1), (1,)],
        }.items():
            names = [f"{name}/{place}" for place in range(len(shapes))]
            group = file.create_group(name)
            group.attrs["weight_names"] = [one.encode() for one in names]
            for one, shape in zip(names, shapes, strict=True):
                group[one] = generator.normal(size=shape).astype(np.float32)
    network = load(tmp_path / "old.h5", Given(arch="lstm", window=6)).network
    assert [node.layer.units for node in network.recurrent] == [5, 4]
    assert {node.layer.gate_activation for node in network.recurrent} == {"hard_sigmoid_keras2"}


@pytest.mark.parametrize(
    ("made", "asked", "word"),
    [
        ("gru", "lstm", "which no LSTM has"),
        ("lstm", "gru", "which no GRU has"),
        ("lstm", "bilstm", "which no Bidirectional has"),
    ],
)
def test_weights_of_another_architecture_are_refused(made, asked, word, session, tmp_path):
    keras_of(made).save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(InputError, match=word):
        import_(session, tmp_path / "only.weights.h5", arch=asked, compare=False)


def test_weights_with_more_dense_layers_than_the_architecture_are_refused(session, tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((6, 7)), keras.layers.LSTM(4), keras.layers.Dense(3)])
    model.save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(InputError, match=r"dense has weights of 4 x 3, 3, where a risk of 4 numbers has 4 x 1 and 1"):
        import_(session, tmp_path / "only.weights.h5", arch="lstm", compare=False)
    model.add(keras.layers.Dense(1))
    model.save_weights(tmp_path / "more.weights.h5")
    with pytest.raises(InputError, match="dense has weights of 4 x 3"):
        import_(session, tmp_path / "more.weights.h5", arch="lstm", compare=False)
    model.save(tmp_path / "whole.h5")
    model.save(tmp_path / "whole.keras")
    for name in ("whole.h5", "whole.keras"):
        with pytest.raises(InputError, match="tells its own shape"):
            import_(session, tmp_path / name, arch="lstm", compare=False)
    with pytest.raises(UsageError, match="say the same"):
        import_(session, tmp_path / "more.weights.h5", arch="lstm", model_config=tmp_path / "any.json")
