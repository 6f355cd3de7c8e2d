"""A batch norm that no convolution takes in (one before a convolution, or after a sum): a multiply-add per channel.

    acc  = x                    centred
    code = epilogue(acc)        see epilogue.py; m = s_x * gain / (s_y * y_step), b = (shift / s_y + y_zp) / y_step

The channel is that of the input, whichever axis it is. Float tensors: bn_weight, bn_bias, bn_mean, bn_var [C]; multiplication
by and addition of constants are captured as it too.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import epilogue
from bitwright.ops.op import Array, FloatOp, IntegerOp, codes_of, expect_tensors


class BatchNorm(FloatOp, IntegerOp):
    name = "batch_norm"
    parameters = ("bn_weight", "bn_bias")
    has_epilogue = True
    smoothable = True
    affine = True
    writes_float = True
    attrs = epilogue.BOUNDS

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        x = inputs[0]
        for key in ("m", "b", "bn_weight", "bn_bias", "bn_mean", "bn_var"):
            if key in node.tensors and node.tensors[key].shape != (x.channels,):
                raise GraphError(f"expected {key} of {(x.channels,)}, found {node.tensors[key].shape}")
        return Value(x.shape, channel=x.channel)

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        gain, shift = epilogue.channel_affine(node, inputs[0].channels)
        tensors = epilogue.multipliers(gain * codes_of(inputs[0]).one_scale, shift, output)
        return Node(node.name, self.name, node.inputs, epilogue.bounds(node, output), tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        channels = (output.channels,)
        expect_tensors(node, where, {"m": ("float32", channels), "b": ("float32", channels)})
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        acc = epilogue.centred(xs[0], inputs[0], np.float32)
        return epilogue.per_channel(acc, node, output)
