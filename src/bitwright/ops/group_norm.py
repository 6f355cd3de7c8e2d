"""Each group of neighbouring channels of an image brought to mean 0 and variance 1, then a gain and a shift per channel. With
one channel a group it is an instance norm. Wu & He 2018, "Group Normalization".

Over the n = C / groups * H * W numbers c of a group, centred codes:

    S1 = sum c,  S2 = sum c^2                        exact in int64, in any order
    V  = n * S2 - S1^2                               exact in int64: n^2 times the variance
    r  = f32(1 / sqrt(f64(V) + f64(e)))              each operation rounded to float64, r once more to float32
    t  = f32(n * c - S1) * r                         the integer fits int32; the product is rounded to float32
    code = epilogue(t)                               t in place of f32(acc); see epilogue.py; m = gain / (s_y * y_step)

e = eps * n^2 / s_x^2 is eps in the unit of V. A zero point cancels in V and in n * c - S1. n <= 2^23 keeps 255 * n within int32
and n * S2 within int64. Float tensors: bn_weight, bn_bias [C].
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue, window
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_tensors, float32, integer

MOST_NUMBERS = 2**23
LEAST_E = 1e-6
"""V is an integer, and where it is 0 so are all n * c - S1: no smaller e changes any t."""


class GroupNorm(FloatOp, IntegerOp):
    name = "group_norm"
    parameters = ("bn_weight", "bn_bias")
    has_epilogue = True
    multiplies = False
    smoothable = True
    writes_float = True
    attrs = {"groups": integer(1), **epilogue.BOUNDS}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        channels, height, width = window.expect_planes(inputs[0], self.name)
        groups = node.attrs["groups"]
        if channels % groups:
            raise GraphError(f"{groups} groups do not divide {channels} channels")
        if channels // groups * height * width > MOST_NUMBERS:
            raise GraphError(f"a group of {channels // groups} x {height} x {width} numbers could overflow int32")
        for key in ("m", "b", "bn_weight", "bn_bias"):
            if key in node.tensors and node.tensors[key].shape != (channels,):
                raise GraphError(f"expected {key} of {(channels,)}, found {node.tensors[key].shape}")
        return Value(inputs[0].shape)

    def channel_of(self, shape: Shape) -> int | None:
        return 0

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        gain, shift = (np.asarray(node.tensors[key], np.float64) for key in ("bn_weight", "bn_bias"))
        n = inputs[0].channels // node.attrs["groups"] * inputs[0].pixels
        e = node.attrs["eps"] * (n / codes_of(inputs[0]).one_scale) ** 2
        tensors = {"e": float32(max(e, LEAST_E)), **epilogue.multipliers(gain, shift, output)}
        attrs = {"groups": node.attrs["groups"], **epilogue.bounds(node, output)}
        return Node(node.name, self.name, node.inputs, attrs, tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, norm_tensors(output))
        if node.tensors["e"][0] <= 0:
            raise GraphError(f"{where}: expected an e above 0, found {node.tensors['e'][0]}")
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        centred = epilogue.centred(xs[0], inputs[0], np.float32).astype(np.int64)
        c = centred.reshape(len(centred), node.attrs["groups"], -1)
        t = normalized(c, 2, node.tensors["e"])
        return epilogue.per_channel(t.reshape(centred.shape), node, output)


def normalized(c: npt.NDArray[np.int64], axis: int, e: Array) -> npt.NDArray[np.float32]:
    """t of whole numbers that are brought to mean 0 and variance 1 along an axis."""
    n = c.shape[axis]
    s1, s2 = c.sum(axis=axis, keepdims=True), (c * c).sum(axis=axis, keepdims=True)
    variance = (n * s2 - s1 * s1).astype(np.float64)
    r = (1 / np.sqrt(variance + np.float64(e[0]))).astype(np.float32)
    t: npt.NDArray[np.float32] = (n * c - s1).astype(np.float32) * r
    return t


def norm_tensors(output: Value) -> dict[str, tuple[str, Shape]]:
    """The tensors of an integer norm, as `expect_tensors` wants them."""
    channels = (output.channels,)
    return {"e": ("float32", (1,)), "m": ("float32", channels), "b": ("float32", channels)}
