"""The SavedModel of a network: plain TensorFlow operations that anybody's converter turns to builtin LiteRT ones.

Comes in: a Network. Goes out: a tf.Module with its weights as variables and one signature, `serving_default`, from
`stays` (stays, hours, features) to `risk` (stays, 1). Keras' own export of a masked LSTM needs operations that LiteRT
lacks, so the loop over the hours is written out here: it carries only the states.
"""

from pathlib import Path

import numpy as np

from mortcond.core.tensorflow import tf
from mortcond.models.network import GATES, DenseLayer, HiddenLSTMLayer, LSTMLayer, Network


class Served(tf.Module):
    """A network with its weights as variables, ready for tf.saved_model.save."""

    def __init__(self, network: Network):
        super().__init__(name="mortcond")
        self.network = network
        self.weights = {
            name: tf.Variable(array.astype(np.float32), name=name) for name, array in network.arrays().items()
        }

    def risk(self, stays: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the risk of each stay, (stays, 1), from scaled stays, (stays, hours, features)."""
        state = self._last_state(stays) if self.network.recurrent else self._summary(stays)
        for index, layer in enumerate(self.network.dense):
            state = self._dense(index, layer, state)
        return {"risk": state}

    def _dense(self, index: int, layer: DenseLayer, x: tf.Tensor) -> tf.Tensor:
        x = tf.matmul(x, self.weights[f"dense.{index}.kernel"]) + self.weights[f"dense.{index}.bias"]
        return tf.nn.relu(x) if layer.activation == "relu" else tf.sigmoid(x)

    def _summary(self, stays: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(stays, 1)
        if self.network.summary == "full":
            spread = tf.sqrt(tf.reduce_mean(tf.square(stays - mean[:, None]), 1))
            ends = tf.reduce_min(stays, 1), tf.reduce_max(stays, 1)
            return tf.concat([mean, stays[:, -1], *ends, spread, stays[:, -1] - stays[:, 0]], 1)
        columns = self.network.mask_columns
        has_mask = tf.constant([float(column >= 0) for column in columns])
        mask = tf.gather(stays, [max(column, 0) for column in columns], axis=2) * has_mask  # (stays, hours, features)
        hours = tf.reduce_sum(mask, 1)
        return tf.where(hours > 0, tf.reduce_sum(stays * mask, 1) / tf.maximum(hours, 1.0), mean)

    def _last_state(self, stays: tf.Tensor) -> tf.Tensor:
        by_hour = tf.transpose(stays, [1, 0, 2])  # (hours, stays, features)
        measured = tf.cast(tf.reduce_max(tf.abs(by_hour), 2, keepdims=True) > 0, tf.float32)  # (hours, stays, 1)
        units = [layer.units for layer in self.network.recurrent for _ in range(2)]
        states = [tf.zeros([tf.shape(stays)[0], width]) for width in units]

        def step(hour, *states):
            x, m, new_states = by_hour[hour], measured[hour], []
            for index, layer in enumerate(self.network.recurrent):
                old = states[2 * index : 2 * index + 2]
                new = self._step(index, layer, x, *old)
                new_states += [before + m * (after - before) for before, after in zip(old, new, strict=True)]
                x = new_states[-2]
            return hour + 1, *new_states

        shapes = [tf.TensorShape([]), *(tf.TensorShape([None, width]) for width in units)]
        hours = self.network.hours
        loop = tf.while_loop(lambda hour, *_: hour < hours, step, [0, *states], shape_invariants=shapes)
        return loop[-2]

    def _step(self, index: int, layer: LSTMLayer | HiddenLSTMLayer, x, h, c):
        gates = self._lstm_gates if isinstance(layer, LSTMLayer) else self._hidden_gates
        i, f, g, o = gates(f"recurrent.{index}.", x, h)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    def _lstm_gates(self, prefix: str, x, h):
        kernels = [self.weights[prefix + name] for name in ("kernel", "recurrent_kernel")]
        z = tf.matmul(tf.concat([x, h], 1), tf.concat(kernels, 0)) + self.weights[prefix + "bias"]
        return tf.split(z, 4, axis=1)

    def _hidden_gates(self, prefix: str, x, h):
        return [self._hidden_gate(f"{prefix}{gate}.", tf.concat([x, h], 1)) for gate in GATES]

    def _hidden_gate(self, prefix: str, x):
        depth = 0
        while f"{prefix}hidden.{depth}" in self.weights:
            x = tf.nn.relu(tf.matmul(x, self.weights[f"{prefix}hidden.{depth}"]))
            depth += 1
        return tf.matmul(x, self.weights[prefix + "output"]) + self.weights[prefix + "bias"]


def save(network: Network, directory: Path) -> None:
    """Write the SavedModel of a network at the root of `directory`."""
    served = Served(network)
    spec = tf.TensorSpec([None, network.hours, network.features], tf.float32, name="stays")
    signature = tf.function(served.risk, input_signature=[spec])
    options = tf.saved_model.SaveOptions(experimental_debug_stripper=True)
    tf.saved_model.save(served, str(directory), signatures={"serving_default": signature}, options=options)
