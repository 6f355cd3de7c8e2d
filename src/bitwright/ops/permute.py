"""The same codes with axes in another order. attrs: dims; axis i of the result is axis dims[i] of the input.

The channel goes where its axis goes. With dims in order all it does is to give the result another channel, and so another place
in memory.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, MoveOp


def _permutation(value: Any) -> bool:
    return isinstance(value, tuple) and {*map(type, value)} == {int} and sorted(value) == [*range(len(value))]


class Permute(MoveOp):
    name = "permute"
    attrs = {"dims": _permutation}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        dims, x = node.attrs["dims"], inputs[0]
        if len(dims) != len(x.shape):
            raise GraphError(f"expected a permutation of the axes of {x.shape}, found {dims}")
        return Value(tuple(x.shape[d] for d in dims), channel=dims.index(x.channel))

    def compose(self, first: Node, second: Node) -> Node:
        dims = tuple(first.attrs["dims"][d] for d in second.attrs["dims"])
        return replace(second.with_attrs(dims=dims), inputs=first.inputs)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return xs[0].transpose(0, *(d + 1 for d in node.attrs["dims"]))
