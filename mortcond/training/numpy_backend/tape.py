"""The operations that layers are written in, for numpy, with gradients: what each does is told in `layers.operations`.

Comes in: arrays, and `Variable`s, values that depend on a weight. Goes out: the same; a tape of them is walked
backwards to give each its gradient. So a layer's lines train it here as they do in TensorFlow. What depends on no
weight stays a plain array, and costs nothing on the way back.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mortcond.layers.operations import HOURS, NUMPY, Operations

Pull = Callable[[np.ndarray], np.ndarray]  # the gradient of what came out -> that of what went in


class Variable:
    """A value that depends on a weight, and how its gradient goes on to what it was made of."""

    __slots__ = ("grad", "pulls", "tape", "value")
    __array_ufunc__ = None  # array * Variable is Variable's own

    def __init__(self, tape: "Tape", value: np.ndarray, *pulls: tuple[Any, Pull]):
        self.tape, self.value, self.grad = tape, value, None
        self.pulls = [(source, pull) for source, pull in pulls if isinstance(source, Variable)]
        tape.records.append(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def add(self, gradient: np.ndarray) -> None:
        self.grad = gradient if self.grad is None else self.grad + gradient

    def pull_back(self) -> None:
        """Hand the gradient on."""
        for source, pull in self.pulls:
            source.add(_summed(pull(self.grad), source.value.shape))

    def __add__(self, other: Any) -> "Variable":
        return Variable(self.tape, self.value + plain(other), (self, lambda d: d), (other, lambda d: d))

    def __sub__(self, other: Any) -> "Variable":
        return Variable(self.tape, self.value - plain(other), (self, lambda d: d), (other, lambda d: -d))

    def __rsub__(self, other: Any) -> "Variable":
        return Variable(self.tape, other - self.value, (self, lambda d: -d))

    def __mul__(self, other: Any) -> "Variable":
        x, y = self.value, plain(other)
        return Variable(self.tape, x * y, (self, lambda d: d * y), (other, lambda d: d * x))

    def __truediv__(self, other: Any) -> "Variable":
        x, y = self.value, plain(other)
        return Variable(self.tape, x / y, (self, lambda d: d / y), (other, lambda d: -d * x / (y * y)))

    def __rtruediv__(self, other: Any) -> "Variable":
        y = self.value
        return Variable(self.tape, other / y, (self, lambda d: -d * other / (y * y)))

    def __getitem__(self, index: Any) -> "Variable":
        def pull(d: np.ndarray) -> np.ndarray:
            whole = np.zeros_like(self.value)
            whole[index] = d
            return whole

        return Variable(self.tape, self.value[index], (self, pull))

    __radd__, __rmul__ = __add__, __mul__


class Joint:
    """Values that were made together, whose gradients go on together."""

    def __init__(self, tape: "Tape", backwards: Callable[[dict[str, np.ndarray | None]], None]):
        self.tape, self.backwards, self.outputs = tape, backwards, {}
        tape.records.append(self)

    def output(self, name: str, value: np.ndarray) -> Variable:
        """Return one of the values as a variable."""
        self.outputs[name] = Variable(self.tape, value)
        return self.outputs[name]

    @property
    def grad(self) -> Any:
        return next((output.grad for output in self.outputs.values() if output.grad is not None), None)

    def pull_back(self) -> None:
        self.backwards({name: output.grad for name, output in self.outputs.items()})


def plain(x: Any) -> Any:
    """Return the array of a variable; anything else as it is."""
    return x.value if isinstance(x, Variable) else x


def _summed(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a gradient summed over the axes along which a value of `shape` was repeated."""
    if gradient.shape == shape:
        return gradient
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] != 1)
    return gradient.sum(axis=repeated, keepdims=True) if repeated else gradient


class Tape(Operations):
    """One evaluation: every operation on a variable is recorded."""

    def __init__(self):
        self.records: list[Any] = []

    def variable(self, value: np.ndarray) -> Variable:
        """Return a variable that is made of nothing, such as a weight."""
        return Variable(self, value)

    def gradients(self, outputs: Sequence[Any], outer: Sequence[np.ndarray]) -> None:
        """Give every variable its gradient; outer: those of the outputs."""
        for output, gradient in zip(outputs, outer, strict=True):
            if isinstance(output, Variable):
                output.add(gradient)
        for record in reversed(self.records):
            if record.grad is not None:
                record.pull_back()

    # Along the last axis.

    def linear(self, x: Any, kernel: Any, bias: Any = None) -> Any:
        if not any(isinstance(part, Variable) for part in (x, kernel, bias)):
            return NUMPY.linear(x, kernel, bias)
        rows, matrix = plain(x).reshape(-1, plain(x).shape[-1]), plain(kernel)
        shape = (*plain(x).shape[:-1], matrix.shape[1])

        def flat(d: np.ndarray) -> np.ndarray:
            return d.reshape(-1, matrix.shape[1])

        product = rows @ matrix if bias is None else rows @ matrix + plain(bias)
        pulls = [(x, lambda d: (flat(d) @ matrix.T).reshape(plain(x).shape)), (kernel, lambda d: rows.T @ flat(d))]
        return Variable(self, product.reshape(shape), *pulls, (bias, lambda d: flat(d).sum(0)))

    def concatenate(self, parts: Sequence[Any]) -> Any:
        value = np.concatenate([plain(part) for part in parts], axis=-1)
        if not any(isinstance(part, Variable) for part in parts):
            return value
        ends = np.cumsum([part.shape[-1] for part in parts])
        pulls = [
            (part, lambda d, end=end, width=part.shape[-1]: d[..., end - width : end])
            for part, end in zip(parts, ends, strict=True)
        ]
        return Variable(self, value, *pulls)

    def split(self, x: Any, widths: Sequence[int]) -> list[Any]:
        ends = np.cumsum(widths)
        return [x[..., end - width : end] for end, width in zip(ends, widths, strict=True)]

    def columns(self, x: Any, indices: Sequence[int]) -> Any:
        if not isinstance(x, Variable):
            return NUMPY.columns(x, indices)

        def pull(d: np.ndarray) -> np.ndarray:
            whole = np.zeros_like(x.value)
            np.add.at(whole, (..., np.asarray(indices, int)), d)  # one column may come several times
            return whole

        return Variable(self, NUMPY.columns(x.value, indices), (x, pull))

    # Number by number.

    def _each(self, name: str, x: Any, slope: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Any:
        """Return an operation of x; slope: (what went in, what came out) -> derivative."""
        value = getattr(NUMPY, name)(plain(x))
        return Variable(self, value, (x, lambda d: d * slope(x.value, value))) if isinstance(x, Variable) else value

    def sigmoid(self, x: Any) -> Any:
        return self._each("sigmoid", x, lambda _, y: y * (1 - y))

    def tanh(self, x: Any) -> Any:
        return self._each("tanh", x, lambda _, y: 1 - y * y)

    def relu(self, x: Any) -> Any:
        return self._each("relu", x, lambda _, y: y > 0)

    def exp(self, x: Any) -> Any:
        return self._each("exp", x, lambda _, y: y)

    def log(self, x: Any) -> Any:
        return self._each("log", x, lambda x, _: 1 / x)

    def sqrt(self, x: Any) -> Any:
        return self._each("sqrt", x, lambda _, y: 0.5 / y)

    def absolute(self, x: Any) -> Any:
        return self._each("absolute", x, lambda x, _: np.sign(x))

    def positive(self, x: Any) -> Any:
        return NUMPY.positive(plain(x))

    def maximum(self, x: Any, other: Any) -> Any:
        return self._chosen(np.maximum, np.greater_equal, x, other)

    def minimum(self, x: Any, other: Any) -> Any:
        return self._chosen(np.minimum, np.less_equal, x, other)

    def _chosen(self, operation: Callable, wins: Callable, x: Any, other: Any) -> Any:
        """Return the larger or smaller of two; the gradient goes to it, to the first where they are the same."""
        one, two = plain(x), plain(other)
        if one is x and two is other:
            return operation(one, two)
        first = wins(one, two)
        return Variable(self, operation(one, two), (x, lambda d: d * first), (other, lambda d: d * ~first))

    def choose(self, condition: Any, x: Any, other: Any) -> Any:
        now, value = plain(condition) > 0, NUMPY.choose(plain(condition), plain(x), plain(other))
        if plain(x) is x and plain(other) is other:
            return value
        return Variable(self, value, (x, lambda d: d * now), (other, lambda d: d * ~now))

    # Over the hours.

    def mean(self, x: Any) -> Any:
        return self._over_hours("mean", x, lambda d, x, _: np.broadcast_to(d / x.shape[HOURS], x.shape))

    def sum(self, x: Any) -> Any:
        return self._over_hours("sum", x, lambda d, x, _: np.broadcast_to(d, x.shape))

    def least(self, x: Any) -> Any:
        return self._over_hours("least", x, _to_the_same)

    def largest(self, x: Any) -> Any:
        return self._over_hours("largest", x, _to_the_same)

    def deviation(self, x: Any) -> Any:
        return self._over_hours("deviation", x, _of_deviation)

    def _over_hours(self, name: str, x: Any, pull: Callable[..., np.ndarray]) -> Any:
        """Return an operation over the hours; pull: (d, x, y), of which d and y have one hour -> gradient of x."""
        value = getattr(NUMPY, name)(plain(x))
        if not isinstance(x, Variable):
            return value
        return Variable(self, value, (x, lambda d: pull(d[:, None], x.value, value[:, None])))

    def hour(self, x: Any, index: int) -> Any:
        return x[:, index]

    def hours_of(self, x: Any) -> int:
        return x.shape[HOURS]

    def as_hours(self, x: Any) -> Any:
        return x[:, None]

    def flatten(self, x: Any) -> Any:
        if not isinstance(x, Variable):
            return NUMPY.flatten(x)
        return Variable(self, NUMPY.flatten(x.value), (x, lambda d: d.reshape(x.shape)))

    def differs(self, x: Any, value: float) -> Any:
        return NUMPY.differs(plain(x), value)


def _to_the_same(d: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share the gradient of an extreme among the hours that have it."""
    same = x == y
    return d * same / same.sum(HOURS, keepdims=True)


def _of_deviation(d: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the gradient of a standard deviation; 0 where nothing varies."""
    spread = np.where(y > 0, y, 1)
    return d * (x - x.mean(HOURS, keepdims=True)) / (x.shape[HOURS] * spread)
