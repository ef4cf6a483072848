"""Untrained networks: Keras' own weights, and TensorFlow's one thread."""

import subprocess
import sys

import numpy as np

from mortcond.archs import Inputs, shaped, untrained
from mortcond.training.initial import initial


def test_initial_weights_are_those_of_keras():
    empty = untrained("lstm", shaped("lstm"), Inputs(76, 48))
    layer = initial(empty, 0)["recurrent.0"]
    bound = np.sqrt(6 / (76 + 64))
    assert 0.9 * bound < np.abs(layer.kernel).max() <= bound
    np.testing.assert_allclose(layer.recurrent_kernel @ layer.recurrent_kernel.T, np.eye(16), atol=1e-5)
    np.testing.assert_array_equal(layer.bias, np.repeat([0, 1, 0, 0], 16))
    assert not np.allclose(initial(empty, 1)["recurrent.0"].kernel, layer.kernel)


def test_width_depth_and_summary_are_as_asked():
    sizes = {"width": 6, "layers": 2, "hidden_width": 5, "hidden_depth": 3}
    deep = untrained("hlstm", shaped("hlstm", **sizes), Inputs(9, 4))
    assert [node.layer.units for node in deep.recurrent] == [6, 6]
    assert [matrix.shape for matrix in deep["recurrent.0"].hidden_gates[2].hidden] == [(15, 5), (5, 5), (5, 5)]
    rich = untrained("dnn", shaped("dnn", width=8, layers=2, summary="full", dropout=0.2), Inputs(9, 4))
    assert [node.layer.kernel.shape for node in rich.tail] == [(54, 8), (8, 4), (4, 1)]
    assert rich["dropout"].rate == 0.2


def test_tensorflow_has_one_thread_and_another_number_is_refused_once_it_has_computed():
    code = """
from mortcond.core.errors import UsageError
from mortcond.core.tensorflow import set_threads, tf
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
set_threads(2)
tf.constant(1) + 1
set_threads(2)
try:
    set_threads(1)
except UsageError as error:
    print(error.problem)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "another number of threads than 1" in done.stdout
