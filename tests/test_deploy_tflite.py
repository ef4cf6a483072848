"""`.tflite` files against the plain evaluation of the paper's equations: every architecture, mode and batch."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from condense_networks import GENERAL, dnn, hlstm, linear, lstm, stays

from mortcond.core.errors import UsageError
from mortcond.deploy import integer, metadata, tflite
from mortcond.deploy.anatomy import anatomy
from mortcond.deploy.runtime import Predictor
from mortcond.deploy.weights import MODES
from mortcond.layers import HiddenLSTM
from mortcond.layers.hidden_lstm import HiddenGate
from mortcond.network import Network

FEATURES, HOURS = 9, 7
MASKS = (6, 6, 7, -1, 8, 8, -1, -1, -1)  # six values, three of them masks
PAPER = {"features": 76, "hours": 48}


def uneven_gates(units: int, *widths: int) -> Network:
    """A hidden-layer LSTM whose gates have different numbers of hidden neurons, as pruning leaves them."""
    network = hlstm(units, (max(widths),), FEATURES, HOURS)
    gates = [
        HiddenGate((gate.hidden[0][:, :kept],), gate.output[:kept], gate.bias)
        for kept, gate in zip(widths, network["recurrent.0"].hidden_gates, strict=True)
    ]
    return network.with_layers({"recurrent.0": HiddenLSTM(tuple(gates))})


NETWORKS = {
    "lstm": lstm((5, 5), FEATURES, HOURS),
    "lstm, layers of different width": lstm((5, 3), FEATURES, HOURS),
    "lstm of one layer": lstm((4,), FEATURES, HOURS),
    "lstm of three layers": lstm((4, 3, 2), FEATURES, HOURS),
    "hlstm": hlstm(4, (5,), FEATURES, HOURS),
    "hlstm with two hidden layers": hlstm(4, (5, 3), FEATURES, HOURS),
    "hlstm of two layers": hlstm(4, (5,), FEATURES, HOURS, layers=2),
    "hlstm of large gates": hlstm(9, (8,), FEATURES, HOURS),
    "hlstm of large gates with two hidden layers": hlstm(9, (8, 9), FEATURES, HOURS),
    "hlstm with uneven gates": uneven_gates(4, 5, 3, 2, 4),
    "hlstm with large uneven gates": uneven_gates(9, 40, 8, 35, 20),  # indices of two bytes
    "dnn": dnn(features=FEATURES, hours=HOURS, masks=MASKS),
    "dnn without masks": dnn(features=FEATURES, hours=HOURS),
    "linear": linear(FEATURES, HOURS),
    **{name: make(FEATURES, HOURS) for name, make in GENERAL.items()},
}


def some_stays(count=64) -> np.ndarray:
    """Return stays of which some hours, some whole stays, and some variables all through are missing."""
    x, _ = stays(count, FEATURES, HOURS, seed=3)
    generator = np.random.default_rng(4)
    x[:, :, 6:] = generator.random(x[:, :, 6:].shape) < 0.5
    x[:, :, 7] *= generator.random((count, 1)) < 0.7
    x[generator.random(x.shape[:2]) < 0.3] = 0
    x[5], x[6, :-1] = 0, 0
    return x


def predictor(tmp_path, network, mode="float32") -> Predictor:
    path = tmp_path / "model.tflite"
    path.write_bytes(metadata.attach(tflite.build(network, mode).bytes, {}))
    return Predictor(path)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_float32_equals_the_equations_at_any_batch(name, batch, tmp_path):
    x, network = some_stays(), NETWORKS[name]
    risk = predictor(tmp_path, network).predict(x, batch_size=batch)
    np.testing.assert_allclose(risk, network.predict(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("hours", [1, 2, 3, 4, 6, 8, 48])
@pytest.mark.parametrize("units", [(4, 4), (5, 3), (2, 5)])
def test_two_layers_equal_the_equations_for_any_number_of_hours(hours, units, tmp_path):
    network = lstm(units, FEATURES, hours)
    generator = np.random.default_rng(5)
    x = generator.normal(0, 1, (12, hours, FEATURES)).astype(np.float32)
    x[generator.random(x.shape[:2]) < 0.3] = 0
    x[0], x[1, -1], x[2, 0] = 0, 0, 0
    for mode, tolerance in (("float32", 1e-6), ("int8", 0.05)):
        risk = predictor(tmp_path, network, mode).predict(x)
        np.testing.assert_allclose(risk, network.predict(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("resolver", [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES])
def test_with_and_without_xnnpack_the_same(name, resolver):
    x, network = some_stays(7), NETWORKS[name]
    for mode, tolerance in (("float32", 1e-6), ("float16", 3e-3), ("dynamic", 0.05), ("int8", 0.05)):
        content = tflite.build(network, mode).bytes
        interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
        runner = interpreter.get_signature_runner("serving_default")
        np.testing.assert_allclose(runner(stays=x)["risk"][:, 0], network.predict(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["dnn", "dnn without masks"])
@pytest.mark.parametrize("resolver", [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES])
def test_whole_numbers_throughout_stay_near_the_parent(name, resolver):
    x, network = some_stays(), NETWORKS[name]
    converted = tflite.build(network, "integer", x[::2])
    interpreter = Interpreter(model_content=converted.bytes, experimental_op_resolver_type=resolver)
    risk = interpreter.get_signature_runner("serving_default")(stays=x)["risk"][:, 0]
    assert np.abs(risk - network.predict(x)).mean() < 0.02
    kinds = {row["name"]: row["dtype"] for row in converted.tensors}
    assert {kinds[f"dense.{index}.kernel"] for index in range(4)} == {"int8"}
    assert {kinds[f"dense.{index}.bias"] for index in range(3)} == {"int32"}


def test_one_far_off_stay_does_not_set_the_steps_of_all(tmp_path):
    network, x = NETWORKS["dnn"], np.tile(some_stays(), (160, 1, 1))
    held, expected = x[:64].copy(), network.predict(x[:64])
    x[-1, :, 0] *= 1000
    interpreter = Interpreter(model_content=tflite.build(network, "integer", x).bytes)
    risk = interpreter.get_signature_runner("serving_default")(stays=held)["risk"][:, 0]
    assert np.abs(risk - expected).mean() < 0.02


def test_inputs_of_training_stays_are_not_cut_off_but_for_what_is_no_measurement():
    network, x = NETWORKS["dnn without masks"], np.tile(some_stays(), (160, 1, 1))
    x[-1] *= 2  # the sickest
    learned = integer.learn(network, x)
    inputs = x.mean(axis=1) / learned.divisors
    assert learned.ends[0] == pytest.approx((inputs.min(), inputs.max()), rel=1e-5)
    x[-1] *= 1000
    learned = integer.learn(network, x)
    assert max(np.abs(learned.ends[0])) < np.abs(x[-1].mean(axis=0) / learned.divisors).max() / 100


@pytest.mark.parametrize("name", ["lstm", "hlstm", "linear"])
def test_whole_numbers_throughout_are_for_dense_networks(name):
    with pytest.raises(UsageError, match="no integer form"):
        tflite.build(NETWORKS[name], "integer", some_stays())


@pytest.mark.parametrize("name", ["lstm", "lstm of three layers", "hlstm", "dnn"])
@pytest.mark.parametrize("mode", ["float32", "int8", "dynamic"])
def test_a_stays_risk_does_not_depend_on_what_came_before_it(name, mode, tmp_path):
    x, model = some_stays(), predictor(tmp_path, NETWORKS[name], mode)
    first = model.predict(x, batch_size=1)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(model.predict(x, batch_size=1), first)
    np.testing.assert_array_equal(model.predict(x[order], batch_size=1), first[order])
    np.testing.assert_allclose(model.predict(x[order], batch_size=7), first[order], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in NETWORKS for mode in MODES if mode != "integer" or integer.fits(NETWORKS[name])],
)
@pytest.mark.parametrize("resolver", [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES])
def test_a_stay_with_a_nan_has_no_risk_and_spoils_no_other(name, mode, resolver):
    x, spoilt = some_stays(12), [2, 5, 7]
    model = Interpreter(
        model_content=tflite.build(NETWORKS[name], mode, x).bytes, experimental_op_resolver_type=resolver
    ).get_signature_runner("serving_default")
    expected = model(stays=x)["risk"][:, 0].copy()
    x[2, 0, 0] = x[5, -1, 7] = x[7, 3] = np.nan  # one value, one mask, all values of an hour
    risk = model(stays=x)["risk"][:, 0].copy()
    assert np.isnan(risk[spoilt]).all()
    np.testing.assert_array_equal(np.delete(risk, spoilt), np.delete(expected, spoilt))


@pytest.mark.parametrize("mode", ["float32", "float16", "dynamic", "int8"])
def test_every_weight_matrix_is_what_the_mode_says(mode):
    wanted = {"float32": "float32", "float16": "float16"}.get(mode, "int8")
    for name, network in NETWORKS.items():
        converted = tflite.build(network, mode)
        kinds = {row["name"]: row["dtype"] for row in converted.tensors}
        assert {kind for tensor, kind in kinds.items() if tensor.endswith("kernel")} == {wanted}, name
        assert all(row["why"] for row in converted.tensors)
        assert len(kinds) == len(converted.tensors)
    matrices = [weight for weight in anatomy(converted.bytes).weights if len(weight["shape"]) == 2]
    assert {weight["dtype"] for weight in matrices} == {wanted}


def test_builtin_operations_only_and_no_variables():
    for network in NETWORKS.values():
        operations = anatomy(tflite.build(network, "int8").bytes).operations
        assert not [name for name in operations if name.startswith(("CUSTOM", "VAR_HANDLE", "UNIDIRECTIONAL", "CALL"))]


def test_zero_weights_stay_zero_in_8_bits(tmp_path):
    network = dnn(features=FEATURES, hours=HOURS)
    silent = network.with_arrays({name: array * 0 for name, array in network.arrays().items()})
    np.testing.assert_array_equal(predictor(tmp_path, silent, "int8").predict(some_stays(9)), 0.5)


PAPER_MASKS = (-1,) * 40 + tuple(range(59, 76)) + (-1,) * 19  # 17 masks, as on the paper's features


@pytest.mark.parametrize(
    ("network", "mode", "limit"),
    [
        (lstm((16, 16), **PAPER), "float32", 40_000),
        (lstm((16, 16), **PAPER), "int8", 16_000),
        (lstm((8, 8), **PAPER), "int8", 10_000),
        (hlstm(16, (16,), **PAPER), "float32", 36_000),
        (hlstm(16, (16,), **PAPER), "int8", 14_000),
        (dnn((256, 128, 64), **PAPER, masks=PAPER_MASKS), "int8", 64_000),
        (dnn((128, 64, 32), **PAPER, masks=PAPER_MASKS), "int8", 23_500),
    ],
)
def test_the_graph_around_the_weights_leaves_room_for_the_metadata(network, mode, limit):
    metadata_bytes = 700 if network.arch == "dnn" else 750  # what it takes on PhysioNet 2012 set A, at most
    assert len(tflite.build(network, mode).bytes) + metadata_bytes <= limit
