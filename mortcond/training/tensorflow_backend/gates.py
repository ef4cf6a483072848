"""Stacks of LSTM layers over the hours, all in one loop, as few operations as XLA can be given.

Comes in: a gated `Loop` of the walk, weights and the values of its inputs. Goes out: what each uppermost node puts out.

Three things make it quick. The inputs of all hours are projected before the loop. All layers step together, each one
hour behind the layer below it, as one layer with block matrices. And the gradient is written out: what it needs of the
forward pass is computed for all hours at once, so that the loop backwards holds nothing but what must be in sequence.
"""

from collections.abc import Sequence
from typing import Any

from mortcond.core.tensorflow import tf
from mortcond.layers.base import Gate
from mortcond.network import Node, own_arrays
from mortcond.training.walk import Loop, Stack


def run(loop: Loop, weights: dict[str, Any], values: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """Return what the uppermost node of each stack puts out, by its name; see `loop.run`."""
    units = [node.layer.units for node in loop.nodes]
    gates = [[node.layer.gates(own_arrays(weights, node)) for node in stack] for stack in loop.stacks]
    lag = max(map(len, loop.stacks)) - 1  # hours that the highest layer ends after the lowest
    inputs = [_projected(stack[0], own[0], values) for stack, own in zip(loop.stacks, gates, strict=True)]
    inputs = tf.pad(_beside_other_layers(inputs, gates), [[0, lag], [0, 0], [0, 0]])
    active = tf.concat([rows for stack in loop.stacks for rows in _active(stack, values, lag)], 2)
    gate_major = [own[gate] for gate in range(4) for stack in gates for own in stack]
    chain = [_block_diagonal([gate.chain[level] for gate in gate_major]) for level in range(len(gate_major[0].chain))]
    bias = tf.concat([gate.bias for gate in gate_major], 0)
    factors = _factors(loop, kept, active.shape[1])
    every_hour = any(stack[-1].layer.sequences for stack in loop.stacks)
    h = _scan(inputs, _recurrent_kernel(gates, units), bias, chain, active, factors, every_hour)
    return _outputs(loop, h, every_hour)


def _projected(node: Node, gates: list[Gate], values: dict[str, Any]) -> Any:
    """Return what the inputs give to the lowest layer's gates in every hour, (hours, stays, columns)."""
    x = values[node.inputs[0]]
    stays, hours, features = x.shape
    kernel = tf.concat([gate.kernel for gate in gates], 1)
    projected = tf.reshape(tf.transpose(x, [1, 0, 2]), [hours * stays, features]) @ kernel
    projected = tf.reshape(projected, [hours, stays, -1])
    return tf.reverse(projected, [0]) if node.layer.backwards else projected


def _active(stack: Stack, values: dict[str, Any], lag: int) -> list[Any]:
    """Return for each layer of a stack (hours + lag, stays, units), 0 where its state stays as it is."""
    stays, hours, _ = values[stack[0].inputs[0]].shape
    if len(stack[0].inputs) > 1:
        by_hour = tf.transpose(values[stack[0].inputs[1]])[..., None]
        by_hour = tf.reverse(by_hour, [0]) if stack[0].layer.backwards else by_hour
    else:
        by_hour = tf.ones([hours, stays, 1])
    late = [tf.pad(by_hour, [[level, lag - level], [0, 0], [0, 0]]) for level in range(len(stack))]
    return [tf.tile(rows, [1, 1, node.layer.units]) for rows, node in zip(late, stack, strict=True)]


def _factors(loop: Loop, kept: dict[str, Any], stays: int) -> Any:
    """Return recurrent dropout as factors on the hidden states of all layers."""
    if not any(node.name in kept for node in loop.nodes):
        return tf.ones([1, 1])
    return tf.concat([kept[node.name] for node in loop.nodes], 1)


def _outputs(loop: Loop, h: Any, every_hour: bool) -> dict[str, Any]:
    """Cut h, (stays, all units) after the last hour or (hours, stays, all units), into what each stack puts out."""
    found, end = {}, 0
    for stack in loop.stacks:
        end += sum(node.layer.units for node in stack)
        layer = stack[-1].layer
        own = h[..., end - layer.units : end]
        if layer.sequences:
            first = len(stack) - 1
            hours = own[first : first + own.shape[0] - max(map(len, loop.stacks)) + 1]
            found[stack[-1].name] = tf.transpose(tf.reverse(hours, [0]) if layer.backwards else hours, [1, 0, 2])
        else:
            found[stack[-1].name] = own[-1] if every_hour else own
    return found


def _beside_other_layers(projected: list[Any], gates: list[list[list[Gate]]]) -> Any:
    """Put the inputs of the lowest layers, gate by gate, beside zeros for the layers above, which see no x."""
    blocks = [
        tf.split(own, [gate.kernel.shape[1] for gate in stack[0]], axis=2)
        for own, stack in zip(projected, gates, strict=True)
    ]
    parts = []
    for gate in range(4):
        for own, stack in zip(blocks, gates, strict=True):
            others = sum(layer[gate].kernel.shape[1] for layer in stack[1:])
            parts.append(tf.pad(own[gate], [[0, 0], [0, 0], [0, others]]))
    return tf.concat(parts, 2)


def _recurrent_kernel(gates: list[list[list[Gate]]], units: list[int]) -> Any:
    """Return the kernel on the hidden states of all layers: each gate sees its own layer's and the one below's."""
    layers = [(layer, level) for stack in gates for level, layer in enumerate(stack)]
    rows = []
    for source, width in enumerate(units):
        blocks = []
        for gate in range(4):
            for index, (layer, level) in enumerate(layers):
                if index == source:
                    blocks.append(layer[gate].recurrent_kernel)
                else:
                    reads = index == source + 1 and level > 0
                    blocks.append(layer[gate].kernel if reads else tf.zeros([width, layer[gate].kernel.shape[1]]))
        rows.append(tf.concat(blocks, 1))
    return tf.concat(rows, 0)


def _block_diagonal(blocks: list[Any]) -> Any:
    width, left, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        rows.append(tf.pad(block, [[0, 0], [left, width - left - block.shape[1]]]))
        left += block.shape[1]
    return tf.concat(rows, 0)


def _scan(
    inputs: Any, recurrent_kernel: Any, bias: Any, chain: Sequence[Any], active: Any, kept: Any, every_hour: bool
) -> Any:
    """Return the hidden state after all hours, (stays, units); after every hour, (hours, stays, units).

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

        def gradient(outer):
            before = [tf.concat([start[None], states.stack()[:-1]], 0) for states in (all_h, all_c)]
            return _backwards(outer, inputs, recurrent_kernel, bias, chain, active, kept, *before)

        return all_h.stack() if every_hour else h, gradient

    return scan(inputs, recurrent_kernel, bias, *chain)


def _backwards(outer, inputs, recurrent_kernel, bias, chain, active, kept, h_before, c_before):
    """Return the gradients of `_scan`'s inputs and weights; h_before and c_before are the states before each hour.

    outer: the gradient of the hidden state after all hours, or after every hour.
    """
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
    every_hour = outer.shape.rank == 3

    def step(hour, dh, dc, all_dz):
        now = active[hour]
        dh = dh + outer[hour] if every_hour else dh
        dh_new = now * dh
        dc_new = now * dc + dh_new * h_by_c[hour]
        dz = tf.concat([tf.tile(dc_new, [1, 3]) * by_c[hour], dh_new * by_h[hour]], 1)
        d = dz
        for kernel, open_units in zip(transposed[:0:-1], passed[::-1], strict=True):
            d = (d @ kernel) * open_units[hour]
        dh_before = (d @ transposed[0]) * kept + (1 - now) * dh
        return hour - 1, dh_before, dc_new * c_by_c[hour] + (1 - now) * dc, all_dz.write(hour, dz)

    all_dz = tf.TensorArray(tf.float32, hours, element_shape=[stays, 4 * units])
    nothing = tf.zeros([stays, units])
    state = (hours - 1, nothing if every_hour else outer, nothing, all_dz)
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
