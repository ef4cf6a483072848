"""Equalised weights: the same network with its 8-bit matrices better used, at no byte's cost.

Comes in: a Network. Goes out: one that predicts the same in float, whose units have ranges alike. ReLU is positively
homogeneous, so a unit's inputs may be divided by what its outputs are multiplied with (Nagel et al. 2019, Data-free
quantization through weight equalization and bias correction, section 4.1). One scale a matrix then fits all its units,
and one scale all matrices that follow each other, so that it is stored once.
"""

from dataclasses import replace

import numpy as np

from mortcond.models.network import DenseLayer, Gate, HiddenLSTMLayer, Network

ROUNDS = 20  # a layer between two others takes part in both; the ranges settle in a few rounds


def equalise(network: Network) -> Network:
    """Return the network with the ranges of its ReLU units equalised: neurons of dense layers and inside LSTM gates."""
    recurrent = tuple(_hidden(layer) if isinstance(layer, HiddenLSTMLayer) else layer for layer in network.recurrent)
    return replace(network, recurrent=recurrent, dense=_dense(network.dense))


def _hidden(layer: HiddenLSTMLayer) -> HiddenLSTMLayer:
    return HiddenLSTMLayer(tuple(_gate(gate) for gate in layer.gates))


def _dense(layers: tuple[DenseLayer, ...]) -> tuple[DenseLayer, ...]:
    matrices, factors = _equalised([layer.kernel for layer in layers])
    return tuple(
        replace(layer, kernel=matrix.astype(layer.kernel.dtype), bias=(layer.bias / factor).astype(layer.bias.dtype))
        for layer, matrix, factor in zip(layers, matrices, [*factors, 1.0], strict=True)
    )


def _gate(gate: Gate) -> Gate:
    matrices, _ = _equalised([*gate.hidden, gate.output])
    *hidden, output = (matrix.astype(gate.output.dtype) for matrix in matrices)
    return replace(gate, hidden=tuple(hidden), output=output)


def _equalised(matrices: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return matrices (inputs, units) in sequence, equalised, and by what each ReLU layer's units were divided."""
    matrices = [matrix.astype(np.float64) for matrix in matrices]
    factors = [np.ones(matrix.shape[1]) for matrix in matrices[:-1]]
    for _ in range(ROUNDS):
        for index in range(len(matrices) - 1):
            into, out_of = np.abs(matrices[index]).max(0), np.abs(matrices[index + 1]).max(1)  # (units,) each
            alive = (into > 0) & (out_of > 0)  # a unit without inputs or outputs has nothing to share
            factor = np.where(alive, np.sqrt(into / np.where(alive, out_of, 1)), 1.0)
            matrices[index] = matrices[index] / factor
            matrices[index + 1] = matrices[index + 1] * factor[:, None]
            factors[index] = factors[index] * factor
    return _of_one_range(matrices, factors)


def _of_one_range(matrices: list[np.ndarray], factors: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give all matrices the same largest weight: the geometric mean of theirs."""
    ranges = np.array([np.abs(matrix).max() for matrix in matrices])
    if not ranges.all():
        return matrices, factors
    common = np.exp(np.log(ranges).mean())
    matrices = [matrix * common / largest for matrix, largest in zip(matrices, ranges, strict=True)]
    lent = np.cumprod(ranges / common)[:-1]  # by what each layer's units are smaller now
    return matrices, [factor * own for factor, own in zip(factors, lent, strict=True)]
