"""Average of each whole plane: [C, H, W] to [C, 1, 1].

    acc  = sum of x, centred
    t    = f32(acc) * m;   code = clip(rint(t + y_zp / y_step), 0, greatest)

m = s_x / (s_y * y_step * H * W).
"""

from collections.abc import Sequence

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue, window
from bitwright.ops.avg_pool2d import average
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, exact_dtype, expect_tensors, float32


class GlobalAvgPool2d(FloatOp, IntegerOp):
    name = "global_avg_pool2d"
    keeps_sign = True
    keeps_mean = True
    writes_float = True

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        channels, height, width = window.expect_planes(inputs[0], self.name)
        if height * width > 2**22:
            raise GraphError(f"a plane of {height} x {width} could overflow int32")
        return Value((channels, 1, 1))

    def channel_of(self, shape: Shape) -> int | None:
        return 0

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        _, height, width = inputs[0].shape
        m = codes_of(inputs[0]).one_scale / (epilogue.out_unit(output) * height * width)
        return Node(node.name, self.name, node.inputs, {}, {"m": float32(m)}, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {"m": ("float32", (1,))})

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        _, height, width = inputs[0].shape
        dtype = exact_dtype(height * width * codes_of(inputs[0]).reach)
        return average(epilogue.centred(xs[0], inputs[0], dtype).sum(axis=(2, 3), keepdims=True), node, output)
