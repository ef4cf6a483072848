"""Equalised weights: the same network with its 8-bit matrices better used, at no byte's cost.

Comes in: a Network. Goes out: one that predicts the same in float, whose units have ranges alike. ReLU is positively
homogeneous, so a unit's inputs may be divided by what its outputs are multiplied with (Nagel et al. 2019, Data-free
quantization through weight equalization and bias correction, section 4.1). One scale a matrix then fits all its units,
and one scale all matrices that follow each other, so that it is stored once.
"""

import numpy as np

from mortcond.channels import Group, groups
from mortcond.network import Network

ROUNDS = 20  # a layer between two others takes part in both; the ranges settle in a few rounds


def equalise(network: Network) -> Network:
    """Return the network with the ranges of its ReLU units equalised: neurons of dense layers and inside LSTM gates."""
    arrays = network.arrays()
    for sequence in _sequences(network):
        names = [group.makers[0].array for group in sequence] + [sequence[-1].outgoing[0].array]
        matrices, factors = _equalised([arrays[name] for name in names])
        for name, matrix in zip(names, matrices, strict=True):
            arrays[name] = matrix.astype(arrays[name].dtype)
        for group, factor in zip(sequence, factors, strict=True):
            for slot in group.makers[1:]:  # biases
                arrays[slot.array] = (arrays[slot.array] / factor).astype(arrays[slot.array].dtype)
    return network.with_arrays(arrays)


def _sequences(network: Network) -> list[list[Group]]:
    """Return groups of ReLU units of which each is read by the matrix that makes the next, and by nothing else."""
    found: list[list[Group]] = []
    arrays = network.arrays()
    for group in groups(network):
        if not (group.rectified and _read_once(group, arrays)):
            continue
        last = found[-1][-1] if found else None
        if last is not None and last.outgoing[0].array == group.makers[0].array:
            found[-1].append(group)
        else:
            found.append([group])
    return found


def _read_once(group: Group, arrays: dict[str, np.ndarray]) -> bool:
    """Say whether all rows of one matrix read a group, in its order, and nothing else does."""
    if len(group.outgoing) != 1 or group.passing:
        return False
    reader = group.outgoing[0]
    rows = np.arange(len(arrays[reader.array]))
    return np.array_equal(reader.places, rows) and np.array_equal(reader.owners, rows)


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
