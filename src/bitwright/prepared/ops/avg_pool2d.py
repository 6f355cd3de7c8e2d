"""`avg_pool2d` in PyTorch; `bitwright/ops/avg_pool2d.py` defines it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def summed(x: Tensor, attrs: Mapping[str, Any]) -> Tensor:
    """The sum of each window."""
    top, left, bottom, right = attrs["padding"]
    x = F.pad(x, (left, right, top, bottom))
    return F.avg_pool2d(x, attrs["kernel"], attrs["stride"], divisor_override=1)


def float_function(call: FloatCall) -> Tensor:
    total = summed(call.xs[0], call.attrs)
    return total / call.tensors["divisor"].to(total.dtype)


def integer_function(call: IntegerCall) -> Tensor:
    total = summed(call.centred().to(torch.float64), call.node.attrs)
    return call.store_with_zero_point(total.to(torch.float32) * call.tensors["m"])


OP = TorchOp("avg_pool2d", float_function, integer_function)
