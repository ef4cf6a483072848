"""Any recurrent layers in one loop over the hours, with a gradient that is written out as far as layers allow.

Comes in: a `Loop` of the walk, weights and the values of its inputs. Goes out: what each uppermost node puts out.

Left to TensorFlow, the gradient of a loop keeps every number of every hour and adds to the gradient of each weight hour
by hour. Here only the states are kept. The loop backwards finds the gradient of the states, each hour computed again;
from these the gradients of weights and inputs follow for all hours at once, as one batch.
"""

from collections.abc import Sequence
from typing import Any

from mortcond.core.tensorflow import tf
from mortcond.network import Node
from mortcond.training.cells import Cell, Cells
from mortcond.training.tensorflow_backend.operations import TENSORFLOW
from mortcond.training.walk import Loop


def run(loop: Loop, weights: dict[str, Any], values: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """Return what the uppermost node of each stack puts out, by its name.

    Parameters
    ----------
    weights, values
        Of the whole network; a value is (stays, hours, width), a mask (stays, hours).
    kept
        Recurrent dropout by node: factors on its first state, (stays, units); none where it has none.
    """
    cells = Cells(loop, frozenset(kept))
    projected = cells.projected(TENSORFLOW, weights, values)
    inputs = [_by_hour(z, stack[0]) for z, stack in zip(projected, loop.stacks, strict=True)]
    masks = [_by_hour(mask[..., None], node) for mask, node in cells.masks(values)]
    drops = [tf.tile(factors[None], [inputs[0].shape[0], 1, 1]) for factors in cells.drops(kept)]
    own = [weights[name] for name in cells.weights]
    states = scan(cells.step(TENSORFLOW), inputs, [*masks, *drops], own, cells.state_widths)
    return {node.name: _output(node, states[place]) for node, place in cells.tops()}


def _by_hour(x: Any, node: Node) -> Any:
    """Return (hours, stays, width), in the order in which the node takes the hours."""
    by_hour = tf.transpose(x, [1, 0, 2])
    return tf.reverse(by_hour, [0]) if node.layer.backwards else by_hour


def _output(node: Node, h: Any) -> Any:
    if not node.layer.sequences:
        return h[-1]
    return tf.transpose(tf.reverse(h, [0]) if node.layer.backwards else h, [1, 0, 2])


def scan(
    cell: Cell, inputs: Sequence[Any], constants: Sequence[Any], weights: Sequence[Any], widths: Sequence[int]
) -> list[Any]:
    """Return every state after every hour, each (hours, stays, width).

    Parameters
    ----------
    cell
        What happens in an hour; what it does to one stay depends on no other.
    inputs
        Each (hours, stays, width), differentiated.
    constants
        Each (hours, stays, width), not differentiated: masks and dropout.
    weights
        Differentiated.
    widths
        Of the states, which begin as zeros.
    """
    hours, stays, _ = inputs[0].shape
    count = len(inputs)

    @tf.custom_gradient
    def scanned(*arguments):
        inputs, weights = list(arguments[:count]), list(arguments[count:])

        def step(hour, states, kept):
            states = cell([x[hour] for x in inputs], [x[hour] for x in constants], list(states), weights)
            return hour + 1, tuple(states), tuple(rows.write(hour, new) for rows, new in zip(kept, states, strict=True))

        start = tuple(tf.zeros([stays, width]) for width in widths)
        *_, kept = tf.while_loop(
            lambda hour, *_: hour < hours, step, (0, start, _rows(hours, stays, widths)), maximum_iterations=hours
        )
        after = [rows.stack() for rows in kept]

        def gradient(*outer):
            before = [tf.concat([zero[None], rows[:-1]], 0) for zero, rows in zip(start, after, strict=True)]
            return _backwards(cell, inputs, constants, weights, before, outer)

        return tuple(after), gradient

    return list(scanned(*inputs, *weights))


def _backwards(cell: Cell, inputs, constants, weights, before, outer) -> list[Any]:
    """Return the gradients of inputs and weights; outer: those of the states after each hour, from outside the loop."""
    hours, stays, _ = inputs[0].shape
    widths = [rows.shape[2] for rows in before]

    def step(hour, inner, kept):
        states = [rows[hour] for rows in before]
        with tf.GradientTape() as tape:
            tape.watch(states)
            after = cell([x[hour] for x in inputs], [x[hour] for x in constants], states, weights)
        whole = [own + rows[hour] for own, rows in zip(inner, outer, strict=True)]
        earlier = tape.gradient(after, states, output_gradients=whole, unconnected_gradients="zero")
        return hour - 1, tuple(earlier), tuple(rows.write(hour, own) for rows, own in zip(kept, whole, strict=True))

    start = tuple(tf.zeros([stays, width]) for width in widths)
    *_, kept = tf.while_loop(
        lambda hour, *_: hour >= 0, step, (hours - 1, start, _rows(hours, stays, widths)), maximum_iterations=hours
    )
    whole = [_batch(rows.stack()) for rows in kept]
    with tf.GradientTape() as tape:  # all hours as one batch
        sources = [*map(_batch, inputs), *weights]
        tape.watch(sources)
        after = cell(sources[: len(inputs)], list(map(_batch, constants)), list(map(_batch, before)), weights)
    found = tape.gradient(after, sources, output_gradients=whole, unconnected_gradients="zero")
    by_hour = [tf.reshape(d, x.shape) for d, x in zip(found[: len(inputs)], inputs, strict=True)]
    return [*by_hour, *found[len(inputs) :]]


def _rows(hours: int, stays: int, widths: Sequence[int]) -> tuple[Any, ...]:
    return tuple(tf.TensorArray(tf.float32, hours, element_shape=[stays, width]) for width in widths)


def _batch(x: Any) -> Any:
    return tf.reshape(x, [x.shape[0] * x.shape[1], x.shape[2]])
