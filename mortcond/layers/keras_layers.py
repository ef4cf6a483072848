"""Keras layers that Keras does not have: the hidden-layer LSTM (cell and layer), and the summaries of a stay.

Comes in: nothing but Keras. Goes out: layers that serialise, registered as `mortcond>...`, so that `model.keras` loads
wherever `mortcond.layers.keras_layers` was imported.
"""

from itertools import pairwise

from mortcond.core.tensorflow import keras
from mortcond.layers.operations import Operations

ops = keras.ops


class KerasOperations(Operations):
    """The operations of `layers.operations` by Keras' own, for layers without weights."""

    def concatenate(self, parts):
        return ops.concatenate(list(parts), axis=-1)

    def columns(self, x, indices):
        return ops.take(x, [int(index) for index in indices], axis=-1)

    def log(self, x):
        return ops.log(x)

    def sqrt(self, x):
        return ops.sqrt(x)

    def absolute(self, x):
        return ops.abs(x)

    def maximum(self, x, other):
        return ops.maximum(x, other)

    def minimum(self, x, other):
        return ops.minimum(x, other)

    def positive(self, x):
        return ops.cast(x > 0, "float32")

    def mean(self, x):
        return ops.mean(x, axis=1)

    def sum(self, x):
        return ops.sum(x, axis=1)

    def least(self, x):
        return ops.min(x, axis=1)

    def largest(self, x):
        return ops.max(x, axis=1)

    def hours_of(self, x):
        return x.shape[1]

    def as_hours(self, x):
        return x[:, None]


@keras.saving.register_keras_serializable("mortcond")
class Weightless(keras.layers.Layer):
    """A layer of ours that has no weights and that Keras lacks, told by its kind and configuration."""

    supports_masking = True  # reads every hour; what it puts out has none

    def __init__(self, kind: str, facts: dict, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.facts = kind, facts

    def compute_mask(self, x, previous_mask=None):
        return None

    def call(self, x):
        from mortcond.layers import LAYERS

        return LAYERS[self.kind].from_config(self.facts, {}).forward(KerasOperations(), {}, x)

    def get_config(self):
        return super().get_config() | {"kind": self.kind, "facts": self.facts}


@keras.saving.register_keras_serializable("mortcond")
def hard_sigmoid_keras2(x):
    """Return clip(0.2 x + 0.5), the hard sigmoid of Keras 1 and 2; Keras 3's of the same name has other numbers."""
    return ops.clip(x * 0.2 + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable("mortcond")
class HiddenLSTMCell(keras.layers.Layer):
    """One step of the hidden-layer LSTM (paper, section II-F): each gate is `W * ReLU(H * [x_t, h_(t-1)]) + b`.

    Parameters
    ----------
    units
        Width of the hidden state h and the cell state c.
    hidden_widths
        For each gate (input, forget, cell, output) the widths of its hidden layers, such as [[16], [16], [16], [16]].
        The gates may differ in width, not in depth. Hidden layers have no bias.
    """

    def __init__(self, units: int, hidden_widths: list[list[int]], **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden_widths = [list(widths) for widths in hidden_widths]
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape):
        first = [widths[0] for widths in self.hidden_widths]
        last = [widths[-1] for widths in self.hidden_widths]
        self.kernel = self.add_weight((input_shape[-1], sum(first)), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, sum(first)), "orthogonal", name="recurrent_kernel")
        self.deeper_kernels = [
            [
                self.add_weight((source, target), "glorot_uniform", name=f"deeper_kernel_{gate}_{level}")
                for level, (source, target) in enumerate(pairwise(widths))
            ]
            for gate, widths in enumerate(self.hidden_widths)
        ]
        self.hidden_kernel = self.add_weight((sum(last), self.units), "glorot_uniform", name="hidden_kernel")
        self.bias = self.add_weight((4 * self.units,), "zeros", name="bias")
        super().build(input_shape)

    def call(self, inputs, states, training=False):
        h, c = states  # each (stays, units)
        projected = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        hidden = self._blocks(ops.relu(projected), [widths[0] for widths in self.hidden_widths], axis=1)
        outputs = self._blocks(self.hidden_kernel, [widths[-1] for widths in self.hidden_widths], axis=0)
        i, f, g, o = (self._gate(gate, hidden[gate], outputs[gate]) for gate in range(4))
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)  # eq. 2
        h = ops.sigmoid(o) * ops.tanh(c)  # eq. 3
        return h, [h, c]

    def _gate(self, gate: int, hidden, output):
        for kernel in self.deeper_kernels[gate]:
            hidden = ops.relu(ops.matmul(hidden, kernel))
        return ops.matmul(hidden, output) + self.bias[gate * self.units : (gate + 1) * self.units]

    def _blocks(self, array, widths: list[int], axis: int) -> list:
        starts = [sum(widths[:gate]) for gate in range(1, 4)]
        return ops.split(array, starts, axis=axis)

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, self.units)) for _ in range(2)]

    def get_config(self):
        return super().get_config() | {"units": self.units, "hidden_widths": self.hidden_widths}


@keras.saving.register_keras_serializable("mortcond")
class HiddenLSTM(keras.layers.RNN):
    """A sequence through HiddenLSTMCell; a masked hour leaves its state as it is, as in every Keras RNN."""

    def __init__(self, units: int, hidden_widths: list[list[int]], **kwargs):
        super().__init__(HiddenLSTMCell(units, hidden_widths), **kwargs)

    def get_config(self):
        config = super().get_config()
        config.pop("cell")
        return config | {"units": self.cell.units, "hidden_widths": self.cell.hidden_widths}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("mortcond")
class MeasuredMean(keras.layers.Layer):
    """The mean of each feature over the hours in which its variable was measured (paper, section III-B).

    A feature whose variable never was measured, or that has no mask of its own (column -1), is averaged over all hours.
    In: (stays, hours, features). Out: (stays, features).
    """

    def __init__(self, mask_columns: list[int], **kwargs):
        super().__init__(**kwargs)
        self.mask_columns = [int(column) for column in mask_columns]

    supports_masking = True  # reads every hour; what it puts out has none

    def compute_mask(self, x, previous_mask=None):
        return None

    def call(self, x):
        own = ops.convert_to_tensor([column >= 0 for column in self.mask_columns])
        mask = ops.take(x, [max(column, 0) for column in self.mask_columns], axis=2)
        mask = ops.where(own, mask, ops.ones_like(mask))  # (stays, hours, features)
        hours = ops.sum(mask, axis=1)  # (stays, features)
        mean_of_measured = ops.sum(x * mask, axis=1) / ops.maximum(hours, 1.0)
        return ops.where(hours > 0, mean_of_measured, ops.mean(x, axis=1))

    def get_config(self):
        return super().get_config() | {"mask_columns": self.mask_columns}


@keras.saving.register_keras_serializable("mortcond")
class FullSummary(keras.layers.Layer):
    """Mean, last, minimum, maximum, standard deviation and change (last - first) of each feature over all hours.

    In: (stays, hours, features). Out: (stays, 6 * features), the six summaries side by side in this order.
    """

    supports_masking = True  # reads every hour; what it puts out has none

    def compute_mask(self, x, previous_mask=None):
        return None

    def call(self, x):
        parts = (ops.mean(x, 1), x[:, -1], ops.min(x, 1), ops.max(x, 1), ops.std(x, 1), x[:, -1] - x[:, 0])
        return ops.concatenate(parts, axis=1)


@keras.saving.register_keras_serializable("mortcond")
class Columns(keras.layers.Layer):
    """Some columns of the last axis, in a given order; a mask of the hours goes on with them."""

    def __init__(self, columns: list[int], **kwargs):
        super().__init__(**kwargs)
        self.columns = [int(column) for column in columns]
        self.supports_masking = True

    def call(self, x):
        return ops.take(x, self.columns, axis=-1)

    def get_config(self):
        return super().get_config() | {"columns": self.columns}


@keras.saving.register_keras_serializable("mortcond")
class Hour(keras.layers.Layer):
    """One hour of (stays, hours, width); -1 is the last."""

    def __init__(self, index: int, **kwargs):
        super().__init__(**kwargs)
        self.index = int(index)

    supports_masking = True  # reads one hour whether it counts or not; what it puts out has none

    def compute_mask(self, x, previous_mask=None):
        return None

    def call(self, x):
        return x[:, self.index]

    def get_config(self):
        return super().get_config() | {"index": self.index}
