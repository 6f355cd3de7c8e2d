"""Sum of two values that no convolution takes in.

    t    = f32(a) * m_a + f32(b) * m_b                    three roundings to float32; a, b centred
    code = clip(rint(t + y_zp / y_step), lo, hi)           one more

m_a = s_a / (s_y * y_step), m_b = s_b / (s_y * y_step).
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import epilogue
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_one_channel, expect_tensors, float32


class Add(FloatOp, IntegerOp):
    name = "add"
    has_epilogue = True
    sums = True
    keeps_sign = True
    writes_float = True
    arity = (2, 2)
    roles = ("codes", "addend")
    attrs = epilogue.BOUNDS

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        a, b = inputs
        if a.shape != b.shape:
            raise GraphError(f"add needs two inputs of one shape, found {a.shape} and {b.shape}")
        expect_one_channel(self.name, inputs)
        return Value(a.shape, channel=a.channel)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        unit = epilogue.out_unit(output)
        m_a, m_b = (float32(codes_of(x).one_scale / unit) for x in inputs)
        attrs = epilogue.bounds(node, output)
        return Node(node.name, self.name, node.inputs, attrs, {"m_a": m_a, "m_b": m_b}, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {"m_a": ("float32", (1,)), "m_b": ("float32", (1,))})
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        a, b = (epilogue.centred(x, value, np.float32) for x, value in zip(xs, inputs, strict=True))
        t = a * node.tensors["m_a"] + b * node.tensors["m_b"]
        return epilogue.store(epilogue.with_zero_point(t, output), node, output)
