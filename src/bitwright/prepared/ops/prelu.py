"""`prelu` in PyTorch; `bitwright/ops/prelu.py` defines it."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.ops.op import codes_of
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp
from bitwright.prepared.ops.table import look_up


def float_function(call: FloatCall) -> Tensor:
    if (fused := call.fused(call.xs[0])) is not None:
        return fused
    t = call.tensors
    x = call.xs[0] + call.column("before") if "before" in t else call.xs[0]
    negative = F.hardtanh(x, -math.inf, 0.0)
    y = torch.addcmul(x, negative, call.column("slope") - 1)  # a third of the time that F.prelu and its gradient take
    return call.rounded(y + call.column("after") if "after" in t else y)


def integer_function(call: IntegerCall) -> Tensor:
    x, y, device = codes_of(call.inputs[0]), codes_of(call.output), call.xs[0].device
    column = {key: tensor.to(torch.float64)[:, None] for key, tensor in call.tensors.items()}
    scale, zero_point, offset = (
        torch.as_tensor(v, dtype=torch.float64, device=device).reshape(-1, 1)
        for v in (x.scale, x.zero_point, x.offset if x.per_channel else 0.0)
    )
    codes = torch.arange(256, dtype=torch.float64, device=device)
    real = (x.step * codes - zero_point) * scale + offset + column["before"]
    real = torch.where(real > 0, real, real * column["slope"]) + column["after"]
    entries = (real / y.one_unit + y.one_shift).round().clamp(0, y.codes.hi) + 0.0
    return look_up(entries.float(), call)


OP = TorchOp("prelu", float_function, integer_function, rounds=True)
