"""`function` in PyTorch; `bitwright/ops/function.py` defines it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright.ops.function import compute
from bitwright.prepared.ops.op import FloatCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    x, scaled = call.xs[0], "reads" in call.tensors
    if scaled:
        x = x * call.column("reads")
    found: Tensor = compute(call.attrs["steps"], x, _aten).to(x.dtype)
    return found * call.column("writes") if scaled else found


def _aten(name: str, *args: Any, **kwargs: Any) -> Any:
    """One elementwise function by its ATen name. Constants that were tensors have to be tensors again."""
    if name == "lookup":
        return _lookup(*args)
    numbers = (torch.tensor(arg) if isinstance(arg, np.generic) else arg for arg in args)
    return getattr(torch.ops.aten, name)(*numbers, **kwargs)


def _lookup(
    x: Tensor, table: Sequence[int], x_scale: float, x_zero_point: int, y_scale: float, y_zero_point: int
) -> Tensor:
    """`ops/functions.py` defines it."""
    entries = torch.tensor(table, dtype=x.dtype, device=x.device)
    place = (x / x_scale + x_zero_point).clamp(0, len(table) - 1)
    below = place.detach().floor().clamp(max=len(table) - 2)
    first, second = entries[below.long()], entries[below.long() + 1]
    return (first + (second - first) * (place - below) - y_zero_point) * y_scale


OP = TorchOp("function", float_function)
