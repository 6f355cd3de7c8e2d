"""What exporters take apart is put together again: layer norms, attention, a layer and its bias.

The ops that are made here have names of their own, which `table.py` knows and no file can hold.
"""

from collections.abc import Collection, Set
from functools import partial
from typing import Any

import onnx_ir as ir
from onnxscript.optimizer import remove_unused_nodes

from bitwright.capture.onnx.indexed import adaptive_pool, as_strided, overwritten
from bitwright.capture.onnx.matching import apply, constant, made_by, number, only_reader, operands
from bitwright.capture.onnx.norms import group_norm, layer_norm
from bitwright.capture.onnx.sizes import SIZES

LINEAR, CONV, ATTENTION = "_Linear", "_Conv", "_Attention"


def recognise(model: ir.Model, stored: Collection[str], images: ir.Value) -> None:
    """Replace every idiom in the graph, which begins with `images`, by one node.

    Biases of zeros go that are not `stored` in the file: torch.onnx has them computed for convolutions without one.
    """
    for node in model.graph:
        value = node.inputs[2] if node.op_type == "Conv" and len(node.inputs) > 2 else None
        bias = constant(value)
        if value is not None and bias is not None and not bias.any() and value.name not in stored:
            node.resize_inputs(2)
    attention = partial(_attention, *_of_shapes(model.graph))
    written = (adaptive_pool, partial(as_strided, images), overwritten)
    for match in (*written, _linear, _conv_bias, layer_norm, group_norm, attention):
        apply(model.graph, match)
    remove_unused_nodes(model)


Values = Set[ir.Value]


def _of_shapes(graph: ir.Graph) -> tuple[Values, Values]:
    """The values that depend on no more of the image than its shape, and those of them that are numbers computed of a shape."""
    once, numbers = set[ir.Value](), set[ir.Value]()
    for node in graph:
        computed = [value for value in node.inputs if value is not None and value.const_value is None]
        is_shape = node.op_type in ("Shape", "Size")
        if is_shape or all(value in once for value in computed):
            once.update(node.outputs)
        if is_shape or (computed and node.op_type in SIZES and all(value in numbers for value in computed)):
            numbers.update(node.outputs)
    return once, numbers


def _linear(node: ir.Node) -> Any:
    """MatMul with a matrix, or with the transpose of one, then Add of as many numbers as it has columns."""
    if node.op_type != "MatMul" or (add := only_reader(node.outputs[0], "Add")) is None:
        return None
    weight, rows = node.inputs[1], 0
    turned = made_by(weight, "Transpose")
    if turned is not None and "perm" in turned.attributes and list(turned.attributes["perm"].value) == [1, 0]:
        weight, rows = turned.inputs[0], 1
    matrix = constant(weight)
    _, bias = operands(add)
    found = constant(bias)
    if matrix is None or matrix.ndim != 2 or found is None:
        return None
    outputs = matrix.shape[1 - rows]
    if found.shape[-1:] != (outputs,) or found.size != outputs:
        return None
    return add.outputs[0], LINEAR, [node.inputs[0], weight, bias], {"transB": rows}


def _conv_bias(node: ir.Node) -> Any:
    """Conv without a bias, then Add of one number for each channel."""
    weight = constant(node.inputs[1]) if node.op_type == "Conv" and len(node.inputs) == 2 else None
    if weight is None or (add := only_reader(node.outputs[0], "Add")) is None:
        return None
    _, bias = operands(add)
    found = constant(bias)
    if found is None or found.ndim < 3 or found.shape[-3] != len(weight) or found.size != len(weight):
        return None
    return add.outputs[0], CONV, [*node.inputs, bias], {**node.attributes}


def _attention(once: Values, numbers: Values, node: ir.Node) -> Any:
    """softmax(scale * query key^T + mask) value, the mask of values of `once`, the scale also of `numbers`.

    The scale may be shared between query and key. None where it multiplies the mask as well.
    """
    if node.op_type != "Softmax" or not _over_last(node):
        return None
    shares = _without_nan(node.outputs[0])
    product = only_reader(shares, "MatMul")
    scale = Scale(numbers)
    scores = scale.off(node.inputs[0])
    mask = None
    if (total := made_by(scores, "Add")) is not None:
        mask = next((part for part in total.inputs if constant(part) is not None or part in once), None)
        if mask is None or scores is not node.inputs[0]:
            return None
        scores = scale.off(next(part for part in total.inputs if part is not mask))
    matmul = made_by(scores, "MatMul")
    if product is None or matmul is None or product.inputs[0] is not shares:
        return None
    query, key = (scale.off(value) for value in matmul.inputs)
    turned = made_by(key, "Transpose")
    if turned is not None:
        inner = scale.off(turned.inputs[0])
        if inner is not turned.inputs[0]:
            again = ir.node("Transpose", [inner], dict(turned.attributes))
            turned.graph.insert_after(turned, again)  # type: ignore[union-attr]
            key = again.outputs[0]
    parts = [query, key, product.inputs[1], mask, *scale.computed]
    return (
        product.outputs[0],
        ATTENTION,
        parts,
        {"scale": scale.number, "powers": ir.AttrInt64s("powers", scale.powers)},
    )


def _without_nan(value: ir.Value) -> ir.Value:
    """What torch.onnx makes of a softmax in case it hides every key: 0 where it is not a number."""
    readers = [use.node for use in value.uses()]
    where = next((node for node in readers if node.op_type == "Where" and node.inputs[2] is value), None)
    test = None if where is None else made_by(where.inputs[0], "IsNaN")
    if where is None or test is None or test.inputs[0] is not value or number(where.inputs[1]) != 0:
        return value
    return where.outputs[0] if len(readers) == 2 else value


def _over_last(softmax: ir.Node) -> bool:
    axis, shape = softmax.attributes.get("axis"), softmax.outputs[0].shape
    given = -1 if axis is None else axis.value
    return given == -1 or (shape is not None and given == len(shape) - 1)


class Scale:
    """A factor that was taken off several values: a number, times powers of numbers that the graph computes from shapes."""

    def __init__(self, numbers: Values) -> None:
        self._numbers = numbers
        self.number = 1.0
        self.computed: list[ir.Value | None] = []
        self.powers: list[int] = []

    def off(self, value: ir.Value | None) -> ir.Value | None:
        """What a value is a multiple of."""
        while (node := made_by(value, "Mul", "Div")) is not None:
            places = (1, 0) if node.op_type == "Mul" else (1,)
            factors = [number(part) is not None or part in self._numbers for part in node.inputs]
            place = next((i for i in places if factors[i]), None)
            if place is None:
                break
            factor, power = number(node.inputs[place]), 1 if node.op_type == "Mul" else -1
            if factor is not None:
                self.number *= factor**power
            else:
                self.computed.append(node.inputs[place])
                self.powers.append(power)
            value = node.inputs[1 - place]
        return value
