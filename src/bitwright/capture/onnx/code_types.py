"""`CodeType`: what a QuantizeLinear makes of real numbers, and how a type of ours holds it."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from bitwright.capture.onnx.qoperators import AXIS
from bitwright.qtensor import QType, affine_qtype

Array = npt.NDArray[Any]
KINDS = {
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT4: (0, 15),
    ir.DataType.INT4: (-8, 7),
    ir.DataType.UINT2: (0, 3),
    ir.DataType.INT2: (-2, 1),
    ir.DataType.UINT16: (0, 65535),
    ir.DataType.INT16: (-32768, 32767),
    ir.DataType.INT32: (-(2**31), 2**31 - 1),
}
SCHEMES = {255: "uint8", 15: "uint4", 3: "uint2"}
MOVES = frozenset(
    ("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Slice")
) | {"SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze", "GlobalMaxPool"}
"""Ops that only move codes, or choose among them by their size."""


@dataclass(frozen=True)
class CodeType:
    """real = scale * (code - zero); codes of `kind`."""

    scale: float
    zero: int
    kind: ir.DataType

    @property
    def bounds(self) -> tuple[float, float]:
        lo, hi = KINDS[self.kind]
        return self.scale * (lo - self.zero), self.scale * (hi - self.zero)

    @property
    def qtype(self) -> QType:
        """The same with codes from 0 on; of more than 8 bits, 8 over the same range."""
        lo, hi = KINDS[self.kind]
        if hi - lo in SCHEMES:
            return QType(SCHEMES[hi - lo], self.scale, self.zero - lo)
        return affine_qtype("uint8", *self.bounds)


def axis_of(node: ir.Node, rank: int) -> int:
    """The axis that scales lie along."""
    attribute = node.attributes.get("axis")
    axis = int(node.metadata_props.get(AXIS, 1)) if attribute is None else int(attribute.value)
    return axis % rank if rank else 0


def along(numbers: Array, rank: int, axis: int) -> Array:
    """Numbers, one or one for each entry of an axis, in the shape that broadcasts over so many axes."""
    return numbers.reshape([-1 if i == axis else 1 for i in range(rank)]) if numbers.size > 1 else numbers.reshape(())


def one(numbers: Array) -> float:
    """The only number, or the first."""
    return float(numbers.reshape(-1)[0])


def ends_in_softmax(x: ir.Value, codes: ir.Value) -> bool:
    """Whether a value x is a softmax that is only moved, as it is and as codes, up to the output."""
    node = x.producer()
    while node is not None and node.op_type in MOVES and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and node.op_type == "Softmax" and only_leads_out(codes)


def only_leads_out(value: ir.Value) -> bool:
    """Whether all that reads a value rounds or moves it, on the way to the output."""
    readers = [use.node for use in value.uses()]
    known = all(node.op_type in (*MOVES, "QuantizeLinear", "DequantizeLinear") for node in readers)
    return known and all(node.outputs[0].is_graph_output() or only_leads_out(node.outputs[0]) for node in readers)
