"""`max_pool2d` in PyTorch; `bitwright/ops/max_pool2d.py` defines it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from bitwright.prepared.ops.op import TorchOp


def pooled(x: Tensor, attrs: Mapping[str, Any], fill: float) -> Tensor:
    """The largest of each window, where padding holds a number that never is."""
    top, left, bottom, right = attrs["padding"]
    if any(attrs["padding"]):
        x = F.pad(x, (left, right, top, bottom), value=fill)
    return F.max_pool2d(x, attrs["kernel"], attrs["stride"], 0, attrs["dilation"])


OP = TorchOp(
    "max_pool2d",
    lambda call: pooled(call.xs[0], call.attrs, float("-inf")),
    lambda call: pooled(call.xs[0], call.node.attrs, -1.0),
)
