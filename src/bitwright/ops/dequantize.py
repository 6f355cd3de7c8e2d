"""Codes to float32, for a graph that ends in an op without an epilogue:  t = f32(x) * m, x centred,  m = s_x."""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import epilogue
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_tensors, float32


class Dequantize(FloatOp, IntegerOp):
    name = "dequantize"
    writes_float = True

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        return Value(inputs[0].shape, channel=inputs[0].channel)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        m = float32(codes_of(inputs[0]).one_scale)
        return Node(node.name, self.name, node.inputs, {}, {"m": m}, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {"m": ("float32", (1,))})
        if output.type is not None:
            raise GraphError(f"{where}: the result must be float32")

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        t: Array = epilogue.centred(xs[0], inputs[0], np.float32) * node.tensors["m"]
        return t
