"""A batch norm that no convolution takes in (one before a convolution, or after a sum): a multiply-add per channel.

    acc  = x                    centred
    code = epilogue(acc)        see epilogue.py; m = s_x * gain / (s_y * y_step), b = (shift / s_y + y_zp) / y_step

Float tensors: bn_weight, bn_bias, bn_mean, bn_var [C]; multiplication by and addition of constants are captured as it too.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_tensors


class BatchNorm(FloatOp, IntegerOp):
    name = "batch_norm"
    writes_float = True
    attrs = epilogue.BOUNDS

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        for key in ("m", "b", "bn_weight", "bn_bias", "bn_mean", "bn_var"):
            if key in node.tensors and node.tensors[key].shape != shapes[0][:1]:
                raise GraphError(f"expected {key} of {shapes[0][:1]}, found {node.tensors[key].shape}")
        return shapes[0]

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        gain, shift = epilogue.channel_affine(node, inputs[0].shape[0])
        tensors = epilogue.multipliers(gain * codes_of(inputs[0]).one_scale, shift, inputs, output)
        return Node(node.name, self.name, node.inputs, epilogue.bounds(node, output), tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        channels = output.shape[:1]
        expect_tensors(node, where, {"m": ("float32", channels), "b": ("float32", channels)})
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        acc = epilogue.centred(xs[0], codes_of(inputs[0]), np.float32)
        return epilogue.per_channel(acc, node, xs, inputs, output)
