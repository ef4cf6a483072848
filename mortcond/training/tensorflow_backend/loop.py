"""Any recurrent layers in one loop over the hours, with a gradient that is written out as far as layers allow.

Comes in: a `Loop` of the walk, weights and the values of its inputs. Goes out: what each uppermost node puts out.

Left to TensorFlow, the gradient of a loop keeps every number of every hour and adds to the gradient of each weight hour
by hour. Here only the states are kept. The loop backwards finds the gradient of the states, each hour computed again;
from these the gradients of weights and inputs follow for all hours at once, as one batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mortcond.core.tensorflow import tf
from mortcond.network import Node, own_arrays
from mortcond.training.tensorflow_backend.operations import TENSORFLOW
from mortcond.training.walk import Loop

Cell = Callable[..., list[Any]]  # (inputs of an hour, constants of an hour, states, weights) -> states


def run(loop: Loop, weights: dict[str, Any], values: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """Return what the uppermost node of each stack puts out, by its name.

    Parameters
    ----------
    weights, values
        Of the whole network; a value is (stays, hours, width), a mask (stays, hours).
    kept
        Recurrent dropout by node: factors on its first state, (stays, units); none where it has none.
    """
    names = [f"{node.name}.{name}" for node in loop.nodes for name in node.layer.arrays()]
    inputs = [_by_hour(_projected(stack[0], weights, values), stack[0]) for stack in loop.stacks]
    hours = inputs[0].shape[0]
    masks = [_by_hour(values[stack[0].inputs[1]][..., None], stack[0]) for stack in loop.stacks if _masked(stack[0])]
    drops = [tf.tile(kept[node.name][None], [hours, 1, 1]) for node in loop.nodes if node.name in kept]
    widths = [node.layer.units for node in loop.nodes for _ in node.layer.state_names]
    cell = _cell(loop, names, len(masks), kept)
    states = scan(cell, inputs, [*masks, *drops], [weights[name] for name in names], widths)
    return _outputs(loop, states)


def _masked(node: Node) -> bool:
    return len(node.inputs) > 1


def _projected(node: Node, weights: dict[str, Any], values: dict[str, Any]) -> Any:
    return node.layer.project(TENSORFLOW, own_arrays(weights, node), values[node.inputs[0]])


def _by_hour(x: Any, node: Node) -> Any:
    """Return (hours, stays, width), in the order in which the node takes the hours."""
    by_hour = tf.transpose(x, [1, 0, 2])
    return tf.reverse(by_hour, [0]) if node.layer.backwards else by_hour


def _cell(loop: Loop, names: Sequence[str], masks: int, kept: dict[str, Any]) -> Cell:
    """Return the function that steps all nodes of the loop through an hour."""
    dropped = [node.name for node in loop.nodes if node.name in kept]

    def cell(inputs: list[Any], constants: list[Any], states: list[Any], weights: list[Any]) -> list[Any]:
        named = dict(zip(names, weights, strict=True))
        mask, factors, before = (
            iter(constants[:masks]),
            dict(zip(dropped, constants[masks:], strict=True)),
            iter(states),
        )
        after = []
        for z, stack in zip(inputs, loop.stacks, strict=True):
            now, h = next(mask) > 0 if _masked(stack[0]) else None, None
            for node in stack:
                own = own_arrays(named, node)
                sums = z if h is None else node.layer.project(TENSORFLOW, own, h)
                old = [next(before) for _ in node.layer.state_names]
                new = node.layer.step(TENSORFLOW, own, sums, *old, kept=factors.get(node.name))
                if now is not None:
                    new = [tf.where(now, fresh, stale) for fresh, stale in zip(new, old, strict=True)]
                after.extend(new)
                h = new[0]
        return after

    return cell


def _outputs(loop: Loop, states: list[Any]) -> dict[str, Any]:
    found, place = {}, 0
    for stack in loop.stacks:
        place += sum(len(node.layer.state_names) for node in stack)
        layer, h = stack[-1].layer, states[place - len(stack[-1].layer.state_names)]
        if layer.sequences:
            in_order = tf.reverse(h, [0]) if layer.backwards else h
            found[stack[-1].name] = tf.transpose(in_order, [1, 0, 2])
        else:
            found[stack[-1].name] = h[-1]
    return found


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
