"""Fully connected layer on codes, with the whole epilogue.

    acc[n, o] = sum over i of x * w                  exact in int32; x centred
    code      = epilogue(acc)                         see epilogue.py

Tensors as in conv2d, with a weight of [O, I]. The last layer leaves float32: the logits.
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
from bitwright.ops.weights import WEIGHTS, check_layer, quantize_weight


class Linear(FloatOp, IntegerOp):
    name = "linear"
    writes_float = True
    arity = (1, 2)
    attrs = {"weights": WEIGHTS, **epilogue.BOUNDS}

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        weight = tensor(node, "weight")
        if weight.ndim != 2 or 0 in weight.shape or shapes[0] != weight.shape[1:]:
            raise GraphError(
                f"a weight of {weight.shape} does not fit an input of {shapes[0]}; expected [O, I] and (I,)"
            )
        if len(shapes) == 2 and shapes[1] != weight.shape[:1]:
            raise GraphError(f"expected a residual of {weight.shape[:1]}, found {shapes[1]}")
        return weight.shape[:1]

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        s_w = node.tensors["weight_scale"]
        codes = quantize_weight(np.asarray(node.tensors["weight"], np.float64), s_w, node.attrs["weights"])
        gain, shift = epilogue.channel_affine(node, len(codes))
        gain = gain * s_w * codes_of(inputs[0]).one_scale
        return Node(
            node.name,
            self.name,
            node.inputs,
            {"weights": node.attrs["weights"], **epilogue.bounds(node, output)},
            {"weight": codes, **epilogue.multipliers(gain, shift, inputs, output)},
            origin=node.origin,
        )

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        check_layer(node, inputs, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        x_type, weight = codes_of(inputs[0]), node.tensors["weight"]
        dtype = exact_dtype(worst_case(weight, x_type))
        acc = epilogue.centred(xs[0], x_type, dtype) @ weight.T.astype(dtype)
        return epilogue.per_channel(acc, node, xs, inputs, output)
