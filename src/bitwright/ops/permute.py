"""The same codes with axes in another order. attrs: dims; axis i of the result is axis dims[i] of the input."""

from collections.abc import Sequence
from typing import Any

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.op import Array, SameTypeOp


def _permutation(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(i) is int for i in value) and sorted(value) == list(range(len(value)))


class Permute(SameTypeOp):
    name = "permute"
    attrs = {"dims": _permutation}

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        dims = node.attrs["dims"]
        if len(dims) != len(shapes[0]):
            raise GraphError(f"expected a permutation of the axes of {shapes[0]}, found {dims}")
        return tuple(shapes[0][d] for d in dims)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return xs[0].transpose(0, *(d + 1 for d in node.attrs["dims"]))
