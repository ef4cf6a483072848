"""Small networks as others make them, with Keras 3 and PyTorch: what the table of imports is made of.

Comes in: nothing. Goes out: `KERAS` and `TORCH`, each a name, what makes the network, and the word of its refusal; no
word: it must equal its framework.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HOURS, FEATURES = 6, 5


@dataclass(frozen=True)
class Case:
    """One network of somebody else."""

    name: str
    make: Callable[[], Any]
    refused: str = ""  # a word of the message; empty: it must come out right
    output: str = "auto"


def _sequential(*layers: Callable[[Any], Any], compiled: Any = None, shape: tuple = (HOURS, FEATURES)):
    def make():
        import keras

        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input(shape), *(layer(keras.layers) for layer in layers)])
        return _with_random_weights(model, compiled)

    return make


def _functional(graph: Callable[[Any, Any], Any], shape: tuple = (HOURS, FEATURES)):
    def make():
        import keras

        keras.utils.set_random_seed(1)
        stays = keras.Input(shape)
        return _with_random_weights(keras.Model(stays, graph(keras.layers, stays)))

    return make


def _with_random_weights(model: Any, compiled: Any = None) -> Any:
    """Biases and moments too are other than Keras' zeros and ones, so that none can be forgotten."""
    import numpy as np

    generator = np.random.default_rng(3)
    for layer in model.layers:
        arrays = [generator.normal(0, 0.4, array.shape) for array in layer.get_weights()]
        moments = "normalization" in layer.name
        layer.set_weights([np.abs(array) + 0.3 if moments else array for array in arrays])
    if compiled:
        model.compile(loss=compiled())
    return model


def layer(kind: str, *arguments: Any, **keywords: Any) -> Callable[[Any], Any]:
    """A layer of Keras, not yet made; arguments may be such layers themselves."""

    def made(layers: Any) -> Any:
        inner = [argument(layers) if callable(argument) else argument for argument in arguments]
        named = {name: value(layers) if callable(value) else value for name, value in keywords.items()}
        return getattr(layers, kind)(*inner, **named)

    return made


def _risk(layers: Any) -> Any:
    return layers.Dense(1, activation="sigmoid")


def _logits():
    import keras

    return keras.losses.BinaryCrossentropy(from_logits=True)


def _beside(layers: Any, x: Any) -> Any:
    masked = layers.Masking()(x)
    state = layers.LSTM(3)(masked)
    return _risk(layers)(layers.Concatenate()([state, layers.Flatten()(x)]))


def _channels(layers: Any, x: Any) -> Any:
    masked = layers.Masking()(x)
    parts = [layers.Bidirectional(layers.LSTM(2, return_sequences=True))(masked) for _ in range(3)]
    return _risk(layers)(layers.LSTM(4)(layers.Concatenate()(parts)))


def _residual(layers: Any, x: Any) -> Any:
    first = layers.GRU(4, return_sequences=True)(x)
    return _risk(layers)(layers.GRU(3)(layers.Add()([first, layers.GRU(4, return_sequences=True)(first)])))


def _nested(layers: Any, x: Any) -> Any:
    import keras

    inner = keras.Sequential([keras.Input((HOURS, FEATURES)), layers.LSTM(3), layers.Dense(4, activation="tanh")])
    return _risk(layers)(layers.Dropout(0.2)(inner(x)))


def _last_hour(layers: Any, x: Any) -> Any:
    return _risk(layers)(layers.LSTM(4, return_sequences=True)(layers.Masking()(x))[:, -1])


def _two_masks(layers: Any, x: Any) -> Any:
    one = layers.LSTM(3, return_sequences=True)(layers.Masking()(x))
    other = layers.LSTM(3, return_sequences=True)(layers.Masking(-1.0)(x))
    return _risk(layers)(layers.LSTM(3)(layers.Concatenate()([one, other])))


def _two_outputs(layers: Any, x: Any) -> Any:
    state = layers.LSTM(3)(x)
    return [_risk(layers)(state), _risk(layers)(state)]


def _shared(layers: Any, x: Any) -> Any:
    layer = layers.Dense(4, activation="relu")
    once = layer(layers.Dense(FEATURES)(x))
    twice = layer(layers.Dense(FEATURES)(x))
    return _risk(layers)(layers.LSTM(3)(layers.Concatenate()([once, twice])))


MASKING, RISK = layer("Masking"), layer("Dense", 1, activation="sigmoid")
LSTM_SEQUENCE = layer("LSTM", 4, return_sequences=True)
BACKWARDS = layer("LSTM", 4, go_backwards=True, return_sequences=True)
KERAS = [
    Case("Masking, LSTM, LSTM", _sequential(MASKING, LSTM_SEQUENCE, layer("LSTM", 3), RISK)),
    Case("LSTM, no mask", _sequential(layer("LSTM", 4), RISK)),
    Case("Masking(-1), LSTM", _sequential(layer("Masking", -1.0), layer("LSTM", 4), RISK)),
    Case(
        "LSTM(relu, hard sigmoid)",
        _sequential(MASKING, layer("LSTM", 4, activation="relu", recurrent_activation="hard_sigmoid"), RISK),
    ),
    Case(
        "LSTM without bias, go_backwards",
        _sequential(MASKING, layer("LSTM", 4, go_backwards=True, use_bias=False), RISK),
    ),
    Case("LSTM backwards sequence, LSTM", _sequential(BACKWARDS, layer("LSTM", 3), RISK)),
    Case("the same, masked", _sequential(MASKING, BACKWARDS, layer("LSTM", 3), RISK), "mask"),
    Case("GRU, reset after", _sequential(MASKING, layer("GRU", 4), RISK)),
    Case(
        "GRU, reset before",
        _sequential(
            MASKING,
            layer("GRU", 4, reset_after=False, return_sequences=True),
            layer("GRU", 3, activation="softsign"),
            RISK,
        ),
    ),
    Case(
        "Bidirectional(LSTM), LSTM",
        _sequential(MASKING, layer("Bidirectional", layer("LSTM", 3, return_sequences=True)), layer("LSTM", 4), RISK),
    ),
    Case(
        "Bidirectional(GRU), sum", _sequential(MASKING, layer("Bidirectional", layer("GRU", 3), merge_mode="sum"), RISK)
    ),
    Case(
        "Bidirectional(LSTM), mean, GRU behind",
        _sequential(
            layer(
                "Bidirectional",
                layer("LSTM", 3),
                backward_layer=layer("LSTM", 3, go_backwards=True, activation="relu"),
                merge_mode="ave",
            ),
            RISK,
        ),
    ),
    Case(
        "Bidirectional, sequence read in skipped hours",
        _sequential(MASKING, layer("Bidirectional", layer("LSTM", 3, return_sequences=True)), layer("Flatten"), RISK),
        "skipped",
    ),
    Case("channel by channel, masked", _functional(_channels)),
    Case("Flatten beside an LSTM", _functional(_beside)),
    Case("residual GRU", _functional(_residual)),
    Case("nested Sequential", _functional(_nested)),
    Case("last hour of a sequence", _functional(_last_hour)),
    Case("two masks joined", _functional(_two_masks), "different masks"),
    Case("two outputs", _functional(_two_outputs), "outputs"),
    Case("a layer called twice", _functional(_shared)),
    Case(
        "Flatten, Dense(tanh), BatchNormalization",
        _sequential(
            layer("Flatten"),
            layer("Dense", 6, activation="tanh"),
            layer("BatchNormalization"),
            layer("Dense", 3, activation="elu"),
            RISK,
        ),
    ),
    Case(
        "Reshape of a row, LSTM",
        _sequential(layer("Reshape", (HOURS, FEATURES)), layer("LSTM", 3), RISK, shape=(HOURS * FEATURES,)),
    ),
    Case(
        "TimeDistributed(Dense), dropouts",
        _sequential(
            MASKING,
            layer("TimeDistributed", layer("Dense", 4, activation="relu")),
            layer("SpatialDropout1D", 0.2),
            layer("GaussianNoise", 0.1),
            layer("LSTM", 3, dropout=0.2, recurrent_dropout=0.1),
            RISK,
        ),
    ),
    Case(
        "BatchNormalization over the hours",
        _sequential(layer("Dense", HOURS), layer("BatchNormalization", axis=1), layer("GRU", 3), RISK),
        "axis = 1",
    ),
    Case("Masking, Rescaling, LSTM", _sequential(MASKING, layer("Rescaling", 0.5, 0.1), layer("LSTM", 4), RISK)),
    Case("BatchNormalization before a GRU", _sequential(layer("BatchNormalization"), layer("GRU", 3), RISK)),
    Case("GlobalAveragePooling1D", _sequential(LSTM_SEQUENCE, layer("GlobalAveragePooling1D"), RISK)),
    Case(
        "GlobalMaxPooling1D, ReLU layer",
        _sequential(layer("Dense", 4), layer("ReLU"), layer("GlobalMaxPooling1D"), RISK),
    ),
    Case(
        "GlobalAveragePooling1D, masked",
        _sequential(MASKING, LSTM_SEQUENCE, layer("GlobalAveragePooling1D"), RISK),
        "mask",
    ),
    Case("softmax over two classes", _sequential(layer("LSTM", 4), layer("Dense", 2, activation="softmax"))),
    Case(
        "softmax over three classes", _sequential(layer("LSTM", 4), layer("Dense", 3, activation="softmax")), "softmax"
    ),
    Case("logit, told by the loss", _sequential(layer("LSTM", 4), layer("Dense", 1), compiled=_logits)),
    Case("logit, not told", _sequential(layer("LSTM", 4), layer("Dense", 1)), "no activation"),
    Case("logit, said by the user", _sequential(layer("LSTM", 4), layer("Dense", 1)), output="logit"),
    Case("a tanh for a risk", _sequential(layer("LSTM", 4), layer("Dense", 1, activation="tanh")), "tanh"),
    Case("gelu", _sequential(layer("LSTM", 4, activation="gelu"), RISK), "gelu"),
    Case("SimpleRNN", _sequential(layer("SimpleRNN", 4), RISK), "SimpleRNN"),
    Case("Conv1D", _sequential(layer("Conv1D", 4, 3), layer("Flatten"), RISK), "Conv1D"),
    Case("stateless half precision", _sequential(layer("LSTM", 4, dtype="float16"), RISK), "float16"),
    Case(
        "leaky_relu and gaussian dropout",
        _sequential(
            layer("Flatten"),
            layer("Dense", 5, activation="leaky_relu"),
            layer("GaussianDropout", 0.1),
            layer("LeakyReLU", negative_slope=0.2),
            RISK,
        ),
    ),
    Case(
        "LeakyReLU of another slope",
        _sequential(layer("Flatten"), layer("Dense", 5), layer("LeakyReLU", negative_slope=0.3), RISK),
        "slope",
    ),
]


# PyTorch.


def _torch(parts: Callable[[Any], dict[str, Any]], forward: Callable[[Any, Any], Any], first: int = 2):
    """A module of parts (by name) and a forward pass; first: stays in the example that is exported."""

    def make():
        import torch

        torch.manual_seed(1)

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.parts = torch.nn.ModuleDict(parts(torch.nn))

            def forward(self, x):
                return forward(self.parts, x)

        module = Module().eval()
        for array in module.state_dict().values():
            if array.dtype == torch.float32:
                array.copy_(
                    torch.randn_like(array).mul(0.4).abs() if array.min() > 0.5 else torch.randn_like(array) * 0.4
                )
        return module, torch.zeros(first, HOURS, FEATURES)

    return make


def _last(state: Any) -> Any:
    return state[:, -1]


def _recurrent(kind: str, **how: Any):
    def parts(nn: Any) -> dict[str, Any]:
        made = getattr(nn, kind)(FEATURES, 4, batch_first=True, **how)
        return {"state": made, "risk": nn.Linear(8 if how.get("bidirectional") else 4, 1)}

    return parts


def _ends(parts: Any, x: Any) -> Any:
    return parts["risk"](x).sigmoid()


def _both_ends(parts: Any, x: Any) -> Any:
    import torch

    _, (last, _) = parts["state"](x)
    return _ends(parts, torch.cat([last[-2], last[-1]], dim=1))


def _dense_parts(nn: Any) -> dict[str, Any]:
    net = nn.Sequential(
        *(nn.Flatten(), nn.Linear(HOURS * FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)),
        *(nn.Linear(8, 4), nn.ELU(), nn.Linear(4, 1), nn.Sigmoid()),
    )
    return {"net": net}


def _two_classes(nn: Any) -> dict[str, Any]:
    return {"state": nn.GRU(FEATURES, 4, batch_first=True), "risk": nn.Linear(4, 2)}


def _hourwise(nn: Any) -> dict[str, Any]:
    return {
        "first": nn.Linear(FEATURES, 6),
        "norm": nn.BatchNorm1d(6),
        "state": nn.LSTM(6, 4, batch_first=True),
        "risk": nn.Linear(4, 1),
    }


def _through_hours(parts: Any, x: Any) -> Any:
    x = parts["norm"](parts["first"](x).tanh().transpose(1, 2)).transpose(1, 2)
    return _ends(parts, parts["state"](x)[0].mean(1))


def _in_branches(nn: Any) -> dict[str, Any]:
    return {"a": nn.LSTM(2, 3, batch_first=True), "b": nn.GRU(3, 3, batch_first=True), "risk": nn.Linear(6, 1)}


def _by_channels(parts: Any, x: Any) -> Any:
    import torch

    one, other = parts["a"](x[:, :, :2])[0], parts["b"](x[:, :, 2:])[0]
    return _ends(parts, torch.cat([one[:, -1], other[:, -1]], -1))


def _scaled_first(parts: Any, x: Any) -> Any:
    return _ends(parts, _last(parts["state"]((x - 0.3) / 1.7)[0]))


def _with_a_state(parts: Any, x: Any) -> Any:
    import torch

    start = torch.full((1, x.shape[0], 4), 0.5)
    return _ends(parts, _last(parts["state"](x, start)[0]))


def _conv(nn: Any) -> dict[str, Any]:
    return {"conv": nn.Conv1d(FEATURES, 3, 3), "risk": nn.Linear(3, 1)}


TORCH = [
    Case("LSTM, last hour", _torch(_recurrent("LSTM"), lambda p, x: _ends(p, _last(p["state"](x)[0])))),
    Case("LSTM, last state", _torch(_recurrent("LSTM"), lambda p, x: _ends(p, p["state"](x)[1][0][-1]))),
    Case("two LSTM layers", _torch(_recurrent("LSTM", num_layers=2), lambda p, x: _ends(p, p["state"](x)[1][0][-1]))),
    Case(
        "both ways, last hour",
        _torch(_recurrent("LSTM", bidirectional=True), lambda p, x: _ends(p, _last(p["state"](x)[0]))),
    ),
    Case("both ways, both ends", _torch(_recurrent("LSTM", bidirectional=True, num_layers=2), _both_ends)),
    Case("GRU, no bias", _torch(_recurrent("GRU", bias=False), lambda p, x: _ends(p, _last(p["state"](x)[0])))),
    Case(
        "GRU both ways, maximum",
        _torch(_recurrent("GRU", bidirectional=True), lambda p, x: _ends(p, p["state"](x)[0].amax(1))),
    ),
    Case("GRU, one stay at a time", _torch(_recurrent("GRU"), lambda p, x: _ends(p, _last(p["state"](x)[0])), first=1)),
    Case("Flatten, dense, BatchNorm1d", _torch(_dense_parts, lambda p, x: p["net"](x))),
    Case("hour by hour, BatchNorm1d, mean", _torch(_hourwise, _through_hours)),
    Case("channels in branches", _torch(_in_branches, _by_channels)),
    Case("scaled inside", _torch(_recurrent("LSTM"), _scaled_first)),
    Case("softmax over two classes", _torch(_two_classes, lambda p, x: p["risk"](_last(p["state"](x)[0])).softmax(-1))),
    Case(
        "logits of two classes", _torch(_two_classes, lambda p, x: p["risk"](_last(p["state"](x)[0]))), output="logit"
    ),
    Case("logit", _torch(_recurrent("LSTM"), lambda p, x: p["risk"](_last(p["state"](x)[0]))), output="logit"),
    Case(
        "logit, not told", _torch(_recurrent("LSTM"), lambda p, x: p["risk"](_last(p["state"](x)[0]))), "no activation"
    ),
    Case("a state other than zero", _torch(_recurrent("GRU"), _with_a_state), "states other than zero"),
    Case("Elman's recurrent layer", _torch(_recurrent("RNN"), lambda p, x: _ends(p, _last(p["state"](x)[0]))), "RNN"),
    Case("a convolution", _torch(_conv, lambda p, x: _ends(p, p["conv"](x.transpose(1, 2)).mean(2))), "Conv"),
    Case("a risk every hour", _torch(_recurrent("LSTM"), lambda p, x: _ends(p, p["state"](x)[0])), "every hour"),
]
