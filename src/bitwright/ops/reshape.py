"""The same codes in row-major order under another shape (per image). attrs: shape. Flatten is a reshape."""

import math
from collections.abc import Sequence
from typing import Any

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.op import Array, SameTypeOp


def _shape(value: Any) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= 8 and all(type(i) is int and 0 < i <= 2**31 for i in value)


class Reshape(SameTypeOp):
    name = "reshape"
    takes_float = True
    attrs = {"shape": _shape}

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        shape: Shape = node.attrs["shape"]
        if math.prod(shape) != math.prod(shapes[0]):
            raise GraphError(f"{shapes[0]} cannot be reshaped to {shape}")
        return shape

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return xs[0].reshape(len(xs[0]), *node.attrs["shape"])
