"""Join values along one axis; `prepare` sees to it that they have one type. attrs: axis (0 is the channel)."""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.op import Array, SameTypeOp, integer


class Concat(SameTypeOp):
    name = "concat"
    arity = (1, 4096)
    attrs = {"axis": integer(0, 7)}

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        axis, first = node.attrs["axis"], shapes[0]
        if axis >= len(first) or any(
            len(s) != len(first) or s[:axis] + s[axis + 1 :] != first[:axis] + first[axis + 1 :] for s in shapes
        ):
            raise GraphError(f"values of {list(shapes)} cannot be joined along axis {axis}")
        return (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return np.concatenate(xs, axis=node.attrs["axis"] + 1)
