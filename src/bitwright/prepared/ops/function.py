"""`function` in PyTorch; `bitwright/ops/function.py` defines it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright.lookup import lookup
from bitwright.ops.function import compute
from bitwright.prepared.ops.op import FloatCall, TorchOp, along

STEEP = frozenset(
    ("acos", "acosh", "asin", "atanh", "div", "log", "log10", "log1p", "log2", "pow", "reciprocal", "rsqrt", "sqrt")
)
"""Functions whose slope is infinite somewhere: at codes that stand for 0, above all."""


def float_function(call: FloatCall) -> Tensor:
    x, scaled = call.xs[0], "reads" in call.tensors
    if scaled:
        x = x * call.column("reads")
    if x.requires_grad and any(step.name in STEEP for step in call.attrs["steps"]):
        x = x.view_as(x)
        x.register_hook(_finite)

    def column(numbers: tuple[float, ...]) -> Tensor:
        return along(torch.tensor(numbers, dtype=x.dtype, device=x.device), call.axis, x.dim())

    found: Tensor = compute(call.attrs["steps"], x, _aten, column).to(x.dtype)
    return found * call.column("writes") if scaled else found


def _finite(gradient: Tensor) -> Tensor:
    """0 where a slope is infinite: the function's table ends there, and one such number would be that of every weight."""
    return torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


def _aten(name: str, *args: Any, **kwargs: Any) -> Any:
    """One elementwise function by its ATen name. Constants that were tensors have to be tensors again."""
    if name == "lookup":
        return lookup(*args)
    numbers = (torch.tensor(arg) if isinstance(arg, np.generic) else arg for arg in args)
    return getattr(torch.ops.aten, name)(*numbers, **kwargs)


OP = TorchOp("function", float_function)
