"""Weights as a graph stores them: float32, float16, or int8 with their scales.

Comes in: a float matrix and the mode of the file. Goes out: the constant in the graph, and a line of the table that
says for each tensor what it became and why.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy.graph import Quantization, Subgraph

MODES = ("float32", "float16", "dynamic", "int8")
INT8_LIMIT = 127  # symmetric: -127 to 127, as LiteRT asks of weights


@dataclass
class Weights:
    """Adds weights to subgraphs in one mode, and keeps the table of what each became."""

    mode: str
    table: list[dict[str, Any]] = field(default_factory=list)

    def matrix(self, graph: Subgraph, name: str, kernel: np.ndarray) -> int:
        """Add a weight matrix for FULLY_CONNECTED.

        Parameters
        ----------
        kernel
            (inputs, outputs) float, as in the network; LiteRT wants (outputs, inputs).
        """
        rows = np.ascontiguousarray(kernel.T, np.float32)
        if self.mode == "float32":
            return self._float(graph, name, rows, "the mode asks for it")
        if self.mode == "float16":
            self._note(name, rows, "float16", "the mode asks for it; widened once, when the file is loaded")
            return graph.add(
                "DEQUANTIZE", [graph.constant(rows.astype(np.float16))], options=schema.DequantizeOptionsT()
            )
        stored, quantization = quantise(rows)
        if self.mode == "dynamic":
            self._note(name, rows, "int8", "one scale for the matrix; multiplied in 8 bits")
            return graph.constant(stored, quantization)
        self._note(name, rows, "int8", "one scale for the matrix; widened once, when the file is loaded")
        constant = graph.constant(stored, quantization)
        return graph.add("DEQUANTIZE", [constant], version=2, options=schema.DequantizeOptionsT())

    def bias(self, graph: Subgraph, name: str, bias: np.ndarray) -> int:
        """Add a bias (outputs,), which stays float32."""
        why = "the mode asks for it" if self.mode == "float32" else "a bias: few numbers, added to float sums"
        return self._float(graph, name, bias.astype(np.float32), why)

    def _float(self, graph: Subgraph, name: str, array: np.ndarray, why: str) -> int:
        self._note(name, array, "float32", why)
        return graph.constant(array)

    def _note(self, name: str, array: np.ndarray, dtype: str, why: str) -> None:
        self.table.append({"name": name, "shape": list(array.shape), "dtype": dtype, "why": why})


def quantise(rows: np.ndarray) -> tuple[np.ndarray, Quantization]:
    """Return a matrix in int8 and its scale, symmetric around zero, so that zero weights stay zero."""
    largest = float(np.abs(rows).max(initial=0))
    scale = np.float32(largest / INT8_LIMIT if largest else 1.0)
    stored = np.clip(np.rint(rows / scale), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    return stored, Quantization(np.array([scale], np.float32))
