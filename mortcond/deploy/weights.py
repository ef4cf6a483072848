"""Weights as a graph stores them: float32, float16, or int8 with their scales.

Comes in: a float matrix or bias and the mode of the file. Goes out: the constant in the graph, and a line of the table
that says for each tensor what it became and why.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mortcond.core.choices import Mode
from mortcond.deploy import ops
from mortcond.deploy.graph import Blocks, Quantization, Subgraph
from mortcond.deploy.rounding import quantise, scale_of

MODES = tuple(Mode)
EIGHT_BITS = ("dynamic", "int8", "integer")
WITH_8_BIT_INPUTS = ("dynamic", "integer")  # modes that round what a layer reads
BLOCKS_COST = 256  # bytes, about, that the description of a block-sparse matrix takes beside its indices
MOST_FAR = 4  # features
FAR_OFF = 5.0  # root mean square of a standardised feature, from which on it has outliers
# Of a feature's size the power that goes to its weights, and the least size. Picked from eleven pairs for the least
# change of a bidirectional LSTM's risks on PhysioNet 2012 stays in which mistyped values were put by chance.
MIGRATED, SMALLEST_SIZE = 0.75, 0.1
SMALLEST_BIAS = 48  # numbers, from which on a bias is smaller as int8 with its scale and its operation


@dataclass
class Weights:
    """Adds weights to subgraphs in one mode, and keeps the table of what each became."""

    mode: str
    moments: dict[str, np.ndarray] = field(default_factory=dict)  # of a matrix's inputs by its name, where known
    table: list[dict[str, Any]] = field(default_factory=list)
    placed: dict[tuple[int, str], tuple[int, int | None]] = field(default_factory=dict)  # the constants of a name
    rounded: dict[str, tuple[np.ndarray, Quantization]] = field(
        default_factory=dict
    )  # matrices in 8 bits by their name

    def linear(
        self,
        graph: Subgraph,
        x: int,
        name: str,
        kernel: np.ndarray,
        bias: np.ndarray | None = None,
        relu: bool = False,
        block: int | None = None,
    ) -> int:
        """Add the product of x, (stays, inputs), with a weight matrix; the same name again is the same matrix.

        Parameters
        ----------
        x
            May have axes of length 1 anywhere.
        kernel
            (inputs, outputs) float, as in the network.
        bias
            (outputs,), or None.
        block
            Inputs that are zero together for an output, where the kernel has many zeros.
        """
        return ops.linear(graph, x, *self._placed(graph, x, name, kernel, bias, block), relu)

    def of_each_hour(self, graph: Subgraph, x: int, name: str, kernel: np.ndarray) -> int:
        """Add the product of x, (stays, hours, inputs), with a weight matrix over its last axis.

        This is the matrix whose rounding is felt most. In 8 bits every row is stretched to use all of them, and the
        product brought back: 4 bytes a row, where a scale a row of the tensor itself would take 12.
        """
        if self.mode not in EIGHT_BITS:
            return ops.linear(graph, x, *self._placed(graph, x, name, kernel), each_hour=True)
        far = far_columns(self.moments.get(name), self.moments.get(f"{name}.count"))
        if len(far):
            return self._of_each_hour_with_far(graph, x, name, kernel, far)
        return self._of_each_hour_rounded(graph, x, name, kernel)

    def _of_each_hour_rounded(self, graph: Subgraph, x: int, name: str, kernel: np.ndarray) -> int:
        factors = row_factors(kernel)
        product = ops.linear(graph, x, *self._placed(graph, x, name, kernel / factors), each_hour=True)
        self.note(f"{name}.factors", factors, "float32", "a factor a row of the matrix, by which its product is taken")
        return ops.multiply(graph, product, graph.constant(factors))

    def _of_each_hour_with_far(self, graph: Subgraph, x: int, name: str, kernel: np.ndarray, far: np.ndarray) -> int:
        """Add the product where some features are now and then hundreds of deviations off.

        The smallest error of their weights is a large one of the risk: these stay float32 (Dettmers et al. 2022,
        LLM.int8(), arXiv:2208.07339, section 3.2). Of the others each is divided by its own size, in part, and its
        weights multiplied (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438, eq. 4).
        """
        exact = np.ascontiguousarray(kernel[far].T, np.float32)
        self.note(f"{name}.far", exact, "float32", "of features that now and then are far off: rounding would be felt")
        read = ops.gather(graph, x, graph.constant(far.astype(np.int32)), 2)
        product = ops.linear(graph, read, graph.constant(exact), each_hour=True)
        rest, columns = kernel.copy(), column_factors(self.moments[name], self.moments[f"{name}.count"])
        rest[far] = 0
        self.note(f"{name}.columns", columns, "float32", "a factor a feature, so that its weights use the 8 bits")
        self.moments[name] = self.moments[name] / np.outer(columns, columns)
        x = ops.multiply(graph, x, graph.constant(1 / columns))
        return ops.add(graph, product, self._of_each_hour_rounded(graph, x, name, rest * columns[:, None]))

    def bias(self, graph: Subgraph, name: str, kernel: np.ndarray, bias: np.ndarray) -> int:
        """Add the bias of a matrix that itself stands in another subgraph, (outputs,) float32."""
        scale = self._rounded(name, _outputs_first(kernel))[1] if self.mode in EIGHT_BITS else None
        return self._bias(graph, name, bias, len(bias), scale)

    def _placed(
        self,
        graph: Subgraph,
        x: int,
        name: str,
        kernel: np.ndarray,
        bias: np.ndarray | None = None,
        block: int | None = None,
    ) -> tuple[int, int | None]:
        """Return the constants of a matrix and its bias in a subgraph, put there where they are not yet."""
        if self.mode == "dynamic" and not graph.tensors[x].shape:  # XNNPACK asks for the rank of what it rounds
            graph.tensors[x] = replace(graph.tensors[x], shape=(-1, len(kernel)))
        key = (id(graph), name)
        if key not in self.placed:
            rows = _outputs_first(kernel)
            matrix, scale = self._matrix(graph, name, rows, block)
            self.placed[key] = (matrix, self._bias(graph, name, bias, len(rows), scale))
        return self.placed[key]

    def _bias(
        self, graph: Subgraph, name: str, bias: np.ndarray | None, width: int, scale: Quantization | None
    ) -> int | None:
        if bias is None:
            return self.no_bias(graph, width)
        bias = bias.astype(np.float32)
        if self.mode == "int8" and width >= SMALLEST_BIAS:
            self.note(
                f"{name}.bias", bias, "int8", "the scale of its matrix, where that will do; widened once, at load"
            )
            return self._widened(graph, _vector(graph, bias, scale), bias.shape)
        few = f"a bias of {width}: as int8 with its scale it would take more bytes"
        why = {"float32": "the mode asks for it", "int8": few}.get(self.mode, "a bias: added to float sums")
        self.note(f"{name}.bias", bias, "float32", why)
        return graph.constant(bias)

    def stacked(self, graph: Subgraph, name: str, kernels: np.ndarray, members: list[str]) -> int:
        """Return the constant of a matrix a group, (groups, inputs, outputs), as float32 in the graph.

        members: the name of each matrix, by which its moments are known.
        """
        key = (id(graph), name)
        if key in self.placed:
            return self.placed[key][0]
        kernels = np.ascontiguousarray(kernels, np.float32)
        if self.mode == "float32":
            self.note(f"{name}.kernel", kernels, "float32", "the mode asks for it")
            tensor = graph.constant(kernels)
        elif self.mode == "float16":
            self.note(f"{name}.kernel", kernels, "float16", "the mode asks for it; widened once, at load")
            tensor = self._widened(graph, graph.constant(kernels.astype(np.float16)), kernels.shape)
        else:
            stored, scale = self._rounded_groups(kernels, members)
            self.note(f"{name}.kernel", kernels, "int8", "one scale for all groups; widened once, at load")
            tensor = self._widened(graph, graph.constant(stored, scale), kernels.shape)
        self.placed[key] = (tensor, None)
        return tensor

    def _rounded_groups(self, kernels: np.ndarray, members: list[str]) -> tuple[np.ndarray, Quantization]:
        """Round the matrix of each group by the moments of its own inputs, all in steps of one size."""
        scale, moments = scale_of(kernels), [self.moments.get(name) for name in members]
        rounded = [quantise(kernel.T, own, like=scale)[0].T for kernel, own in zip(kernels, moments, strict=True)]
        return np.ascontiguousarray(rounded), scale

    def beside(self, kernel: np.ndarray, bias: np.ndarray) -> float:
        """Return a constant input whose weights, the bias divided by it, are no larger than those of the others."""
        return max(float(np.abs(bias).max() / max(np.abs(kernel).max(), 1e-30)), 1e-3)

    def never_from_nan(self, graph: Subgraph, risk: int, values: int) -> int:
        """Return the risk, (stays, 1), but NaN where any of `values`, (stays, any), is NaN or infinite.

        Rounded to 8 bits a NaN would be a number, and the risk one that nothing stands behind. Floats hand it on.
        """
        nothing = ops.multiply(
            graph, ops.reduce(graph, "SUM", values, 1, keep=True), graph.constant(np.zeros(1, np.float32))
        )
        return graph.add("ADD", [risk, nothing], shape=(-1, 1))

    def no_bias(self, graph: Subgraph, width: int) -> int | None:
        """Return what stands for no bias: nothing, but zeros where 8-bit products are about (XNNPACK wants them)."""
        return graph.constant(np.zeros(width, np.float32)) if self.mode == "dynamic" else None

    def _matrix(
        self, graph: Subgraph, name: str, rows: np.ndarray, block: int | None
    ) -> tuple[int, Quantization | None]:
        """Return a matrix' constant, and its scale in 8 bits."""
        tensor = f"{name}.kernel"
        if self.mode == "float32":
            self.note(tensor, rows, "float32", "the mode asks for it")
            return _constant(graph, rows, None, block), None
        if self.mode == "float16":
            self.note(tensor, rows, "float16", "the mode asks for it; widened once, when the file is loaded")
            return self._widened(graph, _constant(graph, rows.astype(np.float16), None, block), rows.shape), None
        stored, quantization = self._rounded(name, rows)
        if self.mode == "dynamic":
            self.note(tensor, rows, "int8", "one scale for the matrix; multiplied in 8 bits")
            return graph.constant(stored, quantization), quantization
        self.note(tensor, rows, "int8", "one scale for the matrix; widened once, when the file is loaded")
        return self._widened(graph, _constant(graph, stored, quantization, block), rows.shape), quantization

    def _rounded(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, Quantization]:
        if name not in self.rounded:
            self.rounded[name] = quantise(rows, self.moments.get(name))
        return self.rounded[name]

    @staticmethod
    def _widened(graph: Subgraph, constant: int, shape: tuple[int, ...]) -> int:
        """Make a constant float32 again; the runtime does so once, and only where the shape is stated (XNNPACK)."""
        return graph.add("DEQUANTIZE", [constant], version=2, shape=shape)

    def note(self, name: str, array: np.ndarray, dtype: str, why: str) -> None:
        """Add a line to the table; a matrix that stands in two subgraphs is stored, and told, once."""
        if all(line["name"] != name for line in self.table):
            self.table.append({"name": name, "shape": list(array.shape), "dtype": dtype, "why": why})


def _outputs_first(kernel: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(kernel.T, np.float32)  # LiteRT wants (outputs, inputs)


def _vector(graph: Subgraph, bias: np.ndarray, scale: Quantization | None) -> int:
    stored, quantization = quantise(bias[None], like=scale)
    return graph.constant(stored[0], quantization)


def row_factors(kernel: np.ndarray) -> np.ndarray:
    """Return by what to divide each output of (inputs, outputs) so that all have the same range, (outputs,) float32."""
    largest = np.abs(kernel).max(axis=0)
    return np.where(largest > 0, largest / max(largest.max(initial=0), 1e-30), 1).astype(np.float32)


def far_columns(moments: np.ndarray | None, count: np.ndarray | None) -> np.ndarray:
    """Return which inputs are far off now and then, by their mean squares: the farthest, MOST_FAR at most."""
    if moments is None or count is None:
        return np.zeros(0, int)
    squares = np.diag(moments) / max(float(count), 1.0)
    farthest = np.argsort(-squares, kind="stable")[:MOST_FAR]
    return np.sort(farthest[squares[farthest] > FAR_OFF**2])


def column_factors(moments: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return by what to divide each input so that none is felt far more than others, (inputs,) float32."""
    sizes = np.sqrt(np.diag(moments) / max(float(count), 1.0))
    return (np.maximum(sizes, SMALLEST_SIZE) ** MIGRATED).astype(np.float32)


def _constant(graph: Subgraph, rows: np.ndarray, quantization: Quantization | None, block: int | None) -> int:
    """Add a constant matrix, without its blocks of zeros where leaving them out saves more than saying so costs."""
    if block is None or rows.shape[1] % block:
        return graph.constant(rows, quantization)
    by_block = rows.reshape(len(rows), -1, block)
    stored = np.any(by_block != 0, axis=2)  # (rows, blocks of a row)
    starts = _fewest_bits(np.concatenate([[0], np.cumsum(stored.sum(1))]))
    columns = _fewest_bits(np.nonzero(stored)[1])
    saved = rows.itemsize * block * np.sum(~stored) - starts.nbytes - columns.nbytes
    if saved < BLOCKS_COST:
        return graph.constant(rows, quantization)
    return graph.sparse(by_block[stored], rows.shape, Blocks(block, starts, columns), quantization)


def _fewest_bits(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8 if values.max(initial=0) <= np.iinfo(np.uint8).max else np.uint16)
