"""Join values along one axis; `prepare` sees to it that they have one type. attrs: axis, of any kind."""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, MoveOp, integer


class Concat(MoveOp):
    name = "concat"
    joins = True
    arity = (1, 4096)
    attrs = {"axis": integer(0, 7)}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        shapes = [value.shape for value in inputs]
        axis, first = node.attrs["axis"], shapes[0]
        if axis >= len(first) or any(
            len(s) != len(first) or s[:axis] + s[axis + 1 :] != first[:axis] + first[axis + 1 :] for s in shapes
        ):
            raise GraphError(f"values of {list(shapes)} cannot be joined along axis {axis}")
        return Value((*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :]), channel=inputs[0].channel)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        count = max(map(len, xs))  # constants are there once for all images
        return np.concatenate([np.broadcast_to(x, (count, *x.shape[1:])) for x in xs], axis=node.attrs["axis"] + 1)
