"""The recurrence of a stack of LSTM layers over the hours, as few operations as XLA can be given.

Comes in: a network's weights as tensors, and scaled stays. Goes out: the last hidden state, differentiable.

Three things make it quick. The inputs of all hours are projected before the loop. All layers step together, each one
hour behind the layer below it, as one layer with block matrices. And the gradient is written out: what it needs of the
forward pass is computed for all hours at once, so that the loop backwards holds nothing but what must be in sequence.
"""

from collections.abc import Sequence
from typing import Any

from mortcond.core.tensorflow import tf
from mortcond.models.network import GATES, HiddenLSTMLayer, LSTMLayer, Network

Weights = dict[str, tf.Tensor]  # keys as in Network.arrays()


def last_state(network: Network, weights: Weights, x: Any, measured: Any, kept: Any = None) -> Any:
    """Return the last hidden state of the uppermost layer, (stays, units).

    Parameters
    ----------
    network
        Only its shape counts.
    x
        (stays, hours, features).
    measured
        (stays, hours, 1), 1 where any feature of the hour is not zero; other hours are skipped, as by Keras' Masking.
    kept
        Recurrent dropout: factors on the previous hidden state as the gates see it, (stays, units of all layers).
    """
    stays, hours, features = x.shape
    depth, units = len(network.recurrent), [layer.units for layer in network.recurrent]
    gates = [_gates(layer, f"recurrent.{index}.", weights) for index, layer in enumerate(network.recurrent)]
    kernel = tf.concat([gate[0] for gate in gates[0]], 1)
    projected = tf.reshape(tf.transpose(x, [1, 0, 2]), [hours * stays, features]) @ kernel
    inputs = _beside_other_layers(tf.reshape(projected, [hours, stays, -1]), gates)
    inputs = tf.pad(inputs, [[0, depth - 1], [0, 0], [0, 0]])  # the layers above have as many hours yet to go
    by_hour = tf.transpose(measured, [1, 0, 2])
    late = [tf.pad(by_hour, [[layer, depth - 1 - layer], [0, 0], [0, 0]]) for layer in range(depth)]
    active = tf.concat([tf.tile(rows, [1, 1, width]) for rows, width in zip(late, units, strict=True)], 2)
    kept = tf.ones([1, 1]) if kept is None else kept
    chain = [_block_diagonal([gate[2][level] for gate in _gate_major(gates)]) for level in range(len(gates[0][0][2]))]
    bias = tf.concat([gate[3] for gate in _gate_major(gates)], 0)
    return _scan(inputs, _recurrent_kernel(gates, units), bias, chain, active, kept)[:, sum(units) - units[-1] :]


def _gates(layer: LSTMLayer | HiddenLSTMLayer, prefix: str, weights: Weights) -> list[tuple]:
    """Return (kernel, recurrent kernel, further kernels each after a ReLU, bias) of the four gates of a layer."""
    if isinstance(layer, LSTMLayer):
        arrays = (tf.split(weights[prefix + name], 4, axis=-1) for name in ("kernel", "recurrent_kernel", "bias"))
        return [(kernel, recurrent, [], bias) for kernel, recurrent, bias in zip(*arrays, strict=True)]
    gates = []
    for name, gate in zip(GATES, layer.gates, strict=True):
        first, *deeper = (weights[f"{prefix}{name}.hidden.{level}"] for level in range(len(gate.hidden)))
        further = [*deeper, weights[f"{prefix}{name}.output"]]
        gates.append((first[: layer.inputs], first[layer.inputs :], further, weights[f"{prefix}{name}.bias"]))
    return gates


def _gate_major(gates: list[list[tuple]]) -> list[tuple]:
    """Order the blocks of all layers gate by gate: a gate's columns of all layers lie side by side."""
    return [gates[layer][gate] for gate in range(4) for layer in range(len(gates))]


def _beside_other_layers(projected: Any, gates: list[list[tuple]]) -> Any:
    """Put the first layer's inputs, gate by gate, beside zeros for the layers above, which see no x."""
    blocks = tf.split(projected, [gate[0].shape[1] for gate in gates[0]], axis=2)
    parts = []
    for gate, block in enumerate(blocks):
        others = sum(layer[gate][0].shape[1] for layer in gates[1:])
        parts.append(tf.pad(block, [[0, 0], [0, 0], [0, others]]))
    return tf.concat(parts, 2)


def _recurrent_kernel(gates: list[list[tuple]], units: list[int]) -> Any:
    """Return the kernel on the hidden states of all layers: each gate sees its own layer's and the one below's."""
    rows = []
    for source, width in enumerate(units):
        blocks = []
        for gate in range(4):
            for layer in range(len(gates)):
                kernel, recurrent_kernel, _, _ = gates[layer][gate]
                if layer == source:
                    blocks.append(recurrent_kernel)
                else:
                    blocks.append(kernel if layer == source + 1 else tf.zeros([width, kernel.shape[1]]))
        rows.append(tf.concat(blocks, 1))
    return tf.concat(rows, 0)


def _block_diagonal(blocks: list[Any]) -> Any:
    width, left, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        rows.append(tf.pad(block, [[0, 0], [left, width - left - block.shape[1]]]))
        left += block.shape[1]
    return tf.concat(rows, 0)


def _scan(inputs: Any, recurrent_kernel: Any, bias: Any, chain: Sequence[Any], active: Any, kept: Any) -> Any:
    """Return the hidden state after all hours, (stays, units).

    Parameters
    ----------
    inputs
        (hours, stays, columns): what x gives to the first kernel's columns.
    recurrent_kernel
        (units, columns): what the hidden state gives to them.
    bias
        (4 * units,), gates side by side in the order of GATES.
    chain
        Kernels that come after a ReLU each, the last one with 4 * units columns; none in a plain LSTM.
    active
        (hours, stays, units), 0 where a state stays as it is.
    kept
        Factors on the hidden state as the gates see it.
    """
    hours, stays, units = active.shape

    @tf.custom_gradient
    def scan(inputs, recurrent_kernel, bias, *chain):
        def step(hour, h, c, all_h, all_c):
            z = _chained(inputs[hour] + (h * kept) @ recurrent_kernel, chain)[0] + bias
            *_, o, c_new = _cell(z, c)
            now = active[hour]
            h, c = h + now * (o * tf.tanh(c_new) - h), c + now * (c_new - c)
            return hour + 1, h, c, all_h.write(hour, h), all_c.write(hour, c)

        start = tf.zeros([stays, units])
        kept_states = [tf.TensorArray(tf.float32, hours, element_shape=[stays, units]) for _ in range(2)]
        state = (0, start, start, *kept_states)
        _, h, _, all_h, all_c = tf.while_loop(lambda hour, *_: hour < hours, step, state, maximum_iterations=hours)

        def gradient(dh):
            before = [tf.concat([start[None], states.stack()[:-1]], 0) for states in (all_h, all_c)]
            return _backwards(dh, inputs, recurrent_kernel, bias, chain, active, kept, *before)

        return h, gradient

    return scan(inputs, recurrent_kernel, bias, *chain)


def _backwards(dh, inputs, recurrent_kernel, bias, chain, active, kept, h_before, c_before):
    """Return the gradients of `_scan`'s inputs and weights; h_before and c_before are the states before each hour."""
    hours, stays, units = active.shape
    weights = [inputs, recurrent_kernel, bias, *chain]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        seen = tf.reshape(h_before * kept, [hours * stays, units]) @ recurrent_kernel  # all hours as one batch
        z, passed = _chained(tf.reshape(inputs, [hours * stays, -1]) + seen, chain)
        z = tf.reshape(z + bias, [hours, stays, 4 * units])
    by_c, by_h, h_by_c, c_by_c = _slopes(z, c_before)
    passed = [tf.reshape(tf.cast(rows, tf.float32), [hours, stays, -1]) for rows in passed]
    transposed = [tf.transpose(kernel) for kernel in (recurrent_kernel, *chain)]

    def step(hour, dh, dc, all_dz):
        now = active[hour]
        dh_new = now * dh
        dc_new = now * dc + dh_new * h_by_c[hour]
        dz = tf.concat([tf.tile(dc_new, [1, 3]) * by_c[hour], dh_new * by_h[hour]], 1)
        d = dz
        for kernel, open_units in zip(transposed[:0:-1], passed[::-1], strict=True):
            d = (d @ kernel) * open_units[hour]
        dh_before = (d @ transposed[0]) * kept + (1 - now) * dh
        return hour - 1, dh_before, dc_new * c_by_c[hour] + (1 - now) * dc, all_dz.write(hour, dz)

    all_dz = tf.TensorArray(tf.float32, hours, element_shape=[stays, 4 * units])
    state = (hours - 1, dh, tf.zeros_like(dh), all_dz)
    *_, all_dz = tf.while_loop(lambda hour, *_: hour >= 0, step, state, maximum_iterations=hours)
    return tape.gradient(z, weights, output_gradients=all_dz.stack())


def _chained(z: Any, chain: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return z after each kernel of the chain, and which units each ReLU before them let pass."""
    passed = []
    for kernel in chain:
        passed.append(z > 0)
        z = tf.nn.relu(z) @ kernel
    return z, passed


def _cell(z: Any, c: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return the gates i, f, g, o and the new cell state (paper, eq. 2)."""
    i, f, g, o = tf.split(z, 4, axis=-1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    return i, f, g, o, f * c + i * g


def _slopes(z: Any, c_before: Any) -> tuple[Any, Any, Any, Any]:
    """Return the derivatives of c by z of i, f and g; of h by z of o; of h by c; of c by the c before."""
    i, f, g, o, c = _cell(z, c_before)
    tanh_c = tf.tanh(c)
    by_c = tf.concat([g * i * (1 - i), c_before * f * (1 - f), i * (1 - g * g)], -1)
    return by_c, tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c), f
