"""2-d convolution of codes with weight codes, with the whole epilogue: batch norm, residual, relu.

    acc[n, o, y, x] = sum over c, i, j of x * w         exact in int32; x centred, padding is 0
    code            = epilogue(acc)                      see epilogue.py

Float tensors: weight [O, I/g, kh, kw], bias [O], bn_weight, bn_bias, bn_mean, bn_var [O], weight_scale float64 [O].
Integer tensors: weight int8 [O, I/g, kh, kw], m and b float32 [O], m_r float32 [1] with a residual (the second input).
With w_real = s_w[o] * w:  m = s_x * s_w * gain / (s_y * y_step),  b = (shift / s_y + y_zp) / y_step  (gain, shift: bias and
batch norm). x centred is x_step * code - x_zp.
On the image, whose scale and offset are per channel, scales go into the weight before it is quantized, offsets into b.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue, window
from bitwright.ops.op import (
    Array,
    FloatOp,
    IntegerOp,
    codes_of,
    exact_dtype,
    integer,
    tensor,
    worst_case,
)
from bitwright.ops.weights import WEIGHTS, check_layer, quantize_weight, with_residual
from bitwright.qtensor import QType


class Conv2d(FloatOp, IntegerOp):
    name = "conv2d"
    parameters = ("weight", "bias", "bn_weight", "bn_bias")
    weighted = True
    has_epilogue = True
    folds_image = True
    smoothable = True
    writes_float = True
    arity = (1, 2)
    roles = ("codes", "residual")
    takes_image = True
    attrs = {
        "stride": window.STRIDE,
        "padding": window.PADDING,
        "dilation": window.STRIDE,
        "groups": integer(1, 2**20),
        "weights": WEIGHTS,
        **epilogue.BOUNDS,
    }

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        planes = window.expect_planes(inputs[0], self.name)
        channels = planes[0]
        weight, groups = tensor(node, "weight"), node.attrs["groups"]
        if weight.ndim != 4 or 0 in weight.shape:
            raise GraphError(f"expected a weight of [O, I/g, kh, kw], found {weight.shape}")
        out, per_group, *kernel = weight.shape
        if per_group * groups != channels or out % groups:
            raise GraphError(f"a weight of {weight.shape} in {groups} groups does not fit {channels} channels")
        stride, padding, dilation = (node.attrs[k] for k in ("stride", "padding", "dilation"))
        size = window.output_size(planes, (kernel[0], kernel[1]), stride, padding, dilation)
        window.expect_room(channels * kernel[0] * kernel[1] * size[0] * size[1], "the windows of a convolution")
        return with_residual(Value((out, *size)), self.find("residual", inputs))

    def channel_of(self, shape: Shape) -> int | None:
        return 0

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        x = codes_of(inputs[0])
        weight, s_w = np.asarray(node.tensors["weight"], np.float64), node.tensors["weight_scale"]
        out = weight.shape[0]
        gain, shift = epilogue.channel_affine(node, out)
        s_x = 1.0 if x.per_channel else x.one_scale
        codes = quantize_weight(weight * image_scale(x, out, node.attrs["groups"]), s_w, node.attrs["weights"])
        if x.per_channel:
            per_pixel = np.asarray(x.offset) / np.asarray(x.scale)
            shift = shift + gain * s_w * (codes * per_input(per_pixel, out, node.attrs["groups"])).sum(axis=(1, 2, 3))
        tensors: dict[str, Array] = {
            "weight": codes,
            **epilogue.multipliers(gain * s_w * s_x, shift, output, self.find("residual", inputs)),
        }
        kept = {k: node.attrs[k] for k in ("stride", "padding", "dilation", "groups", "weights")}
        return Node(
            node.name, self.name, node.inputs, {**kept, **epilogue.bounds(node, output)}, tensors, origin=node.origin
        )

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        residual = self.find("residual", inputs)
        if residual is not None and codes_of(residual).per_channel:
            raise GraphError(f"{where}: the residual must have one zero point")
        check_layer(self, node, inputs, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        weight, groups = node.tensors["weight"], node.attrs["groups"]
        dtype = exact_dtype(worst_case(weight, codes_of(inputs[0])))
        x = window.pad(epilogue.centred(xs[0], inputs[0], dtype), node.attrs["padding"], 0)
        out, _, *kernel = weight.shape
        size = output.shape[1], output.shape[2]
        cols = window.columns(x, (kernel[0], kernel[1]), size, node.attrs["stride"], node.attrs["dilation"])
        k = weight[0].size
        acc = weight.reshape(groups, out // groups, k).astype(dtype) @ cols.reshape(groups, k, -1)
        acc = acc.reshape(out, len(x), *size).transpose(1, 0, 2, 3)
        return epilogue.per_channel(acc, node, output, self.find("residual", list(zip(xs, inputs, strict=True))))


def image_scale(x: QType, out: int, groups: int) -> npt.NDArray[np.float64]:
    """What to multiply a weight [O, I/g, kh, kw] by before it is quantized: the image's scales, or 1."""
    return per_input(np.asarray(x.scale, np.float64), out, groups) if x.per_channel else np.ones((1, 1, 1, 1))


def per_input(values: npt.NDArray[np.float64], out: int, groups: int) -> npt.NDArray[np.float64]:
    """Values per input channel [C], laid along a weight: [O, C/g, 1, 1]."""
    return np.repeat(values.reshape(groups, -1), out // groups, axis=0)[:, :, None, None]
