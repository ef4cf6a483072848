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

from mortcond.archs import Shape, hidden_lstm
from mortcond.condense.activations import layer_inputs
from mortcond.core.errors import InputError
from mortcond.layers import HiddenLSTM
from mortcond.layers.base import Gate
from mortcond.layers.hidden_lstm import HiddenGate
from mortcond.network import INPUT, Network, Node

CHILD = "hlstm"  # the row of `archs` of what comes out
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
    stack = lstm_stack(parent)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(x))[:STAYS])
    x_last, h_last = layer_inputs(parent, x[drawn], stack[-1].name)  # what the parent's last layer sees
    x_first = layer_inputs(parent, x[drawn], stack[0].name)[0]
    x_and_h = np.concatenate([x_first, h_last], axis=1)  # what the child sees of the same hours
    gates = [node.layer.gates(node.layer.arrays()) for node in (stack[0], stack[-1])]
    wanted = np.split(_before_activation(gates[1], x_last, h_last), 4, axis=1)
    fresh = initial.recurrent[0]
    columns = zip(_columns(*gates), wanted, fresh.layer.hidden_gates, strict=True)
    layer = HiddenLSTM(tuple(_gate(start, target, gate, x_and_h) for start, target, gate in columns))
    dense = {node.name: parent[node.name] for node in parent.nodes if node.layer.affine}
    return initial.with_layers({fresh.name: layer} | dense)


def untrained_child(parent: Network, hidden_width: int | None = None, hidden_depth: int = 1) -> Network:
    """Return the parent with one hidden-layer LSTM, of zeros, in the place of its LSTM layers; all else is its own."""
    stack = lstm_stack(parent)
    first, last = stack[0], stack[-1]
    sizes = Shape(hidden_width=hidden_width, hidden_depth=hidden_depth)
    nodes = []
    for node in parent.nodes:
        if node is first:
            layer = hidden_lstm(parent.widths[node.inputs[0]], last.layer.units, sizes)
            nodes.append(replace(node, layer=layer))
        elif node not in stack:
            nodes.append(replace(node, inputs=tuple(first.name if name == last.name else name for name in node.inputs)))
    return replace(parent, arch=CHILD, nodes=tuple(nodes))


def lstm_stack(network: Network) -> tuple[Node, ...]:
    """Return the LSTM layers that one hidden-layer LSTM can take the place of: one upon the other, then dense layers.

    Raises InputError where the network is something else.
    """
    stack, source = network.recurrent, INPUT
    for node in stack:
        gates = node.layer.gates(node.layer.arrays())
        plain = gates is not None and not gates[0].chain and not node.layer.backwards
        if not plain or node.inputs[0] != source:
            raise InputError(
                f"{node.name} is no LSTM that reads the layer before it, forwards.",
                "hlstm-convert takes a stack of LSTM layers; prune or quantise this network instead.",
            )
        source = node.name
    others = [node for node in network.nodes if node not in stack and node.layer.arrays() and not node.layer.affine]
    if not stack or others:
        raise InputError("The network is no stack of LSTM layers.", "hlstm-convert takes one; train an lstm first.")
    return stack


def _columns(first: list[Gate], last: list[Gate]) -> list[np.ndarray]:
    """Return for each gate the parent's weights on [x_t, h_(t-1)]: (features + units, columns)."""
    pairs = [(below.kernel, above.recurrent_kernel) for below, above in zip(first, last, strict=True)]
    return [np.concatenate(_same_width(*pair)) for pair in pairs]


def _same_width(kernel: np.ndarray, recurrent_kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill the narrower of the two up with zeros: layers of a pruned parent may differ in width."""
    width = max(kernel.shape[1], recurrent_kernel.shape[1])
    return tuple(np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (kernel, recurrent_kernel))


def _before_activation(gates: list[Gate], inputs: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return the sums of all gates side by side, (observations, 4 * units)."""
    kernel, recurrent_kernel = (
        np.concatenate([getattr(gate, name) for gate in gates], axis=1) for name in ("kernel", "recurrent_kernel")
    )
    return inputs @ kernel + h @ recurrent_kernel + np.concatenate([gate.bias for gate in gates])


def _gate(columns: np.ndarray, target: np.ndarray, initial: HiddenGate, x_and_h: np.ndarray) -> HiddenGate:
    hidden = [_filled(initial.hidden[0], np.concatenate([columns, -columns], axis=1))]
    for weights in initial.hidden[1:]:  # further hidden layers begin as "pass on": ReLU(ReLU(z)) = ReLU(z)
        hidden.append(np.eye(*weights.shape, dtype=weights.dtype))
    passed = x_and_h
    for weights in hidden:
        passed = np.maximum(passed @ weights, 0)
    output, bias = _ridge(passed, target)
    return HiddenGate(tuple(hidden), output.astype(initial.output.dtype), bias.astype(initial.bias.dtype))


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
