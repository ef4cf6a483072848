"""A `.tflite` file as terms: what each output is computed from, freed of the order and sharing of operations.

Comes in: the bytes of a file that was verified. Goes out: its one output as a `Term`. Two files that compute the same
in the same way have the same terms, however their weights are stored: constants are widened to float, and factors by
which 8-bit matrices are multiplied are taken back into them.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mortcond.deploy.anatomy import NUMPY_TYPES

OPERATIONS = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
CONSTANT, INPUT, PRODUCT = "constant", "input", "FULLY_CONNECTED"
WIDENED = ("DEQUANTIZE", "DENSIFY", "QUANTIZE")  # of a value they are the value


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers in a file."""

    array: np.ndarray  # as float64 where they are no whole numbers of their own
    step: np.ndarray | None = None  # of each, where it is stored in 8 bits: array is a multiple of it


@dataclass(frozen=True, eq=False)
class Term:
    """A constant, an input, or an output of an operation on terms."""

    kind: str
    inputs: tuple["Term", ...] = ()
    facts: tuple = ()  # options, and which of several outputs it is
    constant: Constant | None = None
    loop: tuple[tuple["Term", ...], tuple["Term", ...]] | None = field(default=None, repr=False)  # condition and body


def output_of(data: bytes) -> Term:
    """Return the one output of a file.

    Raises ValueError where it is not built like a file of ours.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    found: dict[int, tuple[Term, ...]] = {}
    for index in reversed(range(len(model.subgraphs))):  # a loop's condition and body stand after what calls them
        found[index] = _outputs(model, model.subgraphs[index], found)
    (output,) = found[0]
    return _without_nan_guard(output)


def _without_nan_guard(term: Term) -> Term:
    """Return the risk itself, where what is added to it is nothing but NaN for what no number stands behind."""
    if term.kind == "ADD" and term.inputs[1].kind == "MUL":
        factor = term.inputs[1].inputs[1].constant
        if factor is not None and not np.any(factor.array):
            return term.inputs[0]
    return term


def _outputs(model: schema.ModelT, graph: schema.SubGraphT, below: dict[int, tuple[Term, ...]]) -> tuple[Term, ...]:
    terms: dict[int, Term] = {number: Term(INPUT, facts=(place,)) for place, number in enumerate(graph.inputs)}
    for number, tensor in enumerate(graph.tensors):
        stored = model.buffers[tensor.buffer].data
        if number not in terms and stored is not None and len(stored):
            terms[number] = Term(CONSTANT, constant=_constant(tensor, np.asarray(stored, np.uint8).tobytes()))
    for operation in graph.operators:
        code = model.operatorCodes[operation.opcodeIndex]
        name = OPERATIONS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs = tuple(terms[number] for number in operation.inputs if number >= 0)
        loop = None
        if name == "WHILE":
            loop = below[operation.builtinOptions.condSubgraphIndex], below[operation.builtinOptions.bodySubgraphIndex]
        for place, number in enumerate(operation.outputs):
            facts = (place, len(operation.inputs), () if loop else _facts(operation.builtinOptions))
            terms[number] = _simplified(Term(name, inputs, facts, loop=loop))
    return tuple(terms[number] for number in graph.outputs)


def _facts(options: Any) -> tuple:
    if options is None:
        return ()
    plain = ((name, value) for name, value in vars(options).items() if value)  # zero and False are the usual
    return tuple(sorted((name, str(value)) for name, value in plain))


# Constants.


def _constant(tensor: schema.TensorT, data: bytes) -> Constant:
    dtype = np.dtype(NUMPY_TYPES[tensor.type])
    values = np.frombuffer(data, dtype)
    shape = tuple(tensor.shape) if tensor.shape is not None else ()
    values = _filled(tensor, values, shape) if tensor.sparsity is not None else values.reshape(shape)
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return Constant(values.astype(np.float64) if dtype.kind == "f" else values)
    scale = np.asarray(quantization.scale, np.float64)
    steps = np.broadcast_to(scale if values.ndim < 2 else scale.reshape(-1, *[1] * (values.ndim - 1)), values.shape)
    return Constant(values * steps, steps)


def _filled(tensor: schema.TensorT, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a matrix of which only some blocks are stored (see `graph.Blocks`)."""
    by_column = tensor.sparsity.dimMetadata[1]
    starts, columns = (np.asarray(part.values) for part in (by_column.arraySegments, by_column.arrayIndices))
    width = tensor.sparsity.dimMetadata[2].denseSize
    whole = np.zeros((shape[0], shape[1] // width, width), values.dtype)
    whole[np.repeat(np.arange(shape[0]), np.diff(starts)), columns] = values.reshape(-1, width)
    return whole.reshape(shape)


# What stands for the same.


def _simplified(term: Term) -> Term:
    if term.kind in WIDENED:
        return term.inputs[0]
    for rule in (_factors_of_outputs, _factors_of_inputs, _far_inputs):
        term = rule(term)
    return term


def _product(term: Term) -> Term | None:
    """Return a term where it is the product of a value and a constant matrix, without a bias or an activation."""
    if term.kind != PRODUCT or "fusedActivationFunction" in dict(term.facts[2]):
        return None
    _, matrix, *bias = term.inputs
    plain = all(one.constant is not None and not np.any(one.constant.array) for one in bias)
    return term if matrix.constant is not None and plain else None


def _with(term: Term, value: Term, matrix: np.ndarray, steps: np.ndarray | None) -> Term:
    inputs = (value, Term(CONSTANT, constant=Constant(matrix, steps)), *term.inputs[2:])
    return replace(term, inputs=inputs)


def _scaled(constant: Constant, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    return constant.array * factors, None if constant.step is None else np.abs(constant.step * factors)


def _factors_of_outputs(term: Term) -> Term:
    """(x K) factors -> x (K factors)."""
    if term.kind != "MUL" or len(term.inputs) != 2:
        return term
    product, factors = _product(term.inputs[0]), term.inputs[1].constant
    if product is None or factors is None or factors.array.shape != product.inputs[1].constant.array.shape[:1]:
        return term
    return _with(product, product.inputs[0], *_scaled(product.inputs[1].constant, factors.array[:, None]))


def _factors_of_inputs(term: Term) -> Term:
    """(x factors) K -> x (factors K)."""
    if term.kind != PRODUCT or term.inputs[0].kind != "MUL" or term.inputs[1].constant is None:
        return term
    value, factors = term.inputs[0].inputs
    matrix = term.inputs[1].constant
    if factors.constant is None or factors.constant.array.shape != matrix.array.shape[1:]:
        return term
    return _with(term, value, *_scaled(matrix, factors.constant.array))


def _far_inputs(term: Term) -> Term:
    """Some columns of x by one matrix, all of them by another -> x by both in one."""
    if term.kind != "ADD" or any(_product(part) is None for part in term.inputs):
        return term
    some, whole = term.inputs
    if some.inputs[0].kind != "GATHER" or some.inputs[0].inputs[0] is not whole.inputs[0]:
        return term
    matrix, columns = whole.inputs[1].constant, some.inputs[0].inputs[1].constant.array
    joined = matrix.array.copy()
    joined[:, columns] += some.inputs[1].constant.array
    steps = None if matrix.step is None else matrix.step.copy()
    if steps is not None:
        steps[:, columns] = np.nan  # of no 8 bits
    return _with(whole, whole.inputs[0], joined, steps)
