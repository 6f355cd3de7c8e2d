"""`pad` in PyTorch; `bitwright/ops/pad.py` defines it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from bitwright.ops.op import codes_of
from bitwright.prepared.ops.op import TorchOp


def padded(x: Tensor, attrs: Mapping[str, Any], fill: float) -> Tensor:
    """x [N, ...] surrounded by a number; torch wants the last axis first."""
    return F.pad(x, [side for both in reversed(attrs["padding"]) for side in both], value=fill)


OP = TorchOp(
    "pad",
    lambda call: padded(call.xs[0], call.attrs, 0.0),
    lambda call: padded(call.xs[0], call.node.attrs, float(codes_of(call.inputs[0]).one_zero_point)),
)
