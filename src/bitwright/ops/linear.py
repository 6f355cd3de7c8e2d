"""Fully connected layer on codes, with the whole epilogue.

    acc[n, ..., o] = sum over i of x[n, ..., i] * w[o, i]       exact in int32; x centred
    code           = epilogue(acc)                              see epilogue.py

The input is [I], tokens [T, I], or anything whose channel is its last axis. Tensors as in conv2d, with a weight of [O, I]. The
last layer leaves float32: the logits. A weight may have scales for groups of neighbouring inputs, each group I / G of them:
then m is [O, G], and the groups are added up in order,

    t = b[o];  for each g in order:  t = t + f32(acc_g) * m[o, g]        each product and each sum rounded to float32

before the residual. Dettmers & Zettlemoyer 2023, "The case for 4-bit precision: k-bit Inference Scaling Laws" (block-wise).
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue
from bitwright.ops.op import (
    Array,
    FloatOp,
    IntegerOp,
    codes_of,
    exact_dtype,
    tensor,
    worst_case,
)
from bitwright.ops.weights import WEIGHTS, check_layer, quantize_weight, with_residual


class Linear(FloatOp, IntegerOp):
    name = "linear"
    parameters = ("weight", "bias", "bn_weight", "bn_bias")
    weighted = True
    has_epilogue = True
    groups_inputs = True
    smoothable = True
    writes_float = True
    arity = (1, 2)
    roles = ("codes", "residual")
    attrs = {"weights": WEIGHTS, **epilogue.BOUNDS}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        weight, x = tensor(node, "weight"), inputs[0]
        last = len(x.shape) - 1
        if weight.ndim != 2 or 0 in weight.shape or x.shape[-1:] != weight.shape[1:]:
            raise GraphError(
                f"a weight of {weight.shape} does not fit an input of {x.shape}; expected [O, I] and [..., I]"
            )
        if x.channel != last:
            raise GraphError(f"expected an input whose channel is its last axis, {last}; found axis {x.channel}")
        return with_residual(Value((*x.shape[:-1], len(weight)), channel=last), self.find("residual", inputs))

    def channel_of(self, shape: Shape) -> int | None:
        return len(shape) - 1

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        s_w = np.asarray(node.tensors["weight_scale"], np.float64)
        weight = np.asarray(node.tensors["weight"], np.float64)
        parts = quantize_weight(weight.reshape(s_w.size, -1), s_w.reshape(-1), node.attrs["weights"])
        codes = parts.reshape(weight.shape)
        gain, shift = epilogue.channel_affine(node, len(codes))
        gain = (gain * s_w.T).T * codes_of(inputs[0]).one_scale
        return Node(
            node.name,
            self.name,
            node.inputs,
            {"weights": node.attrs["weights"], **epilogue.bounds(node, output)},
            {"weight": codes, **epilogue.multipliers(gain, shift, output, self.find("residual", inputs))},
            origin=node.origin,
        )

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        check_layer(self, node, inputs, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        weight, m = node.tensors["weight"], node.tensors["m"]
        dtype = exact_dtype(worst_case(weight, codes_of(inputs[0])))
        x = epilogue.centred(xs[0], inputs[0], dtype)
        residual = self.find("residual", list(zip(xs, inputs, strict=True)))
        if m.ndim == 1:
            return epilogue.per_channel(x @ weight.T.astype(dtype), node, output, residual)
        t = np.broadcast_to(node.tensors["b"], (*x.shape[:-1], len(weight)))
        for g, part in enumerate(np.split(np.arange(weight.shape[1]), m.shape[1])):
            acc = x[..., part] @ weight[:, part].T.astype(dtype)
            t = t + acc.astype(np.float32) * m[:, g]
        return epilogue.finish(t, node, output, residual)
