"""The tables of ops, and what the rest asks of a node's op. A newcomer is one file here and one line below (and its PyTorch
side in `prepared/ops/`); a function of one number is one line in `functions.py`.

Nothing outside asks for an op by its name: what matters of it is a trait, described in `op.py`, and what an operand is for
is its role.
"""

from bitwright.errors import GraphError
from bitwright.graph import Node
from bitwright.ops.add import Add
from bitwright.ops.attention import Attention
from bitwright.ops.avg_pool2d import AvgPool2d
from bitwright.ops.batch_norm import BatchNorm
from bitwright.ops.clamp import Clamp
from bitwright.ops.concat import Concat
from bitwright.ops.constant import Constant
from bitwright.ops.conv2d import Conv2d
from bitwright.ops.dequantize import Dequantize
from bitwright.ops.function import Function
from bitwright.ops.global_avg_pool2d import GlobalAvgPool2d
from bitwright.ops.group_norm import GroupNorm
from bitwright.ops.layer_norm import LayerNorm
from bitwright.ops.linear import Linear
from bitwright.ops.max_pool2d import MaxPool2d
from bitwright.ops.mul import Mul
from bitwright.ops.op import FloatOp, IntegerOp, Op
from bitwright.ops.pad import Pad
from bitwright.ops.permute import Permute
from bitwright.ops.prelu import Prelu
from bitwright.ops.quantize import Quantize
from bitwright.ops.reshape import Reshape
from bitwright.ops.slice import Slice
from bitwright.ops.table import Table

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Constant(),
        Conv2d(),
        Linear(),
        BatchNorm(),
        GroupNorm(),
        LayerNorm(),
        Attention(),
        Add(),
        Mul(),
        MaxPool2d(),
        AvgPool2d(),
        GlobalAvgPool2d(),
        Concat(),
        Slice(),
        Pad(),
        Reshape(),
        Permute(),
        Clamp(),
        Function(),
        Prelu(),
        Quantize(),
        Table(),
        Dequantize(),
    )
}
FLOAT_OPS: dict[str, FloatOp] = {name: op for name, op in OPS.items() if isinstance(op, FloatOp)}
INTEGER_OPS: dict[str, IntegerOp] = {name: op for name, op in OPS.items() if isinstance(op, IntegerOp)}


def float_op(node: Node) -> FloatOp:
    """The float op of a node; GraphError where there is none of that name."""
    if node.op not in FLOAT_OPS:
        raise GraphError(f"node {node.name!r}: {node.op!r} is no float op; expected one of {', '.join(FLOAT_OPS)}")
    return FLOAT_OPS[node.op]


def integer_op(node: Node) -> IntegerOp:
    """The integer op of a node; GraphError where there is none of that name."""
    if node.op not in INTEGER_OPS:
        raise GraphError(f"node {node.name!r}: {node.op!r} is no integer op; expected one of {', '.join(INTEGER_OPS)}")
    return INTEGER_OPS[node.op]


def source(node: Node) -> str:
    """The value whose codes a node computes with, besides residuals and factors; the first where there are several."""
    return OPS[node.op].main(node.inputs)


def operand(node: Node, role: str) -> str | None:
    """The value that a node reads in this role; None where it reads none."""
    return OPS[node.op].find(role, node.inputs)


def roles_of(node: Node, value: str) -> set[str]:
    """The roles in which a node reads a value."""
    return {OPS[node.op].role(i) for i, name in enumerate(node.inputs) if name == value}


__all__ = [
    "FLOAT_OPS",
    "INTEGER_OPS",
    "OPS",
    "FloatOp",
    "IntegerOp",
    "Op",
    "float_op",
    "integer_op",
    "operand",
    "roles_of",
    "source",
]
