"""All ops in PyTorch, one file each: `TORCH_OPS` has what a prepared model runs in place of the NumPy of `bitwright/ops/`."""

from typing import TypeVar

from torch import Tensor

from bitwright.errors import GraphError
from bitwright.graph import Node
from bitwright.prepared.ops import (
    add,
    avg_pool2d,
    batch_norm,
    clamp,
    concat,
    constant,
    conv2d,
    dequantize,
    function,
    global_avg_pool2d,
    linear,
    max_pool2d,
    mul,
    pad,
    permute,
    prelu,
    quantize,
    reshape,
    slice,
    table,
)
from bitwright.prepared.ops.op import FloatFunction, IntegerFunction, TorchOp

F = TypeVar("F")

TORCH_OPS: dict[str, TorchOp] = {
    op.name: op
    for op in (
        constant.OP,
        conv2d.OP,
        linear.OP,
        batch_norm.OP,
        add.OP,
        mul.OP,
        max_pool2d.OP,
        avg_pool2d.OP,
        global_avg_pool2d.OP,
        concat.OP,
        slice.OP,
        pad.OP,
        reshape.OP,
        permute.OP,
        clamp.OP,
        function.OP,
        prelu.OP,
        quantize.OP,
        table.OP,
        dequantize.OP,
    )
}


def float_function(op: str) -> FloatFunction:
    """The float function of an op of this name; GraphError where it has none."""
    return _expect(op, _row(op).float_function, "float function")


def integer_function(op: str) -> IntegerFunction:
    """The integer function of an op of this name; GraphError where it has none."""
    return _expect(op, _row(op).integer_function, "integer function")


def windows(node: Node, x: Tensor) -> Tensor:
    """What each number that a layer with a weight computes is a product of: [groups, K, places of all images]."""
    return _expect(node.op, _row(node.op).windows, "windows")(node, x)


def _row(op: str) -> TorchOp:
    return TORCH_OPS.get(op, TorchOp(op))


def _expect(op: str, function: F | None, what: str) -> F:
    if function is None:
        raise GraphError(
            f"op {op!r} has no {what} in PyTorch; expected it in bitwright/prepared/ops/{op}.py and in TORCH_OPS"
        )
    return function
