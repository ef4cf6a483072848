"""condense: one hidden-layer LSTM in the place of a trained LSTM's recurrent layers (paper, section II-F).

Comes in: the parent Network and, to start from its weights, scaled stays of the training split. Goes out: a Network of
arch hlstm with the parent's width, to be trained.

Starting from the parent. The child's hidden state takes the place of the parent's *last* layer, which the dense layers
read, so these are taken over as they are. A gate of the child is `W ReLU(H [x_t, h_(t-1)]) + b`. The parent's own gate
in its last layer sees `[v_t, h_(t-1)]`, where v_t is x_t itself (one layer) or the layer below, which answers to x_t
through its kernel. So H starts as the parent's weights where they fit: for x_t the first layer's kernel of that gate,
for h_(t-1) the last layer's recurrent kernel of that gate. W and b have no counterpart in the parent: they are the
ridge regression of the parent's gate, before its sigmoid or tanh, on what the ReLU lets through, over the hours of
training stays as the parent itself sees them. With one layer and a hidden width of twice the units, H holds every
column with both signs and the child equals the parent, since z = ReLU(z) - ReLU(-z).
"""

from dataclasses import replace

import numpy as np

from mortcond.condense.activations import layer_inputs
from mortcond.models.network import Gate, HiddenLSTMLayer, LSTMLayer, Network

STAYS = 256  # x 48 hours: far more observations than the regression has unknowns
RIDGE = 1e-6  # of the mean square of what is regressed on: keeps silent hidden units from exploding


def from_parent(parent: Network, initial: Network, x: np.ndarray, seed: int = 0) -> Network:
    """Return a network that starts near the parent: see the head of this module.

    Parameters
    ----------
    parent
        The LSTM to replace.
    initial
        A hidden-layer LSTM with as many units as the parent's last layer; its initial weights stay where the parent
        has none that fit (hidden neurons beyond twice the parent's columns).
    x
        Stays of the training split, (stays, hours, features), scaled; above STAYS, a draw of them with `seed`.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(x))[:STAYS])
    last = len(parent.recurrent) - 1
    x_last, h_last = layer_inputs(parent, x[drawn], last)  # what the parent's last layer sees
    x_first = layer_inputs(parent, x[drawn], 0)[0]
    x_and_h = np.concatenate([x_first, h_last], axis=1)  # what the child sees of the same hours
    wanted = np.split(_before_activation(parent.recurrent[last], x_last, h_last), 4, axis=1)
    columns = zip(_columns(parent), wanted, initial.recurrent[0].gates, strict=True)
    gates = tuple(_gate(start, target, gate, x_and_h) for start, target, gate in columns)
    return replace(initial, recurrent=(HiddenLSTMLayer(gates),), dense=parent.dense)


def _columns(parent: Network) -> list[np.ndarray]:
    """Return for each gate the parent's weights on [x_t, h_(t-1)]: (features + units, columns)."""
    first, last = parent.recurrent[0], parent.recurrent[-1]
    kernels = np.split(first.kernel, 4, axis=1)  # (features, units of the first layer)
    recurrent_kernels = np.split(last.recurrent_kernel, 4, axis=1)  # (units, units)
    columns = [_same_width(*pair) for pair in zip(kernels, recurrent_kernels, strict=True)]
    return [np.concatenate(pair) for pair in columns]


def _same_width(kernel: np.ndarray, recurrent_kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill the narrower of the two up with zeros: layers of a pruned parent may differ in width."""
    width = max(kernel.shape[1], recurrent_kernel.shape[1])
    return tuple(np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (kernel, recurrent_kernel))


def _before_activation(layer: LSTMLayer, inputs: np.ndarray, h: np.ndarray) -> np.ndarray:
    return inputs @ layer.kernel + h @ layer.recurrent_kernel + layer.bias  # (observations, 4 * units)


def _gate(columns: np.ndarray, target: np.ndarray, initial: Gate, x_and_h: np.ndarray) -> Gate:
    hidden = [_filled(initial.hidden[0], np.concatenate([columns, -columns], axis=1))]
    for weights in initial.hidden[1:]:  # further hidden layers begin as "pass on": ReLU(ReLU(z)) = ReLU(z)
        hidden.append(np.eye(*weights.shape, dtype=weights.dtype))
    passed = x_and_h
    for weights in hidden:
        passed = np.maximum(passed @ weights, 0)
    output, bias = _ridge(passed, target)
    return Gate(tuple(hidden), output.astype(initial.output.dtype), bias.astype(initial.bias.dtype))


def _filled(initial: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return `initial` with as many of its columns as there are replaced by `columns`."""
    filled, width = initial.copy(), min(initial.shape[1], columns.shape[1])
    filled[:, :width] = columns[:, :width]
    return filled


def _ridge(passed: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return W and b that minimise the squared error of `passed @ W + b`, b unpenalised."""
    centre, level = passed.mean(0), target.mean(0)
    centred = passed - centre
    gram = centred.T @ centred
    gram += np.eye(len(gram)) * (RIDGE * np.trace(gram) / len(gram) + 1e-12)
    output = np.linalg.solve(gram, centred.T @ (target - level))  # (hidden units, units)
    return output, level - centre @ output
