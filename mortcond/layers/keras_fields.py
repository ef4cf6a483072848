"""A Keras layer's configuration, read field by field: what nobody has read in the end is refused by its name.

Comes in: a layer's name, class and configuration as JSON, of Keras 2 or 3. Goes out: the values that a layer here takes
up, and an InputError that names layer and field for everything that it would compute otherwise.
"""

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from mortcond.core.errors import InputError
from mortcond.layers.activations import ACTIVATIONS, SYNONYMS

KERAS_3 = (3, 0)
# What decides how weights were found, or only what a thing is called, changes nothing in what a finished network puts
# out. A field that is not here, and that no layer reads, is refused.
HARMLESS = {
    "name",
    "trainable",
    "build_config",
    "activity_regularizer",
    "seed",
    "noise_shape",
    "input_dtype",
    "autocast",
}
HARMLESS |= {"input_dtype", "autocast"}
HARMLESS |= {"batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_length"}  # read of the first layer
HARMLESS_ENDS = ("_initializer", "_regularizer", "_constraint")
OLD_HARD_SIGMOID = "hard_sigmoid_keras2"
REMEDY = "Build the network without it, or export it to ONNX and import that."


@dataclass
class Fields:
    """The fields of one layer's configuration."""

    layer: str  # its name in the file
    kind: str  # its Keras class
    values: dict[str, Any]
    version: tuple[int, ...] = (3, 0)  # of the Keras that wrote it
    hours: int = 1  # of the network
    width: int = 1  # columns that come in
    last_axis: int = 2  # of what comes in, stays first
    _read: set[str] = field(default_factory=set)

    def take(self, name: str, default: Any = None) -> Any:
        """Return a field, and remember that somebody has read it."""
        self._read.add(name)
        return self.values.get(name, default)

    def harmless(self, *names: str) -> None:
        """Name fields that change nothing in what this kind of layer puts out after training."""
        self._read.update(names)

    def must(self, name: str, *allowed: Any, remedy: str = REMEDY) -> None:
        """Refuse the layer where a field is there and has another value."""
        value = self.take(name, allowed[0])
        if value not in allowed:
            self.refuse(f"has {name} = {_short(value)}, which is not supported", remedy)

    def activation(self, name: str, default: str) -> str:
        """Return the activation that a field names, in the words of `layers.activations`."""
        value = self.take(name, default)
        if isinstance(value, dict) and value.get("registered_name") == f"mortcond>{OLD_HARD_SIGMOID}":
            return OLD_HARD_SIGMOID
        if not (value is None or isinstance(value, str)):
            self.refuse(f"has an activation of its own ({name} = {_short(value)}): code is never run", REMEDY)
        value = SYNONYMS.get(value, value)
        if value == "hard_sigmoid" and self.version < KERAS_3:
            return OLD_HARD_SIGMOID
        if value not in ACTIVATIONS:
            self.refuse(f"has the activation {value!r}, which is not supported", f"Known are {', '.join(ACTIVATIONS)}.")
        return value

    def arrays(self, weights: list[np.ndarray], *shapes: tuple[int | None, ...]) -> list[np.ndarray]:
        """Return the layer's weights as float32, of the given shapes (None: any size), all of them and no more."""
        if len(weights) != len(shapes):
            self.refuse(f"has {len(weights)} weight arrays, not {len(shapes)}", "Check that the file is complete.")
        for array, shape in zip(weights, shapes, strict=True):
            fits = len(shape) == array.ndim
            fits = fits and all(want in (None, size) for want, size in zip(shape, array.shape, strict=True))
            if not fits:
                self.refuse(f"has weights of shape {array.shape}, not {shape}", "Check that weights and shape agree.")
            if not np.isfinite(array).all():
                self.refuse("has weights that are no finite numbers", "Train the network again.")
        return [np.ascontiguousarray(array, np.float32) for array in weights]

    def refuse(self, what: str, remedy: str = REMEDY) -> NoReturn:
        raise refusal(self.layer, self.kind, what, remedy)

    def finish(self) -> None:
        """Refuse the layer where a field is left that nobody has read."""
        self._refuse_other_precision()
        for name, value in self.values.items():
            if name not in self._read | HARMLESS and not name.endswith(HARMLESS_ENDS):
                self.refuse(f"has the field {name} = {_short(value)}, which is not known", REMEDY)

    def _refuse_other_precision(self) -> None:
        kind = self.take("dtype", "float32")
        while isinstance(kind, dict):
            kind = kind.get("config", {}).get("name", kind.get("class_name"))
        if kind not in ("float32", "float64", None):
            remedy = "Save it with the policy float32."
            self.refuse(f"computes in {kind}, in which risks are only good to two or three digits", remedy)
        self.must("quantization_config", None, remedy="Save it before its quantisation.")
        self.must("lora_rank", None, remedy="Merge the low-rank weights first.")


def refusal(layer: str, kind: str, what: str, remedy: str = REMEDY) -> InputError:
    """Return the error that refuses a layer."""
    return InputError(f"The layer {layer} ({kind}) {what}.", remedy)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
