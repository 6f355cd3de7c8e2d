"""Surround a value with real zeros, that is with its zero point. attrs: padding, a (before, after) for each axis.

A `binary` value has no code for zero, so it cannot be padded (the padding of a convolution can: it adds exact zeros).

Padding in front of a convolution is taken into the convolution; what is left are padded shortcuts (option A of ResNet).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, MoveOp, codes_of, integers


def _pairs(value: Any) -> bool:
    pair = integers(2)
    return isinstance(value, tuple) and all(pair(v) for v in value)


class Pad(MoveOp):
    name = "pad"
    needs_zero = True
    attrs = {"padding": _pairs}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        padding, shape = node.attrs["padding"], inputs[0].shape
        if len(padding) != len(shape):
            raise GraphError(f"expected a (before, after) for each axis of {shape}, found {padding}")
        padded = tuple(size + before + after for size, (before, after) in zip(shape, padding, strict=True))
        return Value(padded, channel=inputs[0].channel)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        super().check(node, inputs, output, where)
        if codes_of(inputs[0]).step != 1:
            raise GraphError(
                f"{where}: {codes_of(inputs[0]).scheme} codes have no zero to pad with; expected uint2 to uint8 or bit"
            )

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        fill = codes_of(inputs[0]).zero_point
        return np.pad(xs[0], ((0, 0), *node.attrs["padding"]), constant_values=fill)
