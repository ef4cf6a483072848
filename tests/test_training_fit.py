"""An epoch against Keras itself, and everything around it: seeds, resuming, choosing, refusing."""

from dataclasses import replace

import numpy as np
import pytest
from training_data import FEATURES, HOURS, dataset
from training_networks import NETWORKS, network, uneven, without_dropout

from mortcond.archs import ARCHS, Inputs, shaped, untrained
from mortcond.core.console import Console
from mortcond.core.errors import InputError, Interrupted, UsageError
from mortcond.core.tensorflow import keras
from mortcond.exchange.keras_model import to_keras, weights_of
from mortcond.training.batches import Plan, flat, unflat
from mortcond.training.initial import initial
from mortcond.training.settings import TrainSettings, preset
from mortcond.training.training import _learning_rate, fit

DATA = dataset()
RECURRENT = network("lstm", width=4, layers=1)  # with the dropout of the paper
SETTINGS = TrainSettings(epochs=3, batch_size=8, learning_rate=0.01)


def trained(network, settings=SETTINGS, data=DATA, seed=0, **how):
    return fit(network, data, settings, seed=seed, console=Console(quiet=True), **how)


def small(**shape):
    """Return a network that compiles quickly."""
    return network("dnn", width=4, layers=1, **shape)


def distance(one, other) -> float:
    return float(np.abs(flat(one) - flat(other)).max())


@pytest.fixture(scope="module")
def unbroken():
    return trained(RECURRENT)


class TestAgainstKeras:
    """46 stays in batches of 20: the last one has 6."""

    settings = {  # noqa: RUF012
        "lstm": TrainSettings(epochs=2, batch_size=20, learning_rate=0.003),
        "gru": TrainSettings(epochs=2, batch_size=20, learning_rate=0.003),
        "bidirectional lstm": TrainSettings(epochs=1, batch_size=20, learning_rate=0.01),
        "uneven hlstm": TrainSettings(epochs=1, batch_size=20, weight_decay=0.1, learning_rate=0.01),
        "dnn": TrainSettings(epochs=2, batch_size=20),
        "dnn full": TrainSettings(epochs=2, batch_size=100),  # more than there are stays
    }

    @pytest.mark.parametrize("name", settings)
    def test_weights_equal_those_of_train_on_batch(self, name):
        network, settings = without_dropout(NETWORKS[name]), self.settings[name]
        model, train = to_keras(network), DATA.train
        decay = settings.weight_decay or None
        optimizer = keras.optimizers.Adam(settings.learning_rate, weight_decay=decay)
        model.compile(optimizer, "binary_crossentropy", run_eagerly=True)
        for epoch in range(1, settings.epochs + 1):
            order = np.random.default_rng([0, epoch]).permutation(len(train))
            for start in range(0, len(order), settings.batch_size):
                rows = order[start : start + settings.batch_size]
                model.train_on_batch(train.X[rows], train.y[rows].astype(np.float32))
        after = trained(network, settings).network
        assert distance(after, weights_of(model, network)) < 1e-5
        assert distance(after, network) > 1e-3

    @pytest.mark.slow
    @pytest.mark.parametrize("arch", ["lstm", "hlstm", "gru", "dnn"])
    def test_the_papers_networks_equal_keras_after_an_epoch(self, arch):
        generator = np.random.default_rng(0)
        X = generator.normal(size=(100, 48, 76)).astype(np.float32)
        X[:, :, 59:] = X[:, :, 59:] > 0
        X[:9, 5:8] = 0
        y = generator.integers(0, 2, 100).astype(np.uint8)
        data = replace(DATA, train=replace(DATA.train, X=X, y=y, stay_id=np.arange(100)), val=None, test=None)
        masks = (*range(59, 76), *(59,) * 42, *(-1,) * 17)
        network = without_dropout(initial(untrained(arch, shaped(arch), Inputs(76, 48, masks)), 0))
        model = to_keras(network)
        model.compile(keras.optimizers.Adam(0.001), "binary_crossentropy", jit_compile=False)
        order = np.random.default_rng([0, 1]).permutation(100)
        for start in range(0, 100, 8):
            rows = order[start : start + 8]
            model.train_on_batch(X[rows], y[rows].astype(np.float32))
        after = trained(network, TrainSettings(epochs=1), data).network
        assert distance(after, weights_of(model, network)) < 1e-5
        assert distance(after, network) > 5e-3

    def test_the_gradient_is_clipped_as_a_whole(self):
        network, settings = small(dropout=0.0), TrainSettings(epochs=1, batch_size=46, clip_norm=0.01)
        model = to_keras(network)
        model.compile(keras.optimizers.Adam(0.001, global_clipnorm=0.01), "binary_crossentropy", run_eagerly=True)
        model.train_on_batch(DATA.train.X, DATA.train.y.astype(np.float32))
        assert distance(trained(network, settings).network, weights_of(model, network)) < 1e-5


def test_the_partial_last_batch_is_filled_up_and_not_counted():
    plan = Plan.of(np.arange(11), 4)
    assert plan.rows.shape == (3, 4)
    assert plan.counted.sum() == 11
    np.testing.assert_array_equal(plan.rows[plan.counted == 1], np.arange(11))
    assert Plan.of(np.arange(3), 8).rows.shape == (1, 3)


def test_flat_weights_come_back():
    network = uneven()
    assert distance(unflat(network, flat(network)), network) == 0
    assert list(unflat(network, flat(network)).arrays()) == list(network.arrays())


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(unbroken):
    again, other = trained(RECURRENT), trained(RECURRENT, seed=1)
    assert distance(again.network, unbroken.network) == 0
    assert [row | {"seconds": 0} for row in again.history] == [row | {"seconds": 0} for row in unbroken.history]
    assert distance(other.network, unbroken.network) > 1e-3


def test_what_is_learnt_carries_over_to_stays_not_seen():
    network = trained(small(dropout=0.1), replace(SETTINGS, epochs=25), dataset(300, 300, 300)).network
    data = dataset(300, 300, 300)
    risk = network.predict(data.test.X)
    deaths, survivors = risk[data.test.y == 1], risk[data.test.y == 0]
    assert (deaths[:, None] > survivors).mean() > 0.7


def test_every_epoch_is_in_the_history_and_on_disk(tmp_path, unbroken):
    rows = []
    result = trained(RECURRENT, checkpoints=tmp_path, after_epoch=lambda found: rows.append(len(found)))
    assert rows == [1, 2, 3]
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    expected = {"epoch", "loss", "val_loss", "test_loss", "auroc_train", "auroc_val", "auroc_test", "seconds"}
    assert set(result.history[0]) == expected
    last = result.network.load(tmp_path / "epoch-003.npz")
    assert distance(last, result.network) == 0
    assert distance(result.network.load(tmp_path / "epoch-001.npz"), result.network) > 0
    assert result.compile_seconds > 0


def test_going_on_after_an_interruption_ends_in_the_same_bits(tmp_path, unbroken):
    settings = SETTINGS
    with pytest.raises(Interrupted, match="epoch 1 of 3"):
        trained(RECURRENT, settings, checkpoints=tmp_path, state=tmp_path, stop=lambda: True)
    after_one = unbroken.network.load(tmp_path / "epoch-001.npz")
    how = {"first_epoch": 2, "history": unbroken.history[:1], "checkpoints": tmp_path, "state": tmp_path}
    resumed = trained(after_one, settings, **how)
    assert distance(resumed.network, unbroken.network) == 0
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in unbroken.history]
    without_optimizer = trained(after_one, settings, first_epoch=2, history=unbroken.history[:1])
    assert distance(without_optimizer.network, unbroken.network) > 0


@pytest.mark.parametrize("noise", ["dropout", "input_dropout", "recurrent_dropout"])
def test_each_kind_of_dropout_changes_training_and_not_prediction(noise):
    noisy = RECURRENT if noise == "recurrent_dropout" else small(dropout=0.5)
    settings = replace(SETTINGS, epochs=1)
    plain = trained(without_dropout(noisy), settings)
    if noise == "dropout":
        found = trained(noisy, settings)
    else:
        found = trained(without_dropout(noisy), replace(settings, **{noise: 0.5}))
    assert distance(found.network, plain.network) > 1e-4


def test_a_teacher_is_followed_where_it_contradicts_the_outcomes():
    settings = replace(SETTINGS, epochs=10, teacher_weight=1.0, temperature=2.0)
    contrary = np.where(DATA.train.y == 1, 0.1, 0.9)
    risk = trained(small(dropout=0.0), settings, soft_targets=contrary).network.predict(DATA.train.X)
    assert risk[DATA.train.y == 1].mean() < risk[DATA.train.y == 0].mean()


def test_without_a_teacher_its_weight_counts_nothing(unbroken):
    lone = trained(RECURRENT, replace(SETTINGS, teacher_weight=0.5, temperature=3.0))
    assert distance(lone.network, unbroken.network) == 0


def test_the_best_epoch_counts_and_patience_ends_training():
    rows = trained(small(), replace(SETTINGS, epochs=12, learning_rate=0.2)).history
    best = max(rows, key=lambda row: (row["auroc_val"], -row["epoch"]))["epoch"]
    kept = trained(small(), replace(SETTINGS, epochs=12, learning_rate=0.2, keep="best"))
    assert kept.epoch == best
    assert kept.metrics["auroc_val"] == pytest.approx(rows[best - 1]["auroc_val"])
    patient = trained(small(), replace(SETTINGS, epochs=12, learning_rate=0.2, patience=2))
    ends = [
        number
        for number in range(1, 13)
        if number - max(rows[:number], key=lambda row: (row["auroc_val"], -row["epoch"]))["epoch"] >= 2
    ]
    assert len(patient.history) == min(ends, default=12)


def test_a_childs_epochs_are_its_own_and_not_its_parents():
    parents = trained(small()).history
    boast = [row | {"auroc_val": 1.0} for row in parents]
    settings = replace(SETTINGS, epochs=6, keep="best", patience=2)
    child = trained(small(), settings, first_epoch=4, history=boast)
    assert [row["epoch"] for row in child.history[:4]] == [1, 2, 3, 4]
    assert len(child.history) >= 5
    assert child.epoch >= 4


def test_nothing_is_chosen_by_the_test_split():
    other = replace(DATA, test=replace(DATA.test, y=1 - DATA.test.y))
    settings = replace(SETTINGS, keep="best", patience=2, learning_rate=0.1)
    one, two = trained(small(), settings), trained(small(), settings, other)
    assert one.epoch == two.epoch
    assert distance(one.network, two.network) == 0
    assert one.history[0]["auroc_test"] == pytest.approx(1 - two.history[0]["auroc_test"])


def test_weights_of_the_last_epochs_are_averaged(tmp_path):
    result = trained(small(), replace(SETTINGS, average=2), checkpoints=tmp_path)
    last = [flat(result.network.load(tmp_path / f"epoch-00{epoch}.npz")) for epoch in (2, 3)]
    np.testing.assert_allclose(flat(result.network), np.mean(last, axis=0), atol=1e-7)


def test_a_stage_of_a_course_learns_at_the_rates_of_the_whole_course():
    cosine = replace(SETTINGS, epochs=20, schedule="cosine")
    whole = [_learning_rate(cosine, epoch) for epoch in range(1, 21)]
    assert whole == sorted(whole, reverse=True)
    first = trained(small(), cosine, last_epoch=4)
    unbroken = trained(small(), cosine)
    assert len(first.history) == 4
    assert [row["loss"] for row in first.history] == [row["loss"] for row in unbroken.history[:4]]
    alone = trained(small(), replace(cosine, epochs=4))
    assert alone.history[-1]["loss"] != first.history[-1]["loss"]


def test_a_data_set_without_validation_or_test_stays_can_be_learnt():
    row = trained(small(), replace(SETTINGS, epochs=1), replace(DATA, val=None, test=None)).history[0]
    assert row["auroc_val"] is row["auroc_test"] is row["val_loss"] is None


def test_what_cannot_be_learnt_from_is_refused_before_any_work():
    def refused(match, **facts):
        with pytest.raises(InputError, match=match):
            trained(small(), data=replace(DATA, **facts))

    train = DATA.train
    refused("survivors", train=replace(train, y=np.zeros_like(train.y)))
    refused("deaths", train=replace(train, y=np.ones_like(train.y)))
    refused("3 training stays", train=type(train)(**{name: value[:3] for name, value in vars(train).items()}))
    broken = train.X.copy()
    broken[5, 2, 1] = np.inf
    refused(f"stay {train.stay_id[5]} of train", train=replace(train, X=broken))
    refused(f"{FEATURES - 1} features", train=replace(train, X=train.X[:, :, 1:]))
    refused(f"{HOURS - 1} hours", train=replace(train, X=train.X[:, 1:]))


def test_the_presets_settle_everything_and_given_options_win():
    assert preset("paper") == TrainSettings()
    best = preset("best", "hlstm", epochs=3)
    assert best.epochs == 3
    assert best.weight_decay == ARCHS["hlstm"].best["weight_decay"]
    with pytest.raises(UsageError, match="no preset"):
        preset("worst")
