"""The channels of each pixel or token brought to mean 0 and variance 1, then a gain and a shift per channel.
Ba, Kiros & Hinton 2016, "Layer Normalization".

Over the D centred codes c of a pixel:

    S1 = sum c,  S2 = sum c^2                        exact in int64, in any order
    V  = D * S2 - S1^2                               exact in int64: D^2 times the variance
    r  = f32(1 / sqrt(f64(V) + f64(e)))              as in group_norm.py
    t  = f32(D * c - S1) * r                         the integer fits int32; the product is rounded to float32
    code = epilogue(t)                               t in place of f32(acc); see epilogue.py; m = gain / (s_y * y_step)

e = eps * D^2 / s_x^2. A zero point cancels in V and in D * c - S1. D <= 2^15, so that codes of up to 16 bits stay within these
integers. Float tensors: bn_weight, bn_bias [D].
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import epilogue
from bitwright.ops.group_norm import LEAST_E, norm_tensors, normalized
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_tensors, float32

MOST_CHANNELS = 2**15


class LayerNorm(FloatOp, IntegerOp):
    name = "layer_norm"
    parameters = ("bn_weight", "bn_bias")
    has_epilogue = True
    smoothable = True
    writes_float = True
    attrs = epilogue.BOUNDS

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        channels = inputs[0].channels
        if channels > MOST_CHANNELS:
            raise GraphError(f"a sum over {channels} channels could overflow int32; expected at most {MOST_CHANNELS}")
        for key in ("m", "b", "bn_weight", "bn_bias"):
            if key in node.tensors and node.tensors[key].shape != (channels,):
                raise GraphError(f"expected {key} of {(channels,)}, found {node.tensors[key].shape}")
        return Value(inputs[0].shape, channel=inputs[0].channel)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        gain, shift = (np.asarray(node.tensors[key], np.float64) for key in ("bn_weight", "bn_bias"))
        e = node.attrs["eps"] * (len(gain) / codes_of(inputs[0]).one_scale) ** 2
        tensors = {"e": float32(max(e, LEAST_E)), **epilogue.multipliers(gain, shift, output)}
        return Node(node.name, self.name, node.inputs, epilogue.bounds(node, output), tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, norm_tensors(output))
        if node.tensors["e"][0] <= 0:
            raise GraphError(f"{where}: expected an e above 0, found {node.tensors['e'][0]}")
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        centred = epilogue.centred(xs[0], inputs[0], np.float32).astype(np.int64)
        t = normalized(centred, output.axis, node.tensors["e"])
        return epilogue.per_channel(t, node, output)
