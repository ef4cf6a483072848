"""The network that a `.tflite` file of ours holds, with the file's own weights, where nothing else is at hand.

Comes in: a file's bytes and its metadata, in which the outline of the network stands. Goes out: the network, and of
weights in 8 bits the steps of which they are multiples.

Where in the graph each weight lies the writer knows, and nobody else need: it writes the outline three times with
numbers that tell weights apart, and what it wrote is laid beside the file, term by term (see `terms`). A number that
moved with a weight is a factor times it, plus a shift; one that did not must be the file's own. Whatever does not agree
is refused.
"""

from dataclasses import dataclass, field

import numpy as np

from mortcond.core.errors import InputError
from mortcond.deploy import ops, outline, terms, tflite
from mortcond.deploy.graph import Quantization, Subgraph
from mortcond.deploy.terms import Constant, Term
from mortcond.deploy.weights import Weights
from mortcond.network import Network

FIRST = 2  # so that no number is its own inverse
AGREED = 1e-5  # share of a number by which two places of one weight, or a constant, may differ: both were rounded
WHAT_FITS = "Export the model directory that it was made of, or write the file again with this version."


@dataclass(frozen=True)
class Recovered:
    """A network read from a file."""

    network: Network
    steps: dict[str, np.ndarray]  # of each weight array in 8 bits, (its shape): what its numbers are multiples of


@dataclass
class Plain(Weights):
    """Puts every weight into a graph as float32, where the file's mode has it."""

    lent: list[float] = field(default_factory=list)  # the numbers beside means, as the file has them

    def of_each_hour(self, graph: Subgraph, x: int, name: str, kernel: np.ndarray) -> int:
        return ops.linear(graph, x, *self._placed(graph, x, name, kernel), each_hour=True)

    def stacked(self, graph: Subgraph, name: str, kernels: np.ndarray, members: list[str]) -> int:
        return graph.constant(np.ascontiguousarray(kernels, np.float32))

    def bias(self, graph: Subgraph, name: str, kernel: np.ndarray, bias: np.ndarray) -> int:
        return graph.constant(bias.astype(np.float32))

    def beside(self, kernel: np.ndarray, bias: np.ndarray) -> float:
        return self.lent.pop(0) if self.lent else 1.0

    def _bias(self, graph: Subgraph, name: str, bias: np.ndarray | None, width: int, scale: Quantization | None):
        return self.no_bias(graph, width) if bias is None else graph.constant(bias.astype(np.float32))

    def _matrix(self, graph: Subgraph, name: str, rows: np.ndarray, block: int | None):
        return graph.constant(rows), None


def recover(data: bytes, arch: str, mode: str, told: object, name: str) -> Recovered:
    """Return the network of a file.

    Parameters
    ----------
    told
        The outline in its metadata (`outline.outline`).
    name
        The file's, for messages.

    Raises
    ------
    InputError
        The file is not as the writer would write such a network.
    """
    try:
        shape = outline.Outline.of(arch, told)
        file = terms.output_of(data)
        found = _Numbers(shape.size)
        for places in _places([*_probes(shape, mode, file), file]):
            found.take(*places)
        network = shape.filled(found.values)
    except outline.BROKEN as error:
        raise InputError(f"The weights of {name} cannot be read back ({error}).", WHAT_FITS) from None
    return Recovered(network, _steps(shape, found.steps))


def _steps(shape: outline.Outline, steps: np.ndarray) -> dict[str, np.ndarray]:
    arrays = shape.filled(steps).arrays()
    return {name: array for name, array in arrays.items() if np.any(array > 0)}


# What the writer makes of numbers that tell weights apart.


def _probes(shape: outline.Outline, mode: str, file: Term) -> list[Term]:
    """Return the network's term with FIRST, FIRST + 1 ... in the place of its weights, with ones, and with -1 alone."""
    ones, beside = np.ones(shape.size), _beside_means(file)
    written = (shape.filled(values) for values in (FIRST + np.arange(shape.size), ones, -ones))
    return [terms.output_of(tflite.written(network, Plain(mode, lent=list(beside)))) for network in written]


def _beside_means(term: Term) -> list[float]:
    """Return the constants that stand beside means in the file, see `means.with_bias_as_column`."""
    found, seen, waiting = [], set(), [term]
    while waiting:
        term = waiting.pop()
        if id(term) in seen:
            continue
        seen.add(id(term))
        if term.kind == "PADV2":
            found.append(float(term.inputs[2].constant.array))
        waiting += term.inputs
    return found


# The same term several times.


def _places(same: list[Term]):
    """Yield the constants that stand in the same place of terms that are built alike.

    Raises ValueError where they are not.
    """
    seen, waiting = set(), [tuple(same)]
    while waiting:
        those = waiting.pop()
        key = tuple(map(id, those))
        if key in seen:
            continue
        seen.add(key)
        first = those[0]
        if any((one.kind, one.facts, len(one.inputs)) != (first.kind, first.facts, len(first.inputs)) for one in those):
            raise ValueError(f"it has {those[-1].kind} where this version writes {first.kind}")
        if first.constant is not None:
            yield tuple(one.constant for one in those)
        waiting += zip(*(one.inputs for one in those), strict=True)
        if first.loop is not None:
            for part in range(2):
                waiting += zip(*(one.loop[part] for one in those), strict=True)


class _Numbers:
    """The weights as far as they are known."""

    def __init__(self, size: int):
        self.size = size
        self.values, self.steps = np.full(size, np.nan), np.full(size, np.nan)

    def take(self, numbered: Constant, plus: Constant, minus: Constant, file: Constant) -> None:
        """Take the weights that lie in one constant of the file, of which the others are what the writer makes."""
        arrays = [numbered.array, plus.array, minus.array, file.array]
        if len({array.shape for array in arrays}) > 1:
            raise ValueError(f"a constant of {file.array.shape}, where this version writes {numbered.array.shape}")
        numbers, above, below, own = (np.asarray(array, np.float64).reshape(-1) for array in arrays)
        moved = above != below
        if not np.allclose(own[~moved], above[~moved], rtol=AGREED, atol=1e-6):
            raise ValueError("a constant that is no weight differs from what this version writes")
        steps = np.full(own.shape, np.nan) if file.step is None else np.asarray(file.step, np.float64).reshape(-1)
        factor, shift = (above - below)[moved] / 2, (above + below)[moved] / 2
        self._solve(factor, shift, numbers[moved], own[moved], steps[moved])

    def _solve(
        self, factor: np.ndarray, shift: np.ndarray, numbers: np.ndarray, own: np.ndarray, steps: np.ndarray
    ) -> None:
        inverse = (np.abs(numbers) < np.abs(factor)) & (shift == 0)  # 1 / n: of a spread, by which is divided
        with np.errstate(divide="ignore"):
            numbers, own = (np.where(inverse, 1 / values, values) for values in (numbers, own))
        place = (numbers - shift) / factor - FIRST
        which = np.rint(place)
        if np.any(np.abs(place - which) > 0.3) or np.any((which < 0) | (which >= self.size)):
            raise ValueError("a number in it is made of several weights")
        self._keep(which.astype(int), (own - shift) / factor, np.where(inverse, np.nan, steps / np.abs(factor)))

    def _keep(self, where: np.ndarray, values: np.ndarray, steps: np.ndarray) -> None:
        known = self.values[where]
        same = np.isnan(known) | np.isclose(known, values, rtol=AGREED, atol=1e-6)
        if not np.all(same | (np.isnan(values) & np.isnan(known))):
            raise ValueError("one weight stands in it with two values")
        self.values[where], self.steps[where] = values, steps
