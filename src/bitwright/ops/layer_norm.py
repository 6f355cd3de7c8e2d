"""The channels of each pixel or token brought to mean 0 and variance 1, then a gain and a shift per channel.
Ba, Kiros & Hinton 2016, "Layer Normalization".

It may read the sum of several values, which is then never rounded to codes: the stream of a transformer, to which every block
adds something, leaves nothing of the model where it is kept in 8 bits. Over the D numbers c of a pixel, which are its centred
codes, or for several values

    t = f32(c_0) * m_x[0];  t = t + f32(c_i) * m_x[i]  for i = 1, 2, ...      each product and each sum rounded to float32
    c = rint(t)                                                              |c| <= 2^30 / D

where m_x[i] is one number, or one for each channel: then the channels of x_i have scales of their own,

the norm is

    S1 = sum c,  S2 = sum c^2                        exact in int64, in any order
    V  = D * S2 - S1^2                               exact in int64: D^2 times the variance
    r  = f32(1 / sqrt(f64(V) + f64(e)))              as in group_norm.py
    t  = f32(D * c - S1) * r                         the integer fits int32; the product is rounded to float32
    code = epilogue(t)                               t in place of f32(acc); see epilogue.py; m = gain / (s_y * y_step)

e = eps * D^2 / s^2, where s is what c = 1 stands for: the scale of one value; of several, the least one that keeps any sum
within 2^30 / D, and within 2^22, where float32 still has half numbers; m_x = s_x / s, times the float tensor `factors` [N, D]
where it has that. D <= 2^15. The zero point of a single value cancels in V and in D * c - S1. Float tensors: bn_weight,
bn_bias [D].
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue
from bitwright.ops.group_norm import LEAST_E, norm_tensors, normalized
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_one_channel, expect_tensors, float32

MOST_CHANNELS = 2**15
MOST_SUMMANDS = 64


class LayerNorm(FloatOp, IntegerOp):
    name = "layer_norm"
    parameters = ("bn_weight", "bn_bias")
    has_epilogue = True
    smoothable = True
    multiplies = False
    writes_float = True
    arity = (1, MOST_SUMMANDS)
    roles = ("codes", "summand")
    attrs = epilogue.BOUNDS

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        channels = inputs[0].channels
        expect_one_channel(self.name, inputs)
        if any(value.shape != inputs[0].shape for value in inputs):
            raise GraphError(f"layer_norm needs values of one shape, found {[value.shape for value in inputs]}")
        if channels > MOST_CHANNELS:
            raise GraphError(f"a sum over {channels} channels could overflow int32; expected at most {MOST_CHANNELS}")
        for key in ("m", "b", "bn_weight", "bn_bias"):
            if key in node.tensors and node.tensors[key].shape != (channels,):
                raise GraphError(f"expected {key} of {(channels,)}, found {node.tensors[key].shape}")
        return Value(inputs[0].shape, channel=inputs[0].channel)

    def factors(self, node: Node, output: Value) -> Mapping[str, Shape]:
        return {"factors": (len(node.inputs), output.channels)} if len(node.inputs) > 1 else {}

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        gain, shift = (np.asarray(node.tensors[key], np.float64) for key in ("bn_weight", "bn_bias"))
        scales = _scales(node, inputs)
        scale = float(scales.reshape(-1)[0])
        if len(inputs) > 1:
            scale = _reach(np.abs(scales), inputs) / (most_sum(len(gain)) - 1)
        e = node.attrs["eps"] * (len(gain) / scale) ** 2
        tensors = {"e": float32(max(e, LEAST_E)), **epilogue.multipliers(gain, shift, output)}
        if len(inputs) > 1:
            tensors["m_x"] = float32(scales / scale)
        return Node(node.name, self.name, node.inputs, epilogue.bounds(node, output), tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        several: dict[str, tuple[str, Shape]] = {}
        if len(inputs) > 1:
            each = node.tensors.get("m_x", np.empty(0)).ndim == 2
            several["m_x"] = ("float32", (len(inputs), output.channels) if each else (len(inputs),))
        expect_tensors(node, where, {**norm_tensors(output), **several})
        if several and not _reach(np.abs(node.tensors["m_x"].astype(np.float64)), inputs) <= most_sum(output.channels):
            raise GraphError(f"{where}: a sum could exceed {most_sum(output.channels)}; expected smaller m_x")
        if node.tensors["e"][0] <= 0:
            raise GraphError(f"{where}: expected an e above 0, found {node.tensors['e'][0]}")
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        centred = [epilogue.centred(x, value, np.float32) for x, value in zip(xs, inputs, strict=True)]
        number = centred[0]
        if len(xs) > 1:
            m_x = node.tensors["m_x"]
            multipliers = m_x if m_x.ndim == 1 else [m.reshape(output.column) for m in m_x]
            number = centred[0] * multipliers[0]
            for c, m in zip(centred[1:], multipliers[1:], strict=True):
                number = number + c * m
        t = normalized(np.rint(number).astype(np.int64), output.axis, node.tensors["e"])
        return epilogue.per_channel(t, node, output)


def most_sum(channels: int) -> int:
    """The greatest sum of several values that stays exact in all that follows, less what roundings to float32 add to it."""
    return min(2**30 // channels, 2**22) - 2**8


def _scales(node: Node, inputs: Sequence[Value]) -> Array:
    """What a centred code of each input stands for: [N], or [N, D] where channels differ."""
    scales = np.array([codes_of(value).one_scale for value in inputs])
    factors = np.asarray(node.tensors.get("factors", np.ones((1, 1))), np.float64)
    return scales if (factors == 1).all() else scales[:, None] * factors


def _reach(scales: Array, inputs: Sequence[Value]) -> float:
    """The greatest sum of centred codes times these scales, [N] or [N, D], in any channel."""
    return float(np.max(sum(scale * codes_of(value).reach for scale, value in zip(scales, inputs, strict=True))))
