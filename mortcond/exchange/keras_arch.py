"""The shape of a network whose file holds weights alone, where it is one of our own architectures built in Keras.

Comes in: an HDF5 file of weights and the architecture. Goes out: the configuration that Keras would have written: an
input, Masking, recurrent layers one upon the other, a dense layer of one unit with a sigmoid. Sizes are the weights'.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from mortcond.core.errors import InputError
from mortcond.exchange.keras_hdf5 import array_of, arrays_below, opened, texts

RECURRENT = {"lstm": ("LSTM", 4, 3), "gru": ("GRU", 3, 3), "bilstm": ("Bidirectional", 4, 6)}
REMEDY = "Give its whole configuration with --model-config FILE.json (model.to_json())."
Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class _Layer:
    name: str
    shapes: Shapes  # of its weights


def configuration(path: Path, arch: str) -> dict[str, Any]:
    """Return the configuration of a network of which a file holds the weights.

    Raises
    ------
    InputError
        The weights are not those of such a network.
    """
    with opened(path, str(path)) as file:
        if "model_config" in file.attrs:
            raise InputError(f"{path} tells its own shape.", "Leave out --arch.")
        layers = _named(file) if "layer_names" in file.get("model_weights", file).attrs else _counted(file)
    layers = [layer for layer in layers if layer.shapes]
    *recurrent, last = layers or [_Layer("", [])]
    fault = _fault(arch, recurrent, last)
    if fault:
        raise InputError(f"{path} holds no weights of a {arch}: {fault}.", REMEDY)
    return _sequential(arch, recurrent, last)


def _named(file: h5py.File) -> list[_Layer]:
    """Return the layers of a file that names them, in their order."""
    root = file.get("model_weights", file)
    names = {name: texts(root[name], "weight_names") for name in texts(root, "layer_names")}
    return [_Layer(name, [array_of(root[name], one).shape for one in own]) for name, own in names.items()]


def _counted(file: h5py.File) -> list[_Layer]:
    """Return the layers of a file of Keras 3, which counts those of each class; what is dense comes last."""
    group = next((file[name] for name in ("layers", "_layer_checkpoint_dependencies") if name in file), {})
    found = {name: [array_of(file, one).shape for one in arrays_below(group[name])] for name in group}
    order = sorted(found, key=lambda name: (name.startswith("dense"), *_number(name)))
    return [_Layer(name, found[name]) for name in order]


def _number(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdigit() else (name, 0)


def _fault(arch: str, recurrent: list[_Layer], last: _Layer) -> str:
    """Return what is wrong with weights for an architecture; empty: nothing."""
    kind, gates, arrays = RECURRENT[arch]
    width = None
    for layer in recurrent:
        kernel, states, *_ = shapes = [*layer.shapes, (), ()]
        units = states[0] if len(states) == 2 else 0
        if len(layer.shapes) != arrays or not units or states != (units, gates * units) or len(kernel) != 2:
            return f"{layer.name} has weights of {_said(layer.shapes)}, which no {kind} has"
        if kernel[1] != gates * units or any(shape != shapes[place % 3] for place, shape in enumerate(layer.shapes)):
            return f"{layer.name} has weights of {_said(layer.shapes)}, which do not fit together"
        if width not in (None, kernel[0]):
            return f"{layer.name} reads {kernel[0]} numbers, the layer before it gives {width}"
        width = units * (arrays // 3)
    if not recurrent:
        return f"no layer of it is a {kind}"
    if last.shapes != [(width, 1), (1,)]:
        return f"{last.name} has weights of {_said(last.shapes)}, where a risk of {width} numbers has {width} x 1 and 1"
    return ""


def _said(shapes: Shapes) -> str:
    return ", ".join(" x ".join(map(str, shape)) or "1" for shape in shapes)


def _sequential(arch: str, recurrent: list[_Layer], last: _Layer) -> dict[str, Any]:
    features = recurrent[0].shapes[0][0]
    layers = [
        _entry("InputLayer", "input", batch_shape=[None, None, features]),
        _entry("Masking", "mask", mask_value=0.0),
    ]
    for layer in recurrent:
        layers.append(_LAYERS[arch](layer, layer is not recurrent[-1]))
    layers.append(_entry("Dense", last.name, units=1, activation="sigmoid"))
    return _entry("Sequential", arch, layers=layers)


def _entry(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


def _lstm(layer: _Layer, sequences: bool) -> dict[str, Any]:
    return _entry("LSTM", layer.name, units=layer.shapes[1][0], return_sequences=sequences)


def _gru(layer: _Layer, sequences: bool) -> dict[str, Any]:
    how = {"units": layer.shapes[1][0], "return_sequences": sequences, "reset_after": len(layer.shapes[2]) == 2}
    return _entry("GRU", layer.name, **how)


def _bilstm(layer: _Layer, sequences: bool) -> dict[str, Any]:
    inner = _lstm(_Layer("lstm", layer.shapes), sequences)
    return _entry("Bidirectional", layer.name, layer=inner, merge_mode="concat")


_LAYERS: dict[str, Callable[[_Layer, bool], dict[str, Any]]] = {"lstm": _lstm, "gru": _gru, "bilstm": _bilstm}
