"""What every layer is: weights with names, arithmetic, channels, and its form in Keras.

Comes in: nothing. Goes out: `Layer` and `Recurrent`, which the modules beside this one fill in, and the words in which
they speak of channels. numpy only.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from mortcond.layers.keras_fields import Fields

GROUP_AXES = ("units", "hidden")  # a layer's outputs; neurons inside the gates of a hidden-layer LSTM


@dataclass(frozen=True)
class Slot:
    """Where channels lie along one axis of one weight array."""

    array: str  # its name within the layer
    axis: int
    positions: np.ndarray  # (channels, places) int: a channel may lie in several, once for each gate of an LSTM kernel

    @classmethod
    def of_blocks(cls, array: str, axis: int, size: int, blocks: int = 1) -> "Slot":
        """Return the slot of channels that lie side by side, in so many blocks of `size` each."""
        return cls(array, axis, np.arange(size)[:, None] + size * np.arange(blocks))


@dataclass(frozen=True)
class Channels:
    """Channels that a layer makes. Those of the group without a name are the columns that it puts out."""

    name: str  # within the layer, such as forget.hidden.0; empty for what it puts out
    axis: str  # of GROUP_AXES
    size: int
    makers: tuple[Slot, ...]  # what makes a channel: its columns and its bias
    readers: tuple[Slot, ...] = ()  # what of the same layer reads it
    rectified: bool = False  # whether a channel is the ReLU of its sum, which may be scaled at no cost


class Layer(ABC):
    """One layer: a frozen dataclass whose numpy fields are its weights and whose other fields are its configuration.

    Values are (stays, width), or (stays, hours, width) where `over_hours`; a mask is (stays, hours).
    """

    kind: ClassVar[str]  # its name in files
    identity: ClassVar[bool] = False  # whether it does nothing but in training
    affine: ClassVar[bool] = False  # whether it is `activation(x kernel + bias)`
    keras_names: ClassVar[tuple[str, ...]] = ()  # the Keras classes that `from_keras` reads
    hours_out: ClassVar[bool | None] = None  # whether what it puts out has hours; None: as what comes in
    state_names: ClassVar[tuple[str, ...]] = ()  # what it carries from hour to hour; the first is what it puts out
    drop_rate: ClassVar[float] = 0.0  # share of its columns that training drops, the same in all hours of a stay

    # Weights.

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every weight array by its name within the layer."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def with_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        """Return the same layer with other weights, by the names of `arrays`."""
        return replace(self, **arrays)

    def drawn(self, generator: np.random.Generator) -> Self:
        """Return the same layer with initial weights, of the distributions that its Keras layer draws from."""
        return self

    def config(self) -> dict[str, Any]:
        """Return all that is no weight, as JSON can hold it."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}

    @classmethod
    def from_config(cls, config: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Return the layer that `config` and `arrays` tell of.

        Raises TypeError or KeyError where they do not make one.
        """
        return cls(**({name: _tuples(value) for name, value in config.items()} | arrays))

    # Arithmetic.

    @abstractmethod
    def forward(self, ops: Any, weights: dict[str, Any], *inputs: Any) -> Any:
        """Return what the layer puts out; weights: the values of `arrays()` in the set of operations `ops`."""

    def width(self, *widths: int, hours: int) -> int:
        """Return how many columns the layer puts out, from those of its inputs."""
        return widths[0]

    def fitted(self, x: np.ndarray) -> Self:
        """Return the layer with the statistics that it takes of training stays: x is what comes in."""
        return self

    # Channels.

    def channels(self) -> tuple[Channels, ...]:
        """Return the groups of channels that the layer makes."""
        return ()

    def readers(self, index: int, positions: np.ndarray) -> tuple[Slot, ...]:
        """Return where input `index` is read: positions (channels, places) are columns of that input."""
        return ()

    def matrices(self) -> dict[str, tuple[str, str | None]]:
        """Return for each matrix what it reads and the bias that is added to what it gives, where there is one.

        It reads `x`, what comes in; `h`, the state before; `x and h`, both side by side; or one of `neurons`.
        """
        return {}

    def carried(self, *origins: np.ndarray, hours: int) -> np.ndarray:
        """Return for each column put out which channel it is, from those of the columns that come in; -1: none.

        Only asked where the layer makes no output channels of its own.
        """
        return origins[0]

    def tied(self) -> bool:
        """Say whether the layer needs its inputs whole, so that no channel that comes in may be cut."""
        return False

    def without(self, *kept: np.ndarray) -> Self:
        """Return the layer's configuration for inputs of which only some columns are left, each (columns,) int."""
        return self

    # Two layers in one.

    def then(self, following: "Layer") -> "Layer | None":
        """Return the one layer that does what this one and then `following` do; None: there is none."""
        return None

    def after(self, leading: "Layer") -> "Layer | None":
        """Return the one layer that does what `leading` and then this one do; None: there is none."""
        return None

    # Keras.

    @classmethod
    def from_keras(cls, fields: Fields, weights: list[np.ndarray]) -> Self:
        """Return the layer that a Keras layer of one of `keras_names` is; weights: in the order of `get_weights`.

        Raises InputError where its configuration asks for what this layer does not do.
        """
        fields.refuse("is of a kind that is not supported")

    @abstractmethod
    def to_keras(self, keras: Any, name: str) -> Any:
        """Return the Keras layer, without weights; `keras` is the module."""

    def keras_weights(self) -> list[np.ndarray]:
        """Return the weights in the order of Keras' `get_weights`."""
        return list(self.arrays().values())

    def with_keras_weights(self, weights: Sequence[np.ndarray]) -> Self:
        """Return the same layer with the weights that a Keras layer made by `to_keras` has."""
        return self.with_arrays(dict(zip(self.arrays(), weights, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """A layer that steps through the hours; its first state is what it puts out.

    Inputs: a sequence, and perhaps the mask that says which hours count.
    """

    sequences: bool = False  # puts out the state after each hour, not only the last
    backwards: bool = False  # from the last hour to the first; a sequence keeps the order of the hours all the same

    from_x: ClassVar[tuple[str, ...]] = ()  # weights that `project` alone reads

    @property
    @abstractmethod
    def units(self) -> int:
        """Return the width of the state."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Return how many columns come in."""

    @property
    def hours_out(self) -> bool:
        return self.sequences

    def project(self, ops: Any, weights: dict[str, Any], x: Any) -> Any:
        """Return what x gives to the sums of every hour: what need not wait for the state, (stays, hours, width)."""
        return x

    def step(self, ops: Any, weights: dict[str, Any], z: Any, *states: Any, kept: Any = None) -> tuple[Any, ...]:
        """Return the states after an hour, each (stays, units), from z, an hour of `project`, and those before.

        kept: recurrent dropout, factors on the first state as the gates see it, (stays, units); None: none.
        """
        raise NotImplementedError

    def forward(self, ops: Any, weights: dict[str, Any], x: Any, counts: Any = None) -> Any:
        after = self.states(ops, weights, x, counts)
        return after if self.sequences else ops.hour(after, 0 if self.backwards else -1)

    def then(self, following: Layer) -> Layer | None:
        last = {"index": 0 if self.backwards else -1}
        only_last = self.sequences and following.kind == "hour" and following.config() == last
        return replace(self, sequences=False) if only_last else None

    def states(self, ops: Any, weights: dict[str, Any], x: Any, counts: Any = None) -> Any:
        """Return the first state after every hour, (stays, hours, units), also where only the last is put out."""

        def step(z: Any, *states: Any) -> tuple[Any, ...]:
            return self.step(ops, weights, z, *states)

        widths = [self.units] * len(self.state_names)
        return ops.scan(step, self.project(ops, weights, x), widths, counts, self.backwards)

    def neurons(self, x_and_h: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the hidden channels put out, by the names of `channels`, each (observations, channels).

        x_and_h: what comes in beside the state before, (observations, inputs + units).
        """
        return {}

    def gates(self, weights: dict[str, Any]) -> list["Gate"] | None:
        """Return the layer as four gates of an LSTM, where it is one; None: it is not, and is stepped plainly.

        The gates are input, forget, cell and output; the first, second and last go through a sigmoid, the third through
        tanh, and c = f c + i g, h = o tanh(c) (paper, eq. 2 and 3).
        """
        return None

    def clipped_gates(self, weights: dict[str, Any]) -> tuple[list["Gate"], float] | None:
        """Return the layer as four gates of an LSTM with hard sigmoids, clip(slope z + 0.5, 0, 1), and their slope.

        The sums of input, forget and output gate are those after slope and shift: what is left of them is to clip.
        """
        return None

    def width(self, *widths: int, hours: int) -> int:
        return self.units

    @staticmethod
    def keras_order(fields: Fields) -> dict[str, bool]:
        """Return `sequences` and `backwards` of a recurrent Keras layer, after a look at what they have in common.

        Its sequence comes in Keras in the order in which it was computed: whoever asks for it backwards turns it.
        """
        fields.harmless("dropout", "recurrent_dropout", "implementation", "unroll", "unit_forget_bias", "use_cudnn")
        fields.must("stateful", False, remedy="Build it with stateful=False and the same weights.")
        fields.must("return_state", False, remedy="Build it with return_state=False and the same weights.")
        fields.must("time_major", False, remedy="Build it with time_major=False and the same weights.")
        fields.take("zero_output_for_mask")  # what reads a skipped hour is the graph's matter
        return {"sequences": bool(fields.take("return_sequences")), "backwards": bool(fields.take("go_backwards"))}


def seen(h: Any, kept: Any) -> Any:
    """Return the hidden state as the gates see it; kept: factors of recurrent dropout, or None."""
    return h if kept is None else h * kept


@dataclass(frozen=True)
class Gate:
    """The sums of one gate: (x kernel + h recurrent_kernel), each matrix of `chain` after a ReLU, + bias."""

    kernel: Any  # (inputs, width)
    recurrent_kernel: Any  # (units, width)
    chain: Sequence[Any]  # (width, next width) ...; none in a plain LSTM, whose width is its units
    bias: Any  # (units,)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
