"""All ops in PyTorch: `TORCH_OPS` has what a prepared model runs in place of the NumPy of `bitwright/ops/`.

The table of ops is that of `bitwright/ops/`. Each has a file of its name here too, which is all that it takes.
"""

import importlib
from typing import TypeVar

from torch import Tensor

from bitwright.errors import GraphError
from bitwright.graph import Node
from bitwright.ops import OPS
from bitwright.prepared.ops.op import FloatFunction, IntegerFunction, TorchOp

F = TypeVar("F")


def load(op: str) -> TorchOp:
    """`OP` of the file that has the name of an op; GraphError where there is none."""
    try:
        found = importlib.import_module(f"{__name__}.{op}").OP
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{op}":
            raise
        raise GraphError(f"op {op!r} has no file in PyTorch; expected bitwright/prepared/ops/{op}.py") from error
    assert isinstance(found, TorchOp)
    return found


TORCH_OPS = {name: load(name) for name in OPS}


def float_function(op: str) -> FloatFunction:
    """The float function of an op of this name; GraphError where it has none."""
    return _expect(op, _row(op).float_function, "float function")


def integer_function(op: str) -> IntegerFunction:
    """The integer function of an op of this name; GraphError where it has none."""
    return _expect(op, _row(op).integer_function, "integer function")


def rounds(op: str) -> bool:
    """Whether the float function of this op also rounds its result."""
    return _row(op).rounds


def windows(node: Node, x: Tensor) -> Tensor:
    """What each number that a layer with a weight computes is a product of: [groups, K, places of all images]."""
    return _expect(node.op, _row(node.op).windows, "windows")(node, x)


def _row(op: str) -> TorchOp:
    return TORCH_OPS.get(op, TorchOp(op))


def _expect(op: str, function: F | None, what: str) -> F:
    if function is None:
        raise GraphError(f"op {op!r} has no {what} in PyTorch; expected one in bitwright/prepared/ops/{op}.py")
    return function
