"""Norms that exporters take apart."""

from typing import Any

import onnx_ir as ir

from bitwright.capture.onnx.matching import constant, made_by, number, only_reader, operands

NORM = "_LayerNorm"


def layer_norm(node: ir.Node) -> Any:
    """(x - mean) / sqrt(mean((x - mean)^2) + eps), over the last axis, times gain plus shift."""
    spread = _spread(node)
    centred = made_by(node.inputs[0], "Sub") if spread is not None else None
    if centred is None or spread is None:
        return None
    x, mean = centred.inputs
    variance, eps = spread
    square = _square(variance.inputs[0])
    mean_of = made_by(mean, "ReduceMean")
    same = square is not None and (square is centred or list(square.inputs) == list(centred.inputs))
    if not same or mean_of is None or mean_of.inputs[0] is not x or not _last(mean_of) or not _last(variance):
        return None
    end, parts = node.outputs[0], [x]
    for op in ("Mul", "Add"):
        follower = only_reader(end, op)
        given = None if follower is None else operands(follower)[1]
        found = constant(given)
        if follower is None or found is None or found.size not in (1, *found.shape[-1:]):
            break
        end = follower.outputs[0]
        parts.append(given)
    return end, NORM, parts, {"epsilon": eps}


def _spread(node: ir.Node) -> tuple[ir.Node, float] | None:
    """Of x / sqrt(mean + eps), or x * (1 / sqrt(mean + eps)): the mean, and eps."""
    below = node.inputs[1] if node.op_type in ("Div", "Mul") else None
    if node.op_type == "Mul":
        inverse = made_by(below, "Reciprocal", "Div")
        if inverse is None or (inverse.op_type == "Div" and number(inverse.inputs[0]) != 1):
            return None
        below = inverse.inputs[-1]
    root = made_by(below, "Sqrt")
    total = None if root is None else made_by(root.inputs[0], "Add")
    if total is None:
        return None
    mean, eps = operands(total)
    variance, value = made_by(mean, "ReduceMean"), number(eps)
    return None if variance is None or value is None else (variance, value)


def _square(value: ir.Value | None) -> ir.Node | None:
    """The difference that a value is the square of."""
    node = made_by(value, "Pow", "Mul")
    if node is None or (number(node.inputs[1]) != 2 if node.op_type == "Pow" else node.inputs[0] is not node.inputs[1]):
        return None
    return made_by(node.inputs[0], "Sub")


def _last(mean: ir.Node) -> bool:
    """Whether a mean is over the last axis alone, and keeps it."""
    given = constant(mean.inputs[1]) if len(mean.inputs) > 1 else None
    attribute = mean.attributes.get("axes")
    axes = list(attribute.value) if attribute is not None else [] if given is None else given.reshape(-1).tolist()
    shape = mean.inputs[0].shape if mean.inputs[0] is not None else None
    keeps = mean.attributes.get("keepdims")
    return (keeps is None or keeps.value == 1) and axes in ([-1], [] if shape is None else [len(shape) - 1])


def group_norm(node: ir.Node) -> Any:
    """Of groups as the channels of an instance norm without factors, then times gain plus shift for each channel."""
    apart = made_by(node.inputs[0], "Reshape") if node.op_type == "InstanceNormalization" else None
    together = only_reader(node.outputs[0], "Reshape")
    if apart is None or together is None:
        return None
    x, sizes = apart.inputs[0], constant(apart.inputs[1])
    gain, shift = (constant(value) for value in node.inputs[1:3])
    shape = made_by(together.inputs[1], "Shape")
    if sizes is None or sizes.shape != (3,) or sizes[2] != -1 or shape is None or shape.inputs[0] is not x:
        return None
    if gain is None or shift is None or (gain != 1).any() or shift.any():
        return None
    times = only_reader(together.outputs[0], "Mul")
    plus = None if times is None else only_reader(times.outputs[0], "Add")
    if times is None or plus is None:
        return None
    factors = [operands(times)[1], operands(plus)[1]]
    for value in factors:
        found = constant(value)
        if found is None or found.ndim < 3 or found.size != found.shape[-3]:
            return None
    eps = node.attributes.get("epsilon")
    attributes = {"num_groups": int(sizes[1]), "epsilon": 1e-5 if eps is None else eps.value}
    return plus.outputs[0], "GroupNormalization", [x, *factors], attributes
