"""Stacks of LSTM layers over the hours, all in one loop, in as few and as large operations as numpy can be given.

Comes in: a gated `Loop` of the walk, weights as one vector, the values of its inputs. Goes out: what each uppermost
node puts out, and the gradients. The course is that of `tensorflow_backend.gates`; what differs serves numpy, where
every call costs a microsecond: buffers are made once, blocks of a gate lie in one piece, (units, stays), and a sigmoid
is a tanh, so that one call does all four gates.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mortcond.layers.base import Gate
from mortcond.network import Node, own_arrays
from mortcond.training.numpy_backend.tape import Joint, Tape, Variable, plain
from mortcond.training.walk import Loop

ORDER = (2, 0, 1, 3)  # cell, input, forget, output: three lead to c and three are sigmoids, each in one piece
SIGMOID = slice(1, 4)
NOTHING = -1  # the place of a zero: one beyond the last weight


class Blocks:
    """Where each weight of a loop lies in the block matrices of all its layers, as places in the vector of weights."""

    def __init__(self, loop: Loop, places: dict[str, np.ndarray]):
        stacks = [[node.layer.gates(own_arrays(places, node)) for node in stack] for stack in loop.stacks]
        layers = [(layer, level) for stack in stacks for level, layer in enumerate(stack)]
        columns = [layer[gate] for gate in ORDER for layer, _ in layers]
        self.units = [node.layer.units for node in loop.nodes]
        self.recurrent = _recurrent(layers, self.units)
        self.chain = [_diagonal([gate.chain[level] for gate in columns]) for level in range(len(columns[0].chain))]
        self.bias = np.concatenate([gate.bias for gate in columns])
        self.kernels = [np.concatenate([stack[0][gate].kernel for gate in ORDER], axis=1) for stack in stacks]
        self.blocks = list(self._blocks(layers, columns))

    def _blocks(self, layers: list[tuple[list[Gate], int]], columns: list[Gate]) -> Iterator[list[slice]]:
        """Yield for each stack the four blocks of columns in which its lowest layer sees the input."""
        ends = np.cumsum([gate.kernel.shape[1] for gate in columns])
        for index, (layer, level) in enumerate(layers):
            if level == 0:
                own = [ends[place * len(layers) + index] for place in range(4)]
                widths = [layer[gate].kernel.shape[1] for gate in ORDER]
                yield [slice(end - width, end) for end, width in zip(own, widths, strict=True)]


def _recurrent(layers: list[tuple[list[Gate], int]], units: list[int]) -> np.ndarray:
    """Return the kernel on the hidden states: each gate sees its own layer's and the one below's, (units, columns)."""
    rows = []
    for source, width in enumerate(units):
        blocks = []
        for gate in ORDER:
            for index, (layer, level) in enumerate(layers):
                blank = np.full((width, layer[gate].kernel.shape[1]), NOTHING)
                below = layer[gate].kernel if index == source + 1 and level > 0 else blank
                blocks.append(layer[gate].recurrent_kernel if index == source else below)
        rows.append(np.concatenate(blocks, axis=1))
    return np.concatenate(rows)


def _diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    whole = np.full(np.sum([block.shape for block in blocks], axis=0), NOTHING)
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole


class GatedLoop:
    """The buffers of a loop for batches of one size, which its evaluations take turns to use."""

    def __init__(self, loop: Loop, places: dict[str, np.ndarray], stays: int, hours: int, precision: Any):
        self.loop, self.stays, self.hours = loop, stays, hours
        self.places, self.lag = Blocks(loop, places), max(map(len, loop.stacks)) - 1
        steps, units, columns = hours + self.lag, sum(self.places.units), self.places.recurrent.shape[1]
        self.steps, self.units, self.columns = steps, units, columns

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, precision)

        widths = [columns, *(kernel.shape[1] for kernel in self.places.chain)]
        self.inputs = zeros(steps, columns, stays)
        self.sums = [zeros(steps, width, stays) for width in widths]  # before the chain, and after each of its kernels
        self.gates = self.sums[-1]  # in the end: after their sigmoid or tanh
        self.h, self.c = zeros(steps + 1, units, stays), zeros(steps + 1, units, stays)
        self.tanh_c, self.product = zeros(steps, units, stays), zeros(units, stays)
        self.slopes, self.h_by_c = zeros(steps, 4, units, stays), zeros(steps, units, stays)
        self.d = [zeros(steps, width, stays) for width in widths]
        self.now = zeros(steps, units, stays)
        self.scale = np.full((4, units), 0.5, precision)
        self.scale[0] = 1
        self.scale = self.scale.ravel()  # sigmoid(z) = (1 + tanh(z / 2)) / 2

    # Forwards.

    def run(self, tape: Tape | None, weights: np.ndarray, gradient: np.ndarray | None, values: dict, kept: dict):
        """Return what the uppermost node of each stack puts out, by its name.

        Parameters
        ----------
        tape
            None: no gradients are wanted.
        weights, gradient
            Of all weights, (parameters + 1,): the last one is a zero, and takes what leads nowhere.
        values, kept
            See `tensorflow_backend.gates.run`.
        """
        xs = [values[stack[0].inputs[0]] for stack in self.loop.stacks]
        self._take_weights(weights)
        self._project([plain(x) for x in xs])
        self._take_masks(values)
        factors = [kept[node.name].T for node in self.loop.nodes if node.name in kept]
        self.kept = np.concatenate(factors) if factors else None
        self._step_forwards()
        found = {node.name: self._output(node, end, depth) for node, end, depth in self._tops()}
        if tape is None:
            return found
        joint = Joint(tape, lambda outer: self._pull_back(outer, xs, gradient))
        return {name: joint.output(name, value) for name, value in found.items()}

    def _take_weights(self, weights: np.ndarray) -> None:
        places = self.places
        self.recurrent, self.chain = weights[places.recurrent], [weights[kernel] for kernel in places.chain]
        self.kernels, self.bias = [weights[kernel] for kernel in places.kernels], weights[places.bias]

    def _project(self, xs: list[np.ndarray]) -> None:
        """Fill in what the inputs give to the sums of every hour."""
        scale, self.rows = 1 if self.chain else self.scale[:, None], []
        self.inputs[:] = 0 if self.chain else (self.bias * self.scale)[:, None]
        for x, kernel, blocks, stack in zip(xs, self.kernels, self.places.blocks, self.loop.stacks, strict=True):
            self.rows.append(x.reshape(-1, x.shape[-1]))
            projected = (self.rows[-1] @ kernel).reshape(self.stays, self.hours, -1)
            by_hour = projected.transpose(1, 2, 0)[:: -1 if stack[0].layer.backwards else 1]
            start = 0
            for block in blocks:
                width = block.stop - block.start
                own = 1 if self.chain else scale[block]
                self.inputs[: self.hours, block] += by_hour[:, start : start + width] * own
                start += width

    def _take_masks(self, values: dict[str, np.ndarray]) -> None:
        """Fill in which states move in which step: a layer follows the one below it by an hour."""
        self.now[:] = 0
        start = 0
        for stack in self.loop.stacks:
            counts = values[stack[0].inputs[1]].T if len(stack[0].inputs) > 1 else np.ones((self.hours, self.stays))
            counts = counts[:: -1 if stack[0].layer.backwards else 1]
            for level, node in enumerate(stack):
                self.now[level : level + self.hours, start : start + node.layer.units] = counts[:, None]
                start += node.layer.units
        self.still = self.now == 0
        self.all_move = (~self.still.any(axis=(1, 2))).tolist()

    def _step_forwards(self) -> None:
        recurrent = np.ascontiguousarray((self.recurrent * (1 if self.chain else self.scale)).T)
        chain = [np.ascontiguousarray(kernel.T) for kernel in self.chain]
        if chain:
            chain[-1] *= self.scale[:, None]
        bias, seen = (self.bias * self.scale)[:, None], np.zeros_like(self.h[0])
        u, units, product = self.gates.reshape(self.steps, 4, self.units, self.stays), self.units, self.product
        self.h[0] = self.c[0] = 0
        for step in range(self.steps):
            h, h_new = self.h[step], self.h[step + 1]
            c, c_new = self.c[step], self.c[step + 1]
            sums = self.sums[0][step]
            np.matmul(recurrent, h if self.kept is None else np.multiply(h, self.kept, out=seen), out=sums)
            sums += self.inputs[step]
            for kernel, own in zip(chain, self.sums[1:], strict=True):
                np.maximum(sums, 0, out=sums)
                sums = np.matmul(kernel, sums, out=own[step])
            if chain:
                sums += bias
            np.tanh(sums, out=sums)
            sigmoids = sums[units:]
            sigmoids *= 0.5
            sigmoids += 0.5
            g, i, f, o = u[step]
            np.multiply(f, c, out=c_new)
            np.multiply(i, g, out=product)
            c_new += product
            np.multiply(o, np.tanh(c_new, out=self.tanh_c[step]), out=h_new)
            if not self.all_move[step]:
                np.copyto(h_new, h, where=self.still[step])
                np.copyto(c_new, c, where=self.still[step])

    def _tops(self) -> Iterator[tuple[Node, int, int]]:
        """Yield the uppermost node of each stack, where its units end, and how many layers are below it."""
        end = 0
        for stack in self.loop.stacks:
            end += sum(node.layer.units for node in stack)
            yield stack[-1], end, len(stack) - 1

    def _output(self, node: Node, end: int, depth: int) -> np.ndarray:
        units = slice(end - node.layer.units, end)
        if not node.layer.sequences:
            return self.h[-1, units].T.copy()
        own = self.h[1 + depth : 1 + depth + self.hours, units]
        return own[:: -1 if node.layer.backwards else 1].transpose(2, 0, 1).copy()

    # Backwards.

    def _pull_back(self, outer: dict[str, np.ndarray | None], xs: list[Any], gradient: np.ndarray) -> None:
        last, every = self._outer(outer)
        self._find_slopes()
        self._step_backwards(last, every)
        self._weigh(xs, gradient)

    def _outer(self, outer: dict[str, np.ndarray | None]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the gradients of h after the last step and, where any is read, after every step."""
        last = np.zeros((self.units, self.stays), self.h.dtype)
        every = None
        for node, end, depth in self._tops():
            d, units = outer[node.name], slice(end - node.layer.units, end)
            if d is None:
                continue
            if node.layer.sequences:
                every = np.zeros_like(self.tanh_c) if every is None else every
                in_order = d.transpose(1, 2, 0)[:: -1 if node.layer.backwards else 1]
                every[depth : depth + self.hours, units] = in_order
            else:
                last[units] = d.T
        return last, every

    def _find_slopes(self) -> None:
        """Fill in the derivatives of c by z of cell, input and forget, of h by z of output, and of h by c."""
        g, i, f, o = self.gates.reshape(self.steps, 4, self.units, self.stays).swapaxes(0, 1)
        by_g, by_i, by_f, by_o = self.slopes.swapaxes(0, 1)
        np.multiply(i, 1 - g * g, out=by_g)
        np.multiply(i, 1 - i, out=by_i)
        by_i *= g
        np.multiply(f, 1 - f, out=by_f)
        by_f *= self.c[:-1]
        np.multiply(o, 1 - o, out=by_o)
        by_o *= self.tanh_c
        np.multiply(o, 1 - self.tanh_c * self.tanh_c, out=self.h_by_c)

    def _step_backwards(self, dh: np.ndarray, every: np.ndarray | None) -> None:
        """Fill in the gradients of all sums."""
        dc = np.zeros_like(dh)
        forget = self.gates.reshape(self.steps, 4, self.units, self.stays)[:, 2]
        d_sums = self.d[-1].reshape(self.steps, 4, self.units, self.stays)
        product, h_before = np.zeros_like(dh), np.zeros_like(dh)
        for step in range(self.steps)[::-1]:
            if every is not None:
                dh += every[step]
            moves = self.all_move[step]
            if moves:
                dh_new, dc_new = dh, dc
            else:
                now = self.now[step]
                dh_new, dc_new = dh * now, dc * now
            np.multiply(dh_new, self.h_by_c[step], out=product)
            product += dc_new
            np.multiply(self.slopes[step, :3], product, out=d_sums[step, :3])
            np.multiply(self.slopes[step, 3], dh_new, out=d_sums[step, 3])
            d = self.d[-1][step]
            for level in range(len(self.chain))[::-1]:
                d = np.matmul(self.chain[level], d, out=self.d[level][step])
                d *= self.sums[level][step] > 0
            np.matmul(self.recurrent, d, out=h_before)
            if self.kept is not None:
                h_before *= self.kept
            if not moves:
                h_before += np.where(self.still[step], dh, 0)
            still_c = None if moves else np.where(self.still[step], dc, 0)
            np.multiply(product, forget[step], out=dc)
            if still_c is not None:
                dc += still_c
            dh, h_before = h_before, dh

    def _weigh(self, xs: list[Any], gradient: np.ndarray) -> None:
        """Give weights and inputs their gradients, of all hours at once."""
        h = self.h[:-1] if self.kept is None else self.h[:-1] * self.kept
        d_rows = _rows(self.d[0])
        gradient[self.places.recurrent] = _rows(h).T @ d_rows
        for level, kernel in enumerate(self.places.chain):
            gradient[kernel] = _rows(self.sums[level]).T @ _rows(self.d[level + 1])
        gradient[self.places.bias] = self.d[-1].sum(axis=(0, 2))
        for index, (x, kernel) in enumerate(zip(xs, self.places.kernels, strict=True)):
            d = np.concatenate([self.d[0][: self.hours, block] for block in self.places.blocks[index]], axis=1)
            d = d[:: -1 if self.loop.stacks[index][0].layer.backwards else 1]
            by_stay = np.ascontiguousarray(d.transpose(2, 0, 1)).reshape(-1, d.shape[1])
            gradient[kernel] = self.rows[index].T @ by_stay
            if isinstance(x, Variable):
                x.add((by_stay @ self.kernels[index].T).reshape(x.shape))


def _rows(by_step: np.ndarray) -> np.ndarray:
    """Return (steps * stays, columns) of (steps, columns, stays)."""
    return by_step.transpose(0, 2, 1).reshape(-1, by_step.shape[1])
