"""Weights as a graph stores them: float32, float16, or int8 with their scales.

Comes in: a float matrix or bias and the mode of the file. Goes out: the constant in the graph, and a line of the table
that says for each tensor what it became and why.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mortcond.deploy import ops
from mortcond.deploy.graph import Blocks, Quantization, Subgraph
from mortcond.models.network import Network

MODES = ("float32", "float16", "dynamic", "int8")
BLOCKS_COST = 256  # bytes, about, that the description of a block-sparse matrix takes beside its indices
SMALLEST_BIAS = 48  # numbers, from which on a bias is smaller as int8 with its scale and its operation
INT8_LIMIT = 127  # symmetric: -127 to 127, as LiteRT asks of weights


@dataclass
class Weights:
    """Adds weights to subgraphs in one mode, and keeps the table of what each became."""

    mode: str
    table: list[dict[str, Any]] = field(default_factory=list)
    placed: dict[tuple[int, str], tuple[int, int | None]] = field(default_factory=dict)  # the constants of a name

    def linear(
        self,
        graph: Subgraph,
        x: int,
        name: str,
        kernel: np.ndarray,
        bias: np.ndarray | None = None,
        relu: bool = False,
        block: int | None = None,
        by_row: bool = False,
    ) -> int:
        """Add the product of x with a weight matrix, over x's last axis; the same name again is the same matrix.

        Parameters
        ----------
        kernel
            (inputs, outputs) float, as in the network.
        bias
            (outputs,), or None.
        block
            Inputs that are zero together for an output, where the kernel has many zeros.
        by_row
            In 8 bits a scale for each output: for the matrix whose rounding is felt most, the one that reads the stays.
        """
        if self.mode == "dynamic" and not graph.tensors[x].shape:  # XNNPACK asks for the rank of what it rounds
            graph.tensors[x] = replace(graph.tensors[x], shape=(-1, len(kernel)))
        key = (id(graph), name)
        if key not in self.placed:
            rows = np.ascontiguousarray(kernel.T, np.float32)  # LiteRT wants (outputs, inputs)
            self.placed[key] = (
                self._matrix(graph, f"{name}.kernel", rows, block, by_row),
                self._bias(graph, name, bias, len(rows)),
            )
        return ops.linear(graph, x, *self.placed[key], relu)

    def _bias(self, graph: Subgraph, name: str, bias: np.ndarray | None, width: int) -> int | None:
        if bias is None:
            return self.no_bias(graph, width)
        bias = bias.astype(np.float32)
        if self.mode == "int8" and width >= SMALLEST_BIAS:
            self._note(f"{name}.bias", bias, "int8", "one scale for the bias; widened once, when the file is loaded")
            return self._widened(graph, graph.constant(*quantise(bias)), bias.shape)
        few = f"a bias of {width}: as int8 with its scale it would take more bytes"
        why = {"float32": "the mode asks for it", "int8": few}.get(self.mode, "a bias: added to float sums")
        self._note(f"{name}.bias", bias, "float32", why)
        return graph.constant(bias)

    def dense(self, graph: Subgraph, network: Network, kernels: list[np.ndarray], x: int) -> int:
        """Add a network's dense layers, with `kernels` in the place of their own, and the sigmoid of the last."""
        for index, (layer, kernel) in enumerate(zip(network.dense, kernels, strict=True)):
            x = self.linear(graph, x, f"dense.{index}", kernel, layer.bias, relu=layer.activation == "relu")
        return graph.add("LOGISTIC", [x], shape=(-1, 1))

    def no_bias(self, graph: Subgraph, width: int) -> int | None:
        """Return what stands for no bias: nothing, but zeros where 8-bit products are about (XNNPACK wants them)."""
        return graph.constant(np.zeros(width, np.float32)) if self.mode == "dynamic" else None

    def _matrix(self, graph: Subgraph, name: str, rows: np.ndarray, block: int | None, by_row: bool) -> int:
        if self.mode == "float32":
            self._note(name, rows, "float32", "the mode asks for it")
            return _constant(graph, rows, None, block)
        if self.mode == "float16":
            self._note(name, rows, "float16", "the mode asks for it; widened once, when the file is loaded")
            return self._widened(graph, graph.constant(rows.astype(np.float16)), rows.shape)
        if self.mode == "dynamic":
            self._note(name, rows, "int8", "one scale for the matrix; multiplied in 8 bits")
            return graph.constant(*quantise(rows))
        stored, quantization = quantise(rows, by_row)
        scales = "a scale a row" if by_row else "one scale for the matrix"
        self._note(name, rows, "int8", f"{scales}; widened once, when the file is loaded")
        return self._widened(graph, _constant(graph, stored, quantization, block), rows.shape)

    @staticmethod
    def _widened(graph: Subgraph, constant: int, shape: tuple[int, ...]) -> int:
        """Make a constant float32 again; the runtime does so once, and only where the shape is stated (XNNPACK)."""
        return graph.add("DEQUANTIZE", [constant], version=2, shape=shape)

    def _note(self, name: str, array: np.ndarray, dtype: str, why: str) -> None:
        self.table.append({"name": name, "shape": list(array.shape), "dtype": dtype, "why": why})


def quantise(rows: np.ndarray, by_row: bool = False) -> tuple[np.ndarray, Quantization]:
    """Return a matrix in int8 and its scale, or a scale a row; symmetric around 0, so that zero weights stay zero."""
    largest = np.abs(rows).max(axis=1 if by_row else None, keepdims=True, initial=0).astype(np.float32)
    scale = np.where(largest > 0, largest / np.float32(INT8_LIMIT), np.float32(1))
    stored = np.clip(np.rint(rows / scale), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    return stored, Quantization(scale.ravel())


def _constant(graph: Subgraph, rows: np.ndarray, quantization: Quantization | None, block: int | None) -> int:
    """Add a constant matrix, without its blocks of zeros where leaving them out saves more than saying so costs."""
    if block is None or rows.shape[1] % block:
        return graph.constant(rows, quantization)
    by_block = rows.reshape(len(rows), -1, block)
    stored = np.any(by_block != 0, axis=2)  # (rows, blocks of a row)
    starts = np.concatenate([[0], np.cumsum(stored.sum(1))])
    saved = rows.itemsize * block * np.sum(~stored) - starts.size - starts[-1]
    if saved < BLOCKS_COST or starts[-1] > np.iinfo(np.uint8).max:
        return graph.constant(rows, quantization)
    blocks = Blocks(block, starts.astype(np.uint8), np.nonzero(stored)[1].astype(np.uint8))
    return graph.sparse(by_block[stored], rows.shape, blocks, quantization)
