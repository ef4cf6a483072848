"""Any recurrent layers in one loop over the hours, with their gradient; the course of `tensorflow_backend.loop`.

Comes in: a `Loop` of the walk, weights and the values of its inputs. Goes out: what each uppermost node puts out.
Forwards only the states are kept. The loop backwards finds the gradient of the states, each hour computed again; from
these the gradients of weights and inputs follow for all hours at once, as one batch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mortcond.layers.operations import NUMPY
from mortcond.network import Node
from mortcond.training.cells import Cell, Cells
from mortcond.training.numpy_backend.tape import Joint, Tape, Variable, plain
from mortcond.training.walk import Loop

Rows = list[np.ndarray]  # each (hours, stays, width)


def run(loop: Loop, tape: Tape | None, weights: dict[str, Any], values: dict[str, Any], kept: dict[str, Any]) -> dict:
    """Return what the uppermost node of each stack puts out, by its name; see `tensorflow_backend.loop.run`.

    tape: None: no gradients are wanted.
    """
    cells = Cells(loop, frozenset(kept))
    projected, own = cells.projected(tape or NUMPY, weights, values), [weights[name] for name in cells.weights]
    inputs = [_by_hour(plain(z), stack[0]) for z, stack in zip(projected, loop.stacks, strict=True)]
    constants = [_by_hour(mask[..., None], node) for mask, node in cells.masks(values)]
    constants += [np.broadcast_to(factors, (len(inputs[0]), *factors.shape)) for factors in cells.drops(kept)]
    before, after = _forwards(cells.step(NUMPY), inputs, constants, list(map(plain, own)), cells.state_widths)

    def backwards(outer: dict[str, np.ndarray | None]) -> None:
        whole = [np.zeros_like(rows) for rows in before]
        for node, place in cells.tops():
            if outer[node.name] is not None:
                whole[place][...] += _over_hours(outer[node.name], node, len(inputs[0]))
        found = _backwards(cells, inputs, constants, list(map(plain, own)), before, whole)
        for z, stack, gradient in zip(projected, loop.stacks, found, strict=False):
            if isinstance(z, Variable):
                z.add(_by_stay(gradient, stack[0]))
        for weight, gradient in zip(own, found[len(inputs) :], strict=True):
            if isinstance(weight, Variable) and gradient is not None:
                weight.add(gradient)

    found = {node.name: _output(node, after[place]) for node, place in cells.tops()}
    if tape is None:
        return found
    joint = Joint(tape, backwards)
    return {name: joint.output(name, value) for name, value in found.items()}


def _output(node: Node, after: np.ndarray) -> np.ndarray:
    return _by_stay(after, node) if node.layer.sequences else after[-1]


def _over_hours(d: np.ndarray, node: Node, hours: int) -> np.ndarray:
    """Return the gradient of a state after each hour from that of what its node puts out."""
    if node.layer.sequences:
        return _by_hour(d, node)
    whole = np.zeros((hours, *d.shape), d.dtype)
    whole[-1] = d
    return whole


def _by_hour(x: np.ndarray, node: Node) -> np.ndarray:
    """Return (hours, stays, width), in the order in which the node takes the hours."""
    by_hour = x.swapaxes(0, 1)
    return by_hour[::-1] if node.layer.backwards else by_hour


def _by_stay(x: np.ndarray, node: Node) -> np.ndarray:
    """Return (stays, hours, width), from the first hour to the last."""
    return (x[::-1] if node.layer.backwards else x).swapaxes(0, 1)


def _forwards(cell: Cell, inputs: Rows, constants: Rows, weights: Rows, widths: Sequence[int]) -> tuple[Rows, Rows]:
    """Return every state before and after each hour."""
    hours, stays, _ = inputs[0].shape
    states = [np.zeros((hours + 1, stays, width), inputs[0].dtype) for width in widths]
    for hour in range(hours):
        now = [rows[hour] for rows in inputs], [rows[hour] for rows in constants], [rows[hour] for rows in states]
        for rows, new in zip(states, cell(*now, weights), strict=True):
            rows[hour + 1] = new
    return [rows[:-1] for rows in states], [rows[1:] for rows in states]


def _backwards(cells: Cells, inputs: Rows, constants: Rows, weights: Rows, before: Rows, whole: Rows) -> list:
    """Return the gradients of inputs and weights.

    whole: the gradients of the states after each hour from outside the loop, to which those from inside are added.
    """
    hours = len(inputs[0])
    for hour in range(hours)[::-1]:
        tape = Tape()
        states = [tape.variable(rows[hour]) for rows in before]
        now = [rows[hour] for rows in inputs], [rows[hour] for rows in constants]
        tape.gradients(cells.step(tape)(*now, states, weights), [rows[hour] for rows in whole])
        if hour:
            for rows, state in zip(whole, states, strict=True):
                rows[hour - 1] += 0 if state.grad is None else state.grad
    tape = Tape()
    sources = [tape.variable(_batch(rows)) for rows in inputs], [tape.variable(weight) for weight in weights]
    after = cells.step(tape)(sources[0], list(map(_batch, constants)), list(map(_batch, before)), sources[1])
    tape.gradients(after, list(map(_batch, whole)))
    by_hour = [z.grad.reshape(rows.shape) for z, rows in zip(sources[0], inputs, strict=True)]
    return [*by_hour, *(weight.grad for weight in sources[1])]


def _batch(x: np.ndarray) -> np.ndarray:
    """Return the stays of all hours as one batch."""
    return x.reshape(-1, x.shape[2])
