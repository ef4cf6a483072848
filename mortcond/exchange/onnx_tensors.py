"""What a tensor of an ONNX graph is: a constant, or values of our nodes whose axes are known by what they count.

Comes in: values of a `Builder`, shapes. Goes out: `Seen`, transposed, reshaped and indexed as the graph does it. An
axis is the tuple of the labels that run in it, the last fastest; an empty one has the size 1. So a reshape only groups
labels anew, and ("parts", "columns") is what a concatenation puts side by side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mortcond.exchange.builder import Builder, Value, flattened
from mortcond.layers import Concatenate

STAYS, HOURS, COLUMNS, PARTS = "stays", "hours", "columns", "parts"  # parts: directions or layers, a value each
Axis = tuple[str, ...]


class Unfit(Exception):
    """A tensor is used in a way that no layer here has."""


@dataclass(frozen=True)
class Seen:
    """Values of nodes under the shape that the graph gives them."""

    values: tuple[Value, ...]  # all of one width; several only under the label PARTS
    axes: tuple[Axis, ...]

    @property
    def value(self) -> Value:
        if len(self.values) != 1:
            raise Unfit("directions or layers that are not joined")
        return self.values[0]

    def sizes(self, builder: Builder, stays: int) -> dict[str, int]:
        parts = len(self.values)
        return {STAYS: stays, HOURS: builder.hours, COLUMNS: self.values[0].width, PARTS: parts}

    def shape(self, builder: Builder, stays: int) -> tuple[int, ...]:
        sizes = self.sizes(builder, stays)
        return tuple(math.prod(sizes[label] for label in axis) for axis in self.axes)

    def place(self, axis: int) -> int:
        """Return an axis counted from the front."""
        if not -len(self.axes) <= axis < len(self.axes):
            raise Unfit(f"axis {axis} of {len(self.axes)}")
        return axis % len(self.axes)


def reshaped(seen: Seen, target: Sequence[int], builder: Builder, stays: int) -> Seen:
    """Return a tensor under another shape; -1: whatever is left, 0: as it was."""
    shape, sizes = seen.shape(builder, stays), seen.sizes(builder, stays)
    target = [shape[index] if size == 0 else int(size) for index, size in enumerate(target)]
    if -1 in target:
        rest = math.prod(size for size in target if size != -1)
        target[target.index(-1)] = math.prod(shape) // max(rest, 1)
    labels = [label for axis in seen.axes for label in axis]
    axes = []
    for size in target:
        axis, reached = [], 1
        while labels and (reached < size or (reached == size == 1 and sizes[labels[0]] == 1)):
            axis.append(labels.pop(0))
            reached *= sizes[axis[-1]]
            if reached == size:
                break
        if reached != size:
            raise Unfit(f"a reshape from {shape} to {tuple(target)}")
        axes.append(tuple(axis))
    if labels:
        raise Unfit(f"a reshape from {shape} to {tuple(target)}")
    return replace(seen, axes=tuple(axes))


def joined(seen: Seen, builder: Builder, name: str) -> Seen:
    """Return a tensor in which no axis holds hours or parts beside columns: they become columns of one value."""
    for place, axis in enumerate(seen.axes):
        if axis == (PARTS, COLUMNS):
            wide = builder.join(name, Concatenate(), list(seen.values), None)
            return Seen((wide,), (*seen.axes[:place], (COLUMNS,), *seen.axes[place + 1 :]))
        if axis == (HOURS, COLUMNS):
            row = flattened(builder, name, seen.value)
            return Seen((row,), (*seen.axes[:place], (COLUMNS,), *seen.axes[place + 1 :]))
    return seen


def ends_in_columns(seen: Seen, builder: Builder, name: str) -> Seen:
    """Return a tensor of one value whose last axis is its columns.

    Raises Unfit where it is none.
    """
    seen = joined(seen, builder, name)
    if not seen.axes or seen.axes[-1] != (COLUMNS,):
        raise Unfit("a tensor whose last axis is not the features")
    seen.value  # noqa: B018 - of one value
    return seen


def with_axis(seen: Seen, place: int, axis: Axis | None) -> Seen:
    """Return a tensor with another axis in a place; None: without that axis."""
    new = () if axis is None else (axis,)
    return replace(seen, axes=(*seen.axes[:place], *new, *seen.axes[place + 1 :]))


def picked(seen: Seen, place: int, indices: Sequence[int] | int, builder: Builder, stays: int, name: str) -> Seen:
    """Return one index of an axis, which then goes, or several in a row."""
    one, axis = isinstance(indices, int), seen.axes[place]
    size = seen.shape(builder, stays)[place]
    chosen = np.arange(size)[np.atleast_1d(indices)]  # counts negative ones from the end
    if axis == () or (len(chosen) == size and not one and np.array_equal(chosen, np.arange(size))):
        return with_axis(seen, place, None) if one else seen
    left = None if one else ()
    if axis == (PARTS,):
        values = tuple(seen.values[index] for index in chosen)
        return with_axis(replace(seen, values=values), place, left if len(values) == 1 else (PARTS,))
    if axis == (HOURS,) and len(chosen) == 1:
        values = tuple(builder.hour(name, value, int(chosen[0])) for value in seen.values)
        return with_axis(replace(seen, values=values), place, left)
    if axis == (HOURS,) and np.array_equal(chosen, np.arange(size)[::-1]):
        values = tuple(replace(value, reversed=not value.reversed) for value in seen.values)
        return replace(seen, values=values)
    return _columns_picked(seen, place, chosen, one, builder, name)


def _columns_picked(seen: Seen, place: int, chosen: np.ndarray, one: bool, builder: Builder, name: str) -> Seen:
    seen = joined(seen, builder, name)
    if seen.axes[place] != (COLUMNS,):
        raise Unfit("a choice of hours or stays")
    values = tuple(builder.columns(name, value, tuple(map(int, chosen))) for value in seen.values)
    if one:
        raise Unfit("one feature without its axis")
    return replace(seen, values=values)
