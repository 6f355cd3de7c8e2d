"""Codes to float32, for a graph that ends in an op without an epilogue:  t = f32(x - x_zp) * m,  m = s_x."""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue
from bitwright.ops.op import Array, IntegerOp, codes_of, expect_tensors


class Dequantize(IntegerOp):
    name = "dequantize"

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {"m": ("float32", (1,))})
        if output.type is not None:
            raise GraphError(f"{where}: the result must be float32")

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return epilogue.centred(xs[0], codes_of(inputs[0]), np.float32) * node.tensors["m"]
