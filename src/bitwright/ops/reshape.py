"""The same codes in row-major order under another shape (per image). attrs: shape. Flatten is a reshape.

The channel stays what it was where its axis survives: [C, H, W] to [C, H * W] keeps axis 0, [T, D] to [T, heads, D / heads]
has axis 2.
"""

import math
from collections.abc import Sequence
from typing import Any

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.op import Array, MoveOp


def _channel(x: Value, shape: Shape) -> int:
    """The axis that the channel axis of x becomes: the innermost part where it is split, the whole where it is merged."""
    within = math.prod(x.shape[x.channel + 1 :])
    inside = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    same = [axis for axis, size in enumerate(inside) if size == within and shape[axis] == x.channels]
    holding = [axis for axis, size in enumerate(inside) if size <= within < size * shape[axis]]
    return (same or holding or [0])[-1]


def _shape(value: Any) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= 8 and all(type(i) is int and 0 < i <= 2**31 for i in value)


class Reshape(MoveOp):
    name = "reshape"
    keeps_mean = True
    takes_float = True
    attrs = {"shape": _shape}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        shape: Shape = node.attrs["shape"]
        if math.prod(shape) != math.prod(inputs[0].shape):
            raise GraphError(f"{inputs[0].shape} cannot be reshaped to {shape}")
        return Value(shape, channel=_channel(inputs[0], shape))

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        return xs[0].reshape(len(xs[0]), *node.attrs["shape"])
