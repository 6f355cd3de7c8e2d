"""What exporters take apart is put together again: layer norms, attention, a layer and its bias.

The ops that are made here have names of their own, which `table.py` knows and no file can hold.
"""

from collections.abc import Callable, Collection, Set
from functools import partial
from typing import Any

import numpy.typing as npt
import onnx_ir as ir
from onnxscript.optimizer import remove_unused_nodes

from bitwright.capture.onnx.call import as_written
from bitwright.capture.onnx.sizes import SIZES

LINEAR, CONV, NORM, ATTENTION = "_Linear", "_Conv", "_LayerNorm", "_Attention"


def recognise(model: ir.Model, stored: Collection[str]) -> None:
    """Replace every idiom in the graph by one node.

    Biases of zeros go that are not `stored` in the file: torch.onnx has them computed for convolutions without one.
    """
    for node in model.graph:
        value = node.inputs[2] if node.op_type == "Conv" and len(node.inputs) > 2 else None
        bias = constant(value)
        if value is not None and bias is not None and not bias.any() and value.name not in stored:
            node.resize_inputs(2)
    for match in (_linear, _conv_bias, _layer_norm, partial(_attention, *_of_shapes(model.graph))):
        _apply(model.graph, match)
    remove_unused_nodes(model)


Match = Callable[[ir.Node], "tuple[ir.Value, str, list[ir.Value | None], dict[str, Any]] | None"]
"""From a node that surely belongs to it: the value that is computed, and the op, operands and attributes in its place."""


def _apply(graph: ir.Graph, match: Match) -> None:
    for node in list(graph):
        found = match(node)
        if found is None:
            continue
        value, op, operands, attributes = found
        last = value.producer()
        if last is None:
            continue
        made = ir.node(op, operands, attributes, name=last.name, metadata_props=dict(last.metadata_props))
        made.outputs[0].name, value.name = value.name, f"{value.name}.apart"
        made.outputs[0].shape = value.shape
        graph.insert_after(last, made)
        ir.convenience.replace_all_uses_with(value, made.outputs[0], replace_graph_outputs=True)


def constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """What a value holds that belongs to the model; None where it is computed."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def number(value: ir.Value | None) -> float | None:
    """The one number that a value holds; None where it is something else."""
    found = constant(value)
    return as_written(found.reshape(-1)[0]) if found is not None and found.size == 1 else None


def _made_by(value: ir.Value | None, *ops: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in ops else None


def _operands(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """The computed operand of a sum or product, and the constant one; (None, None) where there are no such two."""
    first, second = node.inputs
    if constant(second) is not None:
        return first, second
    return (second, first) if constant(first) is not None else (None, None)


def _only_reader(value: ir.Value, op: str) -> ir.Node | None:
    uses = value.uses()
    node = next(iter(uses)).node if len(uses) == 1 and not value.is_graph_output() else None
    return node if node is not None and node.op_type == op else None


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
    if node.op_type != "MatMul" or (add := _only_reader(node.outputs[0], "Add")) is None:
        return None
    weight, rows = node.inputs[1], 0
    turned = _made_by(weight, "Transpose")
    if turned is not None and "perm" in turned.attributes and list(turned.attributes["perm"].value) == [1, 0]:
        weight, rows = turned.inputs[0], 1
    matrix = constant(weight)
    _, bias = _operands(add)
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
    if weight is None or (add := _only_reader(node.outputs[0], "Add")) is None:
        return None
    _, bias = _operands(add)
    found = constant(bias)
    if found is None or found.ndim < 3 or found.shape[-3] != len(weight) or found.size != len(weight):
        return None
    return add.outputs[0], CONV, [*node.inputs, bias], {**node.attributes}


def _layer_norm(node: ir.Node) -> Any:
    """(x - mean) / sqrt(mean((x - mean)^2) + eps), over the last axis, times gain plus shift."""
    spread = _spread(node)
    centred = _made_by(node.inputs[0], "Sub") if spread is not None else None
    if centred is None or spread is None:
        return None
    x, mean = centred.inputs
    variance, eps = spread
    square = _square(variance.inputs[0])
    mean_of = _made_by(mean, "ReduceMean")
    same = square is not None and (square is centred or list(square.inputs) == list(centred.inputs))
    if not same or mean_of is None or mean_of.inputs[0] is not x or not _last(mean_of) or not _last(variance):
        return None
    end, operands = node.outputs[0], [x]
    for op in ("Mul", "Add"):
        follower = _only_reader(end, op)
        given = None if follower is None else _operands(follower)[1]
        found = constant(given)
        if follower is None or found is None or found.ndim == 0 or found.size != found.shape[-1]:
            break
        end = follower.outputs[0]
        operands.append(given)
    return end, NORM, operands, {"epsilon": eps}


def _spread(node: ir.Node) -> tuple[ir.Node, float] | None:
    """Of x / sqrt(mean + eps), or x * (1 / sqrt(mean + eps)): the mean, and eps."""
    below = node.inputs[1] if node.op_type in ("Div", "Mul") else None
    if node.op_type == "Mul":
        inverse = _made_by(below, "Reciprocal", "Div")
        if inverse is None or (inverse.op_type == "Div" and number(inverse.inputs[0]) != 1):
            return None
        below = inverse.inputs[-1]
    root = _made_by(below, "Sqrt")
    total = None if root is None else _made_by(root.inputs[0], "Add")
    if total is None:
        return None
    mean, eps = _operands(total)
    variance, value = _made_by(mean, "ReduceMean"), number(eps)
    return None if variance is None or value is None else (variance, value)


def _square(value: ir.Value | None) -> ir.Node | None:
    """The difference that a value is the square of."""
    node = _made_by(value, "Pow", "Mul")
    if node is None or (number(node.inputs[1]) != 2 if node.op_type == "Pow" else node.inputs[0] is not node.inputs[1]):
        return None
    return _made_by(node.inputs[0], "Sub")


def _last(mean: ir.Node) -> bool:
    """Whether a mean is over the last axis alone, and keeps it."""
    given = constant(mean.inputs[1]) if len(mean.inputs) > 1 else None
    attribute = mean.attributes.get("axes")
    axes = list(attribute.value) if attribute is not None else [] if given is None else given.reshape(-1).tolist()
    shape = mean.inputs[0].shape if mean.inputs[0] is not None else None
    keeps = mean.attributes.get("keepdims")
    return (keeps is None or keeps.value == 1) and axes in ([-1], [] if shape is None else [len(shape) - 1])


def _attention(once: Values, numbers: Values, node: ir.Node) -> Any:
    """softmax(scale * query key^T + mask) value, the mask of values of `once`, the scale also of `numbers`.

    The scale may be shared between query and key.
    """
    if node.op_type != "Softmax" or not _over_last(node):
        return None
    shares = _without_nan(node.outputs[0])
    product = _only_reader(shares, "MatMul")
    scale = Scale(numbers)
    scores = scale.off(node.inputs[0])
    mask = None
    if (total := _made_by(scores, "Add")) is not None:
        mask = next((part for part in total.inputs if constant(part) is not None or part in once), None)
        if mask is None:
            return None
        scores = scale.off(next(part for part in total.inputs if part is not mask))
    matmul = _made_by(scores, "MatMul")
    if product is None or matmul is None or product.inputs[0] is not shares:
        return None
    query, key = (scale.off(value) for value in matmul.inputs)
    turned = _made_by(key, "Transpose")
    if turned is not None:
        inner = scale.off(turned.inputs[0])
        if inner is not turned.inputs[0]:
            again = ir.node("Transpose", [inner], dict(turned.attributes))
            turned.graph.insert_after(turned, again)  # type: ignore[union-attr]
            key = again.outputs[0]
    operands = [query, key, product.inputs[1], mask, *scale.computed]
    return (
        product.outputs[0],
        ATTENTION,
        operands,
        {"scale": scale.number, "powers": ir.AttrInt64s("powers", scale.powers)},
    )


def _without_nan(value: ir.Value) -> ir.Value:
    """What torch.onnx makes of a softmax in case it hides every key: 0 where it is not a number."""
    readers = [use.node for use in value.uses()]
    where = next((node for node in readers if node.op_type == "Where" and node.inputs[2] is value), None)
    test = None if where is None else _made_by(where.inputs[0], "IsNaN")
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
        while (node := _made_by(value, "Mul", "Div")) is not None:
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
