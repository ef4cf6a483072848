"""Training without TensorFlow: every layer's gradient against differences and against TensorFlow, and whole epochs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_data import dataset, split
from training_networks import NETWORKS, without_dropout

from mortcond.archs import ARCHS, Inputs, shaped, untrained
from mortcond.core.console import Console
from mortcond.core.errors import InputError, Interrupted, UsageError
from mortcond.core.processor import lacks, refuse_unable
from mortcond.layers.activations import ACTIVATIONS
from mortcond.training.backends import NUMPY, TENSORFLOW, chosen
from mortcond.training.batches import flat
from mortcond.training.forward import Noise
from mortcond.training.initial import initial
from mortcond.training.numpy_backend.epoch import Evaluator, losses, noise
from mortcond.training.numpy_backend.tape import Tape
from mortcond.training.settings import TrainSettings
from mortcond.training.training import fit
from mortcond.training.walk import Walk

STAYS = split(9, 5)
DATA = dataset()
TEACHER = np.random.default_rng(0).random(len(DATA.train))
QUIET = Console(quiet=True)


def evaluator(network, precision=np.float32) -> Evaluator:
    return Evaluator(Walk(network), np.append(flat(network), 0).astype(precision))


def data_of(network, precision=np.float32) -> dict:
    return {name: values.astype(precision) for name, values in Walk(network).prepare(STAYS.X).items()}


def noise_of(network, precision=np.float32) -> Noise:
    settings = TrainSettings(input_dropout=0.2, recurrent_dropout=0.4)
    generators = {}
    return noise(
        Walk(network),
        settings,
        len(STAYS.X),
        lambda stream: generators.setdefault(stream, np.random.default_rng(stream)),
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_risks_equal_those_of_the_plain_walk(name):
    network = NETWORKS[name]
    np.testing.assert_allclose(evaluator(network).risks(data_of(network)), network.predict(STAYS.X), atol=1e-6)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_differences(name, drops):
    """In float64, with all kinds of dropout: the slope along a random direction, and along some single weights."""
    network, generator = NETWORKS[name], np.random.default_rng(0)
    found, data = evaluator(network, np.float64), data_of(network, np.float64)
    drawn = noise_of(network) if drops else Noise()
    along = generator.normal(size=len(STAYS.X))
    _, gradient = found.gradient(data, drawn, lambda logits: along)
    start = found.weights.copy()
    directions = [np.append(generator.normal(size=gradient.size), 0)]
    directions += [np.eye(1, start.size, place)[0] for place in generator.choice(gradient.size, 12, replace=False)]
    for direction in directions:
        ends = []
        for sign in (1, -1):
            found.weights[:] = start + sign * 1e-6 * direction
            ends.append(found.gradient(data, drawn, lambda logits: along)[0] @ along)
        slope = (ends[0] - ends[1]) / 2e-6
        assert gradient @ direction[:-1] == pytest.approx(slope, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_the_slope_of_its_differences(name):
    x, tape = np.linspace(-3.05, 3.05, 62), Tape()  # no kink among them
    variable = tape.variable(x)
    tape.gradients([ACTIVATIONS[name](tape, variable)], [np.ones_like(x)])
    above, below = (ACTIVATIONS[name](Tape(), x + change) for change in (1e-6, -1e-6))
    np.testing.assert_allclose(variable.grad, (above - below) / 2e-6, atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "sum", "least", "largest", "deviation", "flatten"])
def test_what_goes_over_the_hours_has_the_gradient_of_its_differences(how):
    x, tape, generator = np.random.default_rng(0).normal(size=(2, 5, 3)), Tape(), np.random.default_rng(1)
    variable = tape.variable(x)
    output = getattr(tape, how)(variable)
    along, outer = generator.normal(size=x.shape), generator.normal(size=output.shape)
    tape.gradients([output], [outer])
    above, below = (getattr(Tape(), how)(x + change * along) for change in (1e-6, -1e-6))
    assert (variable.grad * along).sum() == pytest.approx(((above - below) * outer).sum() / 2e-6, abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"teacher_weight": 0.7}, {"teacher_weight": 1.0, "temperature": 2.0}])
def test_the_loss_has_the_slope_of_its_differences_and_is_tensorflows(settings):
    from mortcond.training.tensorflow_backend.epoch import _losses

    settings = TrainSettings(**settings)
    logits, targets = np.linspace(-30, 30, 13), np.random.default_rng(0).random((13, 2))
    targets[:, 0] = targets[:, 0] > 0.5
    found, slope = losses(logits, targets, settings)
    above, below = (losses(logits + change, targets, settings)[0] for change in (1e-5, -1e-5))
    np.testing.assert_allclose(slope, (above - below) / 2e-5, atol=1e-6)
    single = _losses(logits.astype(np.float32), targets.astype(np.float32), settings)
    np.testing.assert_allclose(found, single, rtol=1e-5, atol=1e-5)


class TestAgainstTensorFlow:
    settings = TrainSettings(
        epochs=2, batch_size=20, learning_rate=0.003, weight_decay=0.1, clip_norm=1.0, teacher_weight=0.3
    )

    @pytest.mark.parametrize(
        "name", ["lstm", "uneven hlstm", "gru", "dnn", "bidirectional lstm", "joined", "over hours"]
    )
    def test_weights_are_equal_after_epochs_without_dropout(self, name):
        network, found = without_dropout(NETWORKS[name]), {}
        for backend in ("tensorflow", "numpy"):
            result = fit(network, DATA, self.settings, seed=0, console=QUIET, backend=backend, soft_targets=TEACHER)
            found[backend] = result
        weights = [flat(result.network) for result in found.values()]
        np.testing.assert_allclose(*weights, atol=1e-5)
        assert np.abs(weights[0] - flat(network)).max() > 1e-3
        for own, other in zip(*(result.history for result in found.values()), strict=True):
            assert own["loss"] == pytest.approx(other["loss"], abs=1e-5)
            assert own["auroc_val"] == pytest.approx(other["auroc_val"], abs=0.02)  # ties


@pytest.mark.parametrize("kind", ["dropout", "input_dropout", "recurrent_dropout"])
def test_dropout_drops_the_share_asked_for_and_scales_the_rest_up(kind):
    network = NETWORKS["joined"]
    settings = TrainSettings(**({} if kind == "dropout" else {kind: 0.25}))
    drawn = noise(Walk(network), settings, 4000, lambda stream: np.random.default_rng([0, stream]))
    rate = 0.2 if kind == "dropout" else 0.25
    factors = {"dropout": drawn.units["dropout.0"], "input_dropout": drawn.inputs}.get(kind, drawn.states.get("wide"))
    assert factors.dtype == np.float32
    assert set(np.unique(factors).round(5)) == {0, np.float32(1 / (1 - rate)).round(5)}
    assert (factors == 0).mean() == pytest.approx(rate, abs=0.02)


def trained(network, settings=None, **how):
    settings = settings or TrainSettings(epochs=2, input_dropout=0.1, recurrent_dropout=0.1)
    return fit(network, DATA, settings, seed=0, console=QUIET, backend="numpy", **how)


def test_the_same_seed_gives_the_same_bits():
    one, two = trained(NETWORKS["lstm"]), trained(NETWORKS["lstm"])
    np.testing.assert_array_equal(flat(one.network), flat(two.network))
    assert [row | {"seconds": 0} for row in one.history] == [row | {"seconds": 0} for row in two.history]


def test_going_on_after_an_interruption_ends_in_the_same_bits(tmp_path):
    whole = trained(NETWORKS["hlstm"])
    with pytest.raises(Interrupted):
        trained(NETWORKS["hlstm"], checkpoints=tmp_path, state=tmp_path, stop=lambda: True)
    start = whole.network.load(tmp_path / "epoch-001.npz")
    how = {"first_epoch": 2, "history": whole.history[:1], "checkpoints": tmp_path, "state": tmp_path}
    np.testing.assert_array_equal(flat(trained(start, **how).network), flat(whole.network))


@pytest.mark.parametrize("arch", ARCHS)
def test_initial_weights_are_distributed_as_keras_draws_them(arch):
    network = untrained(arch, shaped(arch), Inputs(76, 48, (-1,) * 76))
    own, other = initial(network, 0, "numpy").arrays(), initial(network, 0, "tensorflow").arrays()
    for name, array in own.items():
        assert array.dtype == np.float32
        assert array.std() == pytest.approx(other[name].std(), rel=0.15 if array.size > 500 else 0.6)
        assert np.abs(array).max() == pytest.approx(np.abs(other[name]).max(), rel=0.35 if array.size > 100 else 0.6)
    again, another = initial(network, 0, "numpy").arrays(), initial(network, 1, "numpy").arrays()
    for name, array in own.items():
        np.testing.assert_array_equal(array, again[name])
    assert any(np.abs(array - another[name]).max() > 0.01 for name, array in own.items())


def test_recurrent_kernels_begin_orthogonal_and_forget_gates_open():
    layer = initial(untrained("lstm", shaped("lstm"), Inputs(76, 48)), 0, "numpy")["recurrent.0"]
    np.testing.assert_allclose(layer.recurrent_kernel @ layer.recurrent_kernel.T, np.eye(16), atol=1e-5)
    np.testing.assert_array_equal(layer.bias, np.repeat([0, 1, 0, 0], 16))


def test_training_with_numpy_never_imports_tensorflow(tmp_path):
    code = """
import sys
from test_training_numpy import NETWORKS, trained
trained(NETWORKS["joined"])
print("tensorflow" in sys.modules, "keras" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent, env=without_paths()
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


def without_paths() -> dict[str, str]:
    root = Path(__file__).resolve().parent
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(root.parent), str(root)))}


def test_auto_takes_tensorflow_only_where_this_processor_can_run_it(monkeypatch):
    assert chosen("auto") == TENSORFLOW
    monkeypatch.setattr("mortcond.core.processor._features", lambda: {"AVX": False})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert chosen("auto") == NUMPY
    with pytest.raises(InputError, match=r"--backend tensorflow needs tensorflow 2\..*has no AVX") as refused:
        chosen("tensorflow")
    assert "--backend numpy" in refused.value.remedy
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert chosen("auto") == TENSORFLOW


def test_auto_takes_numpy_where_tensorflow_is_not_installed(monkeypatch):
    monkeypatch.setattr("mortcond.training.backends.usable", lambda name: False)
    assert chosen("auto") == NUMPY


def test_a_backend_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="'torch'"):
        chosen("torch")


def test_duckdb_is_refused_only_from_the_version_on_that_needs_avx(monkeypatch):
    monkeypatch.setattr("mortcond.core.processor._features", lambda: {"AVX": False})
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    monkeypatch.setattr("mortcond.core.processor.version", lambda package: "1.5.1")
    assert lacks("duckdb") is None
    monkeypatch.setattr("mortcond.core.processor.version", lambda package: "2.0.0")
    with pytest.raises(InputError, match=r"duckdb 2\.0\.0.*no AVX") as refused:
        refuse_unable("duckdb", "preprocess")
    assert "duckdb>=1.4,<2" in refused.value.remedy
