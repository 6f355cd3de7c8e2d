"""`global_avg_pool2d` in PyTorch; `bitwright/ops/global_avg_pool2d.py` defines it."""

import torch
from torch import Tensor

from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    return call.xs[0].mean((2, 3), keepdim=True)


def integer_function(call: IntegerCall) -> Tensor:
    total = call.centred().to(torch.float64).sum((2, 3), keepdim=True)
    return call.store_with_zero_point(total.to(torch.float32) * call.tensors["m"])


OP = TorchOp("global_avg_pool2d", float_function, integer_function)
