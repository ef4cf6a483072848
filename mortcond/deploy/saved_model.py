"""The SavedModel of a network: plain TensorFlow operations that anybody's converter turns to builtin LiteRT ones.

Comes in: a Network. Goes out: a tf.Module with its weights as variables and one signature, `serving_default`, from
`stays` (stays, hours, features) to `risk` (stays, 1). Keras' own export of a masked LSTM needs operations that LiteRT
lacks, so the loops over the hours are written out here: they carry states, and what is read after them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mortcond.core.tensorflow import tf
from mortcond.network import INPUT, Network, Node, own_arrays
from mortcond.stages import Loop, stages
from mortcond.training.tensorflow_backend.operations import TENSORFLOW

SIGNATURE = "serving_default"


class Served(tf.Module):
    """A network with its weights as variables, ready for tf.saved_model.save."""

    def __init__(self, network: Network):
        super().__init__(name="mortcond")
        self.network = network
        self.weights = {
            name: tf.Variable(array.astype(np.float32), name=name) for name, array in network.arrays().items()
        }

    def risk(self, stays: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the risk of each stay, (stays, 1), from scaled stays, (stays, hours, features)."""
        values = {INPUT: stays}
        for stage in stages(self.network):
            if isinstance(stage, Loop):
                values |= _Hours(self, stage, values).run()
            else:
                values[stage.node.name] = self.forward(stage.node, values)
        return {"risk": values[self.network.output.name]}

    def own(self, node: Node) -> dict[str, tf.Tensor]:
        """Return a node's weights, as tensors, by their names within the layer."""
        return own_arrays({name: tf.convert_to_tensor(value) for name, value in self.weights.items()}, node)

    def forward(self, node: Node, values: dict[str, Any]) -> tf.Tensor:
        return node.layer.forward(TENSORFLOW, self.own(node), *(values[name] for name in node.inputs))


class _Hours:
    """One loop over the hours."""

    def __init__(self, served: Served, loop: Loop, values: dict[str, Any]):
        self.served, self.loop, self.values = served, loop, values
        self.hours, self.stays = served.network.hours, tf.shape(values[INPUT])[0]
        self.read = {(name, back): self._in_order(values[name], back) for name, back in loop.read_between()}
        self.z, self.counts = {}, {}
        for node in loop.recurrent:
            back = node.layer.backwards
            if node.inputs[0] in values:
                z = node.layer.project(TENSORFLOW, served.own(node), values[node.inputs[0]])
                self.z[node.name] = self._in_order(z, back)
            if node.inputs[1:]:
                self.counts[node.name] = self._in_order(values[node.inputs[1]][..., None], back)

    @staticmethod
    def _in_order(x: tf.Tensor, backwards: bool) -> tf.Tensor:
        """Return (hours, stays, width) from (stays, hours, width), the hours as they are gone through."""
        by_hour = tf.transpose(x, [1, 0, 2])
        return tf.reverse(by_hour, [0]) if backwards else by_hour

    def run(self) -> dict[str, tf.Tensor]:
        states = [tf.zeros([self.stays, node.layer.units]) for node in self._of_states()]
        kept = [tf.zeros([self.hours, self.stays, self._node(name).layer.units]) for name in self.loop.stored]
        shapes = [tf.TensorShape([]), *(tf.TensorShape([None, state.shape[1]]) for state in states)]
        shapes += [tf.TensorShape([self.hours, None, rows.shape[2]]) for rows in kept]
        start = [tf.constant(0), *states, *kept]
        _, *results = tf.while_loop(lambda hour, *_: hour < self.hours, self._step, start, shape_invariants=shapes)
        return self._put_out(results[: len(states)], results[len(states) :])

    def _of_states(self) -> list[Node]:
        return [node for node in self.loop.recurrent for _ in node.layer.state_names]

    def _node(self, name: str) -> Node:
        return self.served.network.node(name)

    def _step(self, hour: tf.Tensor, *carried: tf.Tensor) -> tuple[tf.Tensor, ...]:
        states, kept = iter(carried), carried[len(self._of_states()) :]
        now: dict[str, tf.Tensor] = {}
        after = []
        for node in self.loop.nodes:
            if not node.layer.state_names:
                back = self.loop.backwards(node)
                own = {name: now[name] if name in now else self.read[name, back][hour] for name in node.inputs}
                now[node.name] = self.served.forward(node, own)
                continue
            old = [next(states) for _ in node.layer.state_names]
            new = self._stepped(node, hour, now, old)
            now[node.name] = new[0]
            after += new
        place = tf.reshape(tf.one_hot(hour, self.hours), [-1, 1, 1])
        return hour + 1, *after, *(rows + place * now[name] for rows, name in zip(kept, self.loop.stored, strict=True))

    def _stepped(self, node: Node, hour: tf.Tensor, now: dict[str, tf.Tensor], old: list[tf.Tensor]) -> list[tf.Tensor]:
        weights = self.served.own(node)
        z = self.z[node.name][hour] if node.name in self.z else None
        z = node.layer.project(TENSORFLOW, weights, now[node.inputs[0]]) if z is None else z
        new = node.layer.step(TENSORFLOW, weights, z, *old)
        if node.name not in self.counts:
            return list(new)
        counts = self.counts[node.name][hour]
        return [before + counts * (stepped - before) for before, stepped in zip(old, new, strict=True)]

    def _put_out(self, states: list[tf.Tensor], kept: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        found, left = {}, iter(states)
        for node in self.loop.recurrent:
            last, *_ = [next(left) for _ in node.layer.state_names]
            if not node.layer.sequences:
                found[node.name] = last
        for name, rows in zip(self.loop.stored, kept, strict=True):
            rows = tf.reverse(rows, [0]) if self._node(name).layer.backwards else rows
            found[name] = tf.transpose(rows, [1, 0, 2])
        return found


def save(network: Network, directory: Path) -> None:
    """Write the SavedModel of a network at the root of `directory`."""
    served = Served(network)
    spec = tf.TensorSpec([None, network.hours, network.features], tf.float32, name=INPUT)
    signature = tf.function(served.risk, input_signature=[spec])
    options = tf.saved_model.SaveOptions(experimental_debug_stripper=True)
    tf.saved_model.save(served, str(directory), signatures={SIGNATURE: signature}, options=options)
