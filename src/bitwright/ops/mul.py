"""Product of two values; the second may be one number per channel (squeeze-and-excite).

    t    = f32(a * b) * m                            a, b centred; the integer product is exact
    code = clip(rint(t + y_zp / y_step), lo, hi)

m = s_a * s_b / (s_y * y_step). b has the shape of a, or 1 on every axis but the channel.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import epilogue
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_one_channel, expect_tensors, float32


class Mul(FloatOp, IntegerOp):
    name = "mul"
    has_epilogue = True
    keeps_sign = True
    writes_float = True
    arity = (2, 2)
    roles = ("codes", "factor")
    attrs = epilogue.BOUNDS

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        a, b = inputs
        expect_one_channel(self.name, inputs)
        if b.shape not in (a.shape, tuple(n if axis == a.channel else 1 for axis, n in enumerate(a.shape))):
            raise GraphError(f"mul needs a second input of {a.shape}, or of one number per channel; found {b.shape}")
        return Value(a.shape, channel=a.channel)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        s_a, s_b = (codes_of(x).one_scale for x in inputs)
        tensors = {"m": float32(s_a * s_b / epilogue.out_unit(output))}
        return Node(node.name, self.name, node.inputs, epilogue.bounds(node, output), tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {"m": ("float32", (1,))})
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        a, b = (epilogue.centred(x, value, np.float32) for x, value in zip(xs, inputs, strict=True))
        product = a * b + np.float32(0)  # the contract's product is an integer, which has no negative zero
        return epilogue.store(epilogue.with_zero_point(product * node.tensors["m"], output), node, output)
