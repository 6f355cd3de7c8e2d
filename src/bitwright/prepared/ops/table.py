"""`table` in PyTorch; `bitwright/ops/table.py` defines it."""

import torch
from torch import Tensor

from bitwright.prepared.ops.op import IntegerCall, TorchOp


def look_up(entries: Tensor, call: IntegerCall) -> Tensor:
    """What a table [256], or one for each channel [C, 256], holds for every code."""
    index = call.xs[0].long()
    if entries.dim() == 2:
        index = index + 256 * torch.arange(len(entries), device=index.device).reshape(call.output.column)
    return entries.reshape(-1)[index]


OP = TorchOp("table", integer_function=lambda call: look_up(call.tensors["table"], call))
