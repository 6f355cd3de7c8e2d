"""Numbers that belong to the model and not to the image: a class token, a position embedding. It reads nothing.

Tensors of the float op: value, float32 in the shape of the result; attrs: constant, True where training must leave it alone.
Tensors of the integer op: codes, uint8 in that shape. `run` gives one image's, [1, ...], which broadcasts over a batch.

A constant is a node because it is all that a node is: it has a name, a type that calibration chooses and a place where it comes
from, it is trained and lowered; so nothing else has to know of constants. `Graph.constants` lists them.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_tensors
from bitwright.qtensor import to_codes


class Constant(FloatOp, IntegerOp):
    name = "constant"
    parameters = ("value",)
    arity = (0, 0)
    roles = ()
    any_channel = True
    bounds_codes = True

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        array = node.tensors.get("codes", node.tensors.get("value"))
        if array is None or 0 in (array.ndim, array.size):
            raise GraphError("a constant needs numbers, and at least one axis")
        return Value(array.shape)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        codes = to_codes(np.asarray(node.tensors["value"], np.float64), codes_of(output))
        return Node(node.name, self.name, (), {}, {"codes": codes}, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {"codes": ("uint8", output.shape)})
        if output.type is None:
            raise GraphError(f"{where}: the result must be codes")
        if int(node.tensors["codes"].max()) > output.type.codes.hi:
            raise GraphError(f"{where}: an entry is not a {output.type.scheme} code")

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return node.tensors["codes"][None]
