"""Average of each window.

    acc  = sum of x, centred, over the taps inside the image
    t    = f32(acc) * m[y, x]
    code = clip(rint(t + y_zp / y_step), 0, greatest)

m = s_x / (s_y * y_step * divisor). m is [1, 1], or [OH, OW] where windows have different divisors (count_include_pad=False,
or ceil_mode at the border). attrs: kernel, stride (h, w); padding (top, left, bottom, right).
Float nodes also have the tensor `divisor` [OH, OW].
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue, window
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, exact_dtype, expect_tensors, float32


class AvgPool2d(FloatOp, IntegerOp):
    name = "avg_pool2d"
    keeps_sign = True
    keeps_mean = True
    writes_float = True
    attrs = {"kernel": window.KERNEL, "stride": window.STRIDE, "padding": window.PADDING}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        planes, a = window.expect_planes(inputs[0], self.name), node.attrs
        return Value((planes[0], *window.output_size(planes, a["kernel"], a["stride"], a["padding"])))

    def channel_of(self, shape: Shape) -> int | None:
        return 0

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        divisor = np.asarray(node.tensors["divisor"], np.float64)
        if (divisor == divisor.flat[0]).all():
            divisor = divisor[:1, :1]
        m = float32(codes_of(inputs[0]).one_scale / (epilogue.out_unit(output) * divisor))
        attrs = {k: node.attrs[k] for k in self.attrs}
        return Node(node.name, self.name, node.inputs, attrs, {"m": m}, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        shape = (1, 1) if node.tensors.get("m", np.empty(0)).shape == (1, 1) else output.shape[1:]
        expect_tensors(node, where, {"m": ("float32", shape)})
        if node.attrs["kernel"][0] * node.attrs["kernel"][1] > 2**22:
            raise GraphError(f"{where}: a window of {node.attrs['kernel']} could overflow int32")

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        a, size = node.attrs, (output.shape[1], output.shape[2])
        dtype = exact_dtype(a["kernel"][0] * a["kernel"][1] * codes_of(inputs[0]).reach)
        padded = window.pad(epilogue.centred(xs[0], inputs[0], dtype), a["padding"], 0)
        taps = [
            window.tap(padded, i, j, size, a["stride"]) for i in range(a["kernel"][0]) for j in range(a["kernel"][1])
        ]
        return average(sum(taps[1:], taps[0]), node, output)


def average(acc: Array, node: Node, output: Value) -> Array:
    """Turns a sum into codes, or into float32."""
    t = epilogue.with_zero_point(acc.astype(np.float32) * node.tensors["m"], output)
    if output.type is None:
        return t
    return np.clip(np.rint(t), np.float32(0), np.float32(output.type.codes.hi)).astype(np.uint8)
