"""Largest code of each window, of those inside the image. Codes grow with reals, so the type stays.

attrs: kernel, stride, dilation (h, w); padding (top, left, bottom, right). ceil_mode is captured as more padding.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.graph import Node, Shape, Value
from bitwright.ops import window
from bitwright.ops.op import Array, SameTypeOp


class MaxPool2d(SameTypeOp):
    name = "max_pool2d"
    attrs = {"kernel": window.KERNEL, "stride": window.STRIDE, "padding": window.PADDING, "dilation": window.STRIDE}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        planes, a = window.expect_planes(inputs[0], self.name), node.attrs
        channels, *size = planes
        found = window.output_size(planes, a["kernel"], a["stride"], a["padding"], a["dilation"])
        for axis in (0, 1):
            kernel, stride, dilation = (a[key][axis] for key in ("kernel", "stride", "dilation"))
            window.expect_inside(size[axis], kernel, stride, a["padding"][axis], found[axis], dilation)
        return Value((channels, *found))

    def channel_of(self, shape: Shape) -> int | None:
        return 0

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        a, size = node.attrs, (output.shape[1], output.shape[2])
        padded = window.pad(xs[0], a["padding"], 0)  # 0 is the least code, so it never wins
        result = window.tap(padded, 0, 0, size, a["stride"]).copy()
        for i in range(a["kernel"][0]):
            for j in range(a["kernel"][1]):
                np.maximum(result, window.tap(padded, i, j, size, a["stride"], a["dilation"]), out=result)
        return result
