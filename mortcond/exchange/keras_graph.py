"""A Keras network as its files describe it -> our nodes. JSON and weights alone: nothing of Keras, nothing executed.

Comes in: a configuration (Sequential, functional or nested, of Keras 1 to 3) and its weights. Goes out: a `Network`,
or an InputError that names the layer and the setting that cannot be carried.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mortcond.core.errors import InputError
from mortcond.exchange import keras1
from mortcond.exchange.builder import Builder, Output, Value, flattened
from mortcond.exchange.keras_input import MODELS, input_shape, layers_of
from mortcond.exchange.keras_operations import FUNCTIONS, operation
from mortcond.layers import LAYERS, Layer, Merge
from mortcond.layers.bidirectional import MERGES, both_ways
from mortcond.layers.keras_fields import Fields, refusal
from mortcond.network import INPUT, Network

BY_KERAS: dict[str, type[Layer]] = {name: layer for layer in LAYERS.values() for name in layer.keras_names}
IN_TRAINING_ONLY = ("SpatialDropout1D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization")
SCALING = ("Normalization", "Rescaling")  # whether they hand on a mask depends on the version of Keras
MASK_IS_KEPT_SINCE = (3, 15)  # by these, as far as was tried
WEIGHTLESS = "Weightless"  # our own layers that Keras lacks, by kind and configuration
CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda", "PyFunc", "TFSMLayer")
OPERATION = "operation "  # before the name of what is no layer, but a function of keras.ops
CODE_REMEDY = "Replace it by a layer of Keras, or export the network to ONNX and import that."


class Weights(Protocol):
    """Where a file keeps weights."""

    def of(self, place: "Place") -> list[np.ndarray]:
        """Return the weights of one layer, in the order of Keras' `get_weights`."""

    def unread(self) -> list[str]:
        """Return what no layer has asked for."""


@dataclass(frozen=True)
class Place:
    """Where a layer stands among nested models."""

    names: tuple[str, ...]  # of the models around it, and its own
    store: str  # its group in a file of Keras 3, which counts the classes of each model's layers


@dataclass(frozen=True)
class Stored:
    """A network in a file of Keras."""

    config: dict[str, Any]  # class_name and config
    weights: Weights
    version: tuple[int, ...]
    training: dict[str, Any] | None = None  # how it was compiled


def read(stored: Stored, window: int | None = None, output: Output | None = None) -> Network:
    """Return the network of a file.

    Parameters
    ----------
    window
        Hours, where the network takes any number of them; None: the number that it names, else WINDOW_HOURS.
    output
        What is known of the last value.
    """
    config = keras1.modern_model(stored.config) if stored.version < (2, 0) else stored.config
    hours, features, flat = input_shape(config, window)
    graph = _Graph(Builder(hours, features), replace(stored, config=config))
    start = Value(INPUT, True, features)
    if flat:
        start = flattened(graph.builder, "flatten", start)
    end = graph.model(config, Place((), ""), start)
    left = stored.weights.unread()
    if left:
        raise InputError(f"The file holds weights that no layer reads: {', '.join(left[:3])}.", "Is it complete?")
    known = output or Output()
    return graph.builder.finish("keras", end, replace(known, from_logits=from_logits(stored.training)))


def from_logits(training: dict[str, Any] | None) -> bool | None:
    """Say whether the loss of a network took its output for a logit; None: it does not say."""
    loss = (training or {}).get("loss")
    while isinstance(loss, list) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, str):
        return False
    config = loss.get("config", {}) if isinstance(loss, dict) else None
    return bool(config["from_logits"]) if isinstance(config, dict) and "from_logits" in config else None


# The graph.


@dataclass
class _Graph:
    builder: Builder
    stored: Stored

    def model(self, model: dict[str, Any], place: Place, value: Value) -> Value:
        """Return what a model makes of a value."""
        layers, places = layers_of(model), _places(layers_of(model), place)
        if model["class_name"] == "Sequential":
            for entry in layers:
                if entry["class_name"] != "InputLayer":
                    value = self.call(entry, places[_name(entry)], [value], {})
            return value
        return _Functional(self, model["config"], places, value).output()

    def call(self, entry: dict[str, Any], place: Place, values: list[Any], keywords: dict[str, Any]) -> Any:
        """Return what one layer makes of its inputs."""
        kind, name = kind_of(entry), _name(entry)
        if kind in MODELS:
            return self.model(entry, place, _only(name, kind, values))
        if kind.startswith(OPERATION):
            return operation(self.builder, entry, kind.removeprefix(OPERATION), values, keywords)
        self._refuse_keywords(name, kind, values, keywords)
        if any(not isinstance(value, Value) or value.softmax for value in values):
            raise refusal(name, kind, "reads a mask or a softmax, which is not supported")
        fields = self._fields(entry, values[0])
        made = HANDLERS.get(kind, _plain)(self, fields, place, values)
        fields.finish()
        return made

    def _fields(self, entry: dict[str, Any], value: Value) -> Fields:
        known = self.stored.version, self.builder.hours, value.width, 2 if value.hours else 1
        return Fields(_name(entry), kind_of(entry), entry["config"], *known)

    def _refuse_keywords(self, name: str, kind: str, values: list[Any], keywords: dict[str, Any]) -> None:
        for keyword, value in keywords.items():
            masks = value if isinstance(value, list) else [value]
            if keyword == "mask" and [mask.node if mask else None for mask in masks] == [v.mask for v in values]:
                continue
            if value not in (None, False):
                raise refusal(name, kind, f"is called with {keyword} = {value!r}"[:200])


def _plain(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    """Return what a layer of the table makes of a value."""
    value = _only(fields.layer, fields.kind, values)
    if fields.kind not in (*BY_KERAS, WEIGHTLESS):
        if fields.kind in CODE:
            raise refusal(fields.layer, fields.kind, "holds code, which is never run", CODE_REMEDY)
        raise refusal(fields.layer, fields.kind, "is of a kind that is not supported")
    layer = _layer(fields, graph.stored.weights.of(place))
    if layer.state_names:
        return _recurrent(graph, fields, layer, value)
    if layer.hours_out is False:
        return _over_all_hours(graph, fields, layer, value)
    if fields.kind in SCALING and value.mask is not None and fields.version < MASK_IS_KEPT_SINCE:
        raise refusal(
            fields.layer, fields.kind, "reads a mask, which not every Keras hands on here", "Scale before it."
        )
    return graph.builder.apply(fields.layer, layer, value)


def _layer(fields: Fields, weights: list[np.ndarray]) -> Layer:
    if fields.kind != WEIGHTLESS:
        return BY_KERAS[fields.kind].from_keras(fields, weights)
    kind = fields.take("kind")
    if kind not in LAYERS or weights:
        fields.refuse(f"is of the kind {kind!r}", "Make it with a newer mortcond, or export the network to ONNX.")
    return LAYERS[kind].from_config(fields.take("facts"), {})


def _recurrent(graph: _Graph, fields: Fields, layer: Any, value: Value) -> Value:
    """Return the state of a recurrent layer; Keras hands out a sequence in the order in which it was computed."""
    if not value.hours:
        fields.refuse("reads a value that has no hours", "Check the shape of the network.")
    if value.reversed and value.mask:
        fields.refuse("reads a sequence whose mask lies the other way round", "Use Bidirectional.")
    if value.mask is None and not value.exact:
        graph.builder.refuse_unlike(fields.layer, value)
    layer = replace(layer, backwards=layer.backwards != value.reversed)
    inputs = (value.node, value.mask) if value.mask else (value.node,)
    name = graph.builder.add(fields.layer, layer, *inputs)
    exact = not (value.mask and fields.values.get("zero_output_for_mask"))
    if not layer.sequences:
        return Value(name, False, layer.units)
    return Value(name, True, layer.units, value.mask, exact, layer.backwards)


def _over_all_hours(graph: _Graph, fields: Fields, layer: Layer, value: Value) -> Value:
    if not value.hours and fields.kind == "Flatten":
        return value
    if not value.hours:
        fields.refuse("reads a value that has no hours", "Check the shape of the network.")
    if value.reversed and fields.kind == "Flatten":
        fields.refuse("flattens a sequence that runs backwards", "Use Bidirectional.")
    if value.mask and fields.kind == "GlobalAveragePooling1D":
        fields.refuse("averages over the hours of a mask", "Use the last state of a recurrent layer.")
    return graph.builder.flat(fields.layer, layer, value)


def _masking(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    value = _only(fields.layer, fields.kind, values)
    if not value.hours:
        fields.refuse("masks a value that has no hours", "Check the shape of the network.")
    graph.builder.refuse_unlike(fields.layer, value)
    missing = BY_KERAS[fields.kind].from_keras(fields, []).value
    mask = graph.builder.masked(fields.layer, value.node, missing)
    return replace(value, mask=mask, exact=missing == 0.0)  # Keras puts zeros in skipped hours


def _in_training_only(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    fields.harmless("rate", "stddev", "l1", "l2", "data_format")
    return _only(fields.layer, fields.kind, values)


def _joined(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    layer = BY_KERAS[fields.kind].from_keras(fields, [])
    sequence = values[0].hours
    if fields.kind == "Concatenate" and fields.values.get("axis", -1) not in (-1, 2 if sequence else 1):
        fields.refuse("joins along the hours", "Join along the last axis.")
    masks = {value.mask for value in values if value.mask}
    if len(masks) > 1:
        fields.refuse("joins sequences with different masks", "Mask once, before the branches.")
    everywhere = fields.kind == "Concatenate" or all(value.mask for value in values)
    return graph.builder.join(fields.layer, layer, values, next(iter(masks), None) if everywhere else None)


def _reshape(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    value, builder = _only(fields.layer, fields.kind, values), graph.builder
    target = [int(size) for size in fields.take("target_shape")]
    total = value.width * (builder.hours if value.hours else 1)
    if target.count(-1) == 1:
        target[target.index(-1)] = total // max(-int(np.prod(target)), 1)
    if value.hours and target in ([builder.hours, value.width], [total]):
        same = replace(value, mask=None)  # Keras' Reshape lets go of a mask
        builder.refuse_unlike(fields.layer, value)
        return same if len(target) == 2 else flattened(builder, fields.layer, value)
    if not value.hours and target == [total]:
        return value
    source = builder.nodes.get(value.node)
    if source and source.layer.kind == "flatten" and target == [builder.hours, builder.widths[source.inputs[0]]]:
        return Value(source.inputs[0], True, target[1])
    fields.refuse(f"makes the shape {tuple(target)}", "Only a stay's row to (hours, features) and back is supported.")
    return None


def _softmax(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    fields.must("axis", -1, 1)
    return replace(_only(fields.layer, fields.kind, values), softmax=True)


def _ends_in_softmax(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    """Return what a layer with an activation makes of a value: a softmax is left for the end."""
    if fields.values.get("activation") != "softmax":
        return _plain(graph, fields, place, values)
    fields.values = fields.values | {"activation": "linear"}
    return replace(_plain(graph, fields, place, values), softmax=True)


def _time_distributed(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    value, inner = _only(fields.layer, fields.kind, values), dict(fields.take("layer"))
    known = ("Dense", "Activation", "BatchNormalization", "Dropout", *IN_TRAINING_ONLY)
    if kind_of(inner) not in known or not value.hours:
        fields.refuse(f"repeats a layer {kind_of(inner)}", f"Known are {', '.join(known)}.")
    of_an_hour = {"axis": -1} if inner["config"].get("axis") in (1, [1]) else {}  # its axes are one fewer
    inner |= {"name": fields.layer, "config": inner["config"] | of_an_hour}
    return graph.call(inner, place, [value], {})


def _bidirectional(graph: _Graph, fields: Fields, place: Place, values: list[Value]) -> Value:
    value, merge = _only(fields.layer, fields.kind, values), fields.take("merge_mode", "concat")
    if merge not in MERGES:
        fields.refuse(f"has merge_mode = {merge!r}", f"Known are {', '.join(MERGES)}.")
    if not value.hours or value.reversed:
        fields.refuse("reads a sequence that runs backwards, or none", "Check the shape of the network.")
    fields.harmless("return_sequences", "return_state", "stateful", "weights")
    forward, backward = _halves(graph, fields, place, value)
    inputs = (value.node, value.mask) if value.mask else (value.node,)
    if value.mask is None:
        graph.builder.refuse_unlike(fields.layer, value)
    return _both(graph, fields, both_ways(fields.layer, forward, backward, inputs, merge), value)


def _halves(graph: _Graph, fields: Fields, place: Place, value: Value) -> list[Any]:
    forward, backward = fields.take("layer"), fields.take("backward_layer") or fields.values["layer"]
    weights, made = graph.stored.weights.of(place), []
    half = len(weights) // 2
    for entry, own in ((forward, weights[:half]), (backward, weights[half:])):
        if kind_of(entry) not in BY_KERAS or not BY_KERAS[kind_of(entry)].state_names:
            fields.refuse(f"turns a layer {kind_of(entry)}", "Known are LSTM and GRU.")
        inner = graph._fields(entry | {"name": fields.layer}, value)
        made.append(BY_KERAS[inner.kind].from_keras(inner, own))
        inner.finish()
    if made[0].backwards or made[0].sequences != made[1].sequences:
        fields.refuse("has halves that run the same way or put out different things", "Use the usual form.")
    return made


def _both(graph: _Graph, fields: Fields, entries: list, value: Value) -> Value:
    names: dict[str, str] = {}
    for wanted, layer, inputs in entries:
        names[wanted] = graph.builder.add(wanted, layer, *(names.get(name, name) for name in inputs))
    last = names[entries[-1][0]]
    width, sequences = graph.builder.widths[last], entries[0][1].sequences
    if not sequences:
        return Value(last, False, width)
    return Value(last, True, width, value.mask, exact=value.mask is None)  # Keras puts zeros in skipped hours


HANDLERS: dict[str, Callable[[_Graph, Fields, Place, list[Value]], Value]] = {
    "Masking": _masking,
    "Concatenate": _joined,
    **dict.fromkeys(Merge.keras_names, _joined),
    **dict.fromkeys(IN_TRAINING_ONLY, _in_training_only),
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Dense": _ends_in_softmax,
    "Activation": _ends_in_softmax,
    "TimeDistributed": _time_distributed,
    "Bidirectional": _bidirectional,
}


@dataclass
class _Functional:
    """A functional graph: each call of a layer and what it reads."""

    graph: _Graph
    config: dict[str, Any]
    places: dict[str, Place]
    value: Value  # that comes in

    def __post_init__(self) -> None:
        self.entries = {_name(entry): entry for entry in self.config["layers"]}
        self.found: dict[tuple[str, int], Any] = {}
        self.running: set[tuple[str, int]] = set()
        self.first: dict[str, int] = {}  # Keras 2 counts the calls of a nested model from 1
        for name, call in _references([self.config["layers"], self.config["output_layers"]]):
            self.first[name] = min(call, self.first.get(name, call))

    def output(self) -> Value:
        """Return what the one output is."""
        references = self.config["output_layers"]
        while isinstance(references, list) and len(references) == 1:
            references = references[0]
        if not (isinstance(references, list) and isinstance(references[0], str)):
            raise InputError(f"The network has {len(references)} outputs.", "Cut it to the one that is the risk.")
        return self.at(references)

    def at(self, reference: list) -> Any:
        """Return what one call of a layer puts out; reference: [layer, call, which of its outputs, ...]."""
        name, call, which = str(reference[0]), int(reference[1]), int(reference[2])
        key = name, call
        if which or name not in self.entries or key in self.running:
            raise InputError(f"The layer {name} has no output {which} that could be read.", "Is the file complete?")
        if key not in self.found:
            self.running.add(key)
            self.found[key] = self._call(self.entries[name], call)
            self.running.discard(key)
        return self.found[key]

    def _call(self, entry: dict[str, Any], call: int) -> Any:
        if entry["class_name"] == "InputLayer":
            return self.value
        calls = entry["inbound_nodes"]
        call -= self.first[_name(entry)] if kind_of(entry) in MODELS else 0
        if not 0 <= call < len(calls):
            raise InputError(f"The layer {_name(entry)} is called {len(calls)} times, not more.", "Is it complete?")
        values, keywords = self._arguments(calls[call])
        return self.graph.call(entry, self.places[_name(entry)], values, keywords)

    def _arguments(self, call: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return what a layer is called with, of either form: Keras 1 and 2's list, Keras 3's arguments."""
        if isinstance(call, dict):
            values = [self._resolved(argument) for argument in call["args"]]
            values = values[0] if len(values) == 1 and isinstance(values[0], list) else values
            return values, {name: self._resolved(value) for name, value in call["kwargs"].items()}
        keywords = {name: value for reference in call for name, value in [*reference, {}][3].items()}
        return [self.at(reference) for reference in call], keywords

    def _resolved(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._resolved(part) for part in argument]
        if isinstance(argument, dict) and argument.get("class_name") == "__keras_tensor__":
            return self.at(argument["config"]["keras_history"])
        return argument


def _references(part: Any) -> Iterator[tuple[str, int]]:
    """Yield the layer and call of every reference in a part of a graph's configuration."""
    if isinstance(part, dict):
        for name in ("keras_history", "inbound_nodes", "args", "kwargs", "config"):
            yield from _references(part.get(name))
        if "class_name" not in part:  # keywords of a call
            yield from (found for value in part.values() for found in _references(value))
    elif isinstance(part, list):
        if len(part) >= 3 and isinstance(part[0], str) and all(type(number) is int for number in part[1:3]):
            yield part[0], part[1]
        for entry in part:
            yield from _references(entry)


# Names.


def _places(layers: list[dict[str, Any]], around: Place) -> dict[str, Place]:
    """Return where each layer of a model stands: a file of Keras 3 counts how often a class came before."""
    places, used = {}, {}
    for entry in layers:
        stem = _snake_case(entry["class_name"])
        if not kind_of(entry).startswith(OPERATION):
            count = used[stem] = used.get(stem, -1) + 1
            store = f"{around.store}/layers/{stem}_{count}" if count else f"{around.store}/layers/{stem}"
            places[_name(entry)] = Place((*around.names, _name(entry)), store)
    for entry in layers:
        places.setdefault(_name(entry), around)
    return places


def _snake_case(name: str) -> str:
    """Return a class' name as Keras 3 names its group: LSTM to lstm, TimeDistributed to time_distributed."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _name(entry: dict[str, Any]) -> str:
    config = entry["config"]
    return str(entry.get("name") or (config.get("name") if isinstance(config, dict) else None) or entry["class_name"])


def kind_of(entry: dict[str, Any]) -> str:
    """Return the class of a layer: Keras' own, or one that is registered here; another's is told apart by its name.

    A function of keras.ops has OPERATION before its name. HDF5 files do not say the module: a layer is `trainable`.
    """
    module, registered = str(entry.get("module") or "keras"), str(entry.get("registered_name") or "")
    function = module == "keras" and entry["class_name"] in FUNCTIONS and "trainable" not in entry["config"]
    if function or module.startswith("keras.src.ops."):
        return f"{OPERATION}{entry['class_name']}"
    ours = registered.startswith("mortcond>") or registered.endswith("Slice")
    if ours or module.split(".")[0] in ("keras", "tf_keras", "keras_core"):
        return str(entry["class_name"])
    return f"{module}.{entry['class_name']}"


def _only(name: str, kind: str, values: list[Value]) -> Value:
    if len(values) != 1:
        raise refusal(name, kind, f"reads {len(values)} values, not one")
    return values[0]
